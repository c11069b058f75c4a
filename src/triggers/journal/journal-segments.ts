import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { type FileHandle, mkdir, open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";

/** Lines in numbered files of a directory: the newest is written, the oldest is deleted when there are too many. */
export interface Segments extends AsyncDisposable {
  /** 32 random bytes that stay the same as long as the directory does. */
  readonly key: Uint8Array;
  /** One append at a time. Rejects when the disk does. */
  append(lines: readonly string[]): Promise<void>;
  /** All lines, the latest first. */
  newestFirst(): AsyncIterable<string>;
}

/** The ring's grain: when it is full, a sixteenth makes room. */
const parts = 16;
const pattern = /^calls-(\d{10})\.jsonl$/;

/** Opens or makes the directory. A new file is begun at each start, so that a line that a crash has cut off harms no other. */
export function openSegments(directory: string, mostBytes: () => number): Segments {
  const names = (): string[] => {
    try {
      return readdirSync(directory)
        .filter((name) => pattern.test(name))
        .toSorted();
    } catch {
      return [];
    }
  };
  let number = Number(pattern.exec(names().at(-1) ?? "")?.[1] ?? 0);
  let file: FileHandle | undefined;
  let size = 0;

  const rotate = async (): Promise<void> => {
    await file?.close();
    file = undefined;
    await mkdir(directory, { recursive: true, mode: 0o700 });
    file = await open(join(directory, `calls-${String(++number).padStart(10, "0")}.jsonl`), "a", 0o600);
    size = 0;
    for (const old of names().slice(0, -parts)) await rm(join(directory, old), { force: true });
  };

  return {
    key: keyOf(directory),
    async append(lines) {
      if (lines.length === 0) return;
      const text = `${lines.join("\n")}\n`;
      const bytes = Buffer.byteLength(text);
      if (!file || (size > 0 && size + bytes > mostBytes() / parts)) await rotate();
      await file?.appendFile(text);
      size += bytes;
    },
    async *newestFirst() {
      for (const name of names().toReversed()) {
        const text = await readFile(join(directory, name), "utf8").catch(() => "");
        for (let end = text.length; end > 0; ) {
          const start = text.lastIndexOf("\n", end - 1) + 1;
          if (end > start) yield text.slice(start, end);
          end = start - 1;
        }
      }
    },
    async [Symbol.asyncDispose]() {
      await file?.close();
      file = undefined;
    },
  };
}

function keyOf(directory: string): Uint8Array {
  const path = join(directory, "key");
  try {
    const key = readFileSync(path);
    if (key.length === 32) return key;
  } catch {
    // Made below.
  }
  const key = randomBytes(32);
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    writeFileSync(path, key, { mode: 0o600 });
  } catch {
    // A full disk: then it is good until the end of the process, and the first call that cannot be written says so.
  }
  return key;
}
