import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { Command } from "commander";
import { messageOf, SluiceError } from "../base/errors.ts";
import { type Counts, exportStore, importStore } from "../store/transfer.ts";
import type { LiveParts } from "./live-command.ts";

type PlaceFlags = { readonly data?: string; readonly store?: string };
type ImportFlags = PlaceFlags & { readonly merge?: boolean };

/** What most exports are far below; a text of JavaScript cannot be longer. */
const mostBytes = 500_000_000;

export type StoreCommandParts = Pick<LiveParts, "environment" | "terminal"> & { readonly complain: (text: string) => void };

/** `sluice export [FILE]`: all that a store holds, as JSON. */
export function exportCommand(parts: StoreCommandParts): Command {
  const { terminal, complain } = parts;
  return placed("export", "write all that the store holds as JSON: to move it, and as a backup; SQLite needs a server that is stopped")
    .argument("[file]", "where to write it; left out: to standard output")
    .action(async (file: string | undefined, flags: PlaceFlags) => {
      const place = placeOf(flags, parts);
      if (file === undefined) return void (await exportStore(place, terminal.write));
      complain(`Written to ${file}: ${wordsOf(await writeFile(file, place))}`);
    });
}

/** `sluice import FILE`: what `export` has written. */
export function importCommand(parts: StoreCommandParts): Command {
  return placed("import", "read what export has written into an empty store; the server has to be stopped")
    .argument("<file>", "the file, or - for standard input")
    .option("--merge", "into one that is not empty: what is there stays, what is missing is added")
    .action(async (file: string, { merge = false, ...flags }: ImportFlags) => {
      const counts = await importStore(placeOf(flags, parts), readFile(file), { merge });
      parts.complain(`Added: ${wordsOf(counts)}`);
    });
}

function placed(name: string, description: string): Command {
  return new Command(name)
    .exitOverride()
    .showSuggestionAfterError()
    .description(description)
    .option("--data <dir>", 'the server\'s data folder (SLUICE_DATA); left out: "data"')
    .option("--store <url>", "the store in PostgreSQL instead, postgres://... (SLUICE_STORE)");
}

function placeOf({ data, store }: PlaceFlags, { environment }: StoreCommandParts): string {
  const place = store ?? (data || environment["SLUICE_STORE"] || environment["SLUICE_DATA"] || "data");
  if (store !== undefined && !/^postgres(ql)?:\/\//i.test(store))
    throw new SluiceError(
      "config.invalid",
      "--store must be the address of a PostgreSQL database: postgres://USER:PASSWORD@HOST:5432/DATABASE",
    );
  return place;
}

/** The file is there as a whole or not at all, and for its owner only. */
async function writeFile(file: string, place: string): Promise<Counts> {
  const half = `${file}.part`;
  try {
    const open = openSync(half, "w", 0o600);
    let counts: Counts;
    try {
      counts = await exportStore(place, (text) => writeFileSync(open, text));
      fsyncSync(open);
    } finally {
      closeSync(open);
    }
    renameSync(half, file);
    return counts;
  } catch (error) {
    rmSync(half, { force: true });
    throw error;
  }
}

function readFile(file: string): string {
  try {
    const bytes = readFileSync(file === "-" ? 0 : file);
    if (bytes.length > mostBytes) throw new Error(`it has more than ${mostBytes} bytes`);
    return bytes.toString("utf8");
  } catch (cause) {
    throw new SluiceError("input.invalid", `${file} cannot be read: ${messageOf(cause)}`, { cause });
  }
}

const nouns: Readonly<Record<string, string>> = {
  config_change: "changed settings",
  api_token: "tokens of the API",
  operator_token: "tokens to push and to watch",
  outbox: "notifications",
  open_session: "sessions without their end",
  live_stream: "streams that play",
};

function wordsOf(counts: Counts): string {
  return Object.entries(counts)
    .map(([table, count]) => `${count} ${nouns[table] ?? table}`)
    .join(", ");
}
