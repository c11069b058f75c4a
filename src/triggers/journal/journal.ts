import { createSecretKey } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import type { Log } from "../../base/log.ts";
import type { Clock } from "../../base/time.ts";
import { type CallRecord, type CallSink, isRemarkable } from "./call-record.ts";
import { createMask } from "./mask.ts";
import { openSegments } from "./journal-segments.ts";

/** How much is written down. */
export type JournalSetting = {
  /** `sampled`: every no and every failure, and a part of the rest. */
  readonly mode: "off" | "sampled" | "full";
  /** The part of ordinary calls that `sampled` keeps, 0 to 1. */
  readonly sample: number;
  /** Bytes on the disk; the oldest calls make room. */
  readonly bytes: number;
  /** True: tokens, keys, cookies and addresses stay readable, so that calls can be replayed exactly. For rehearsal machines. */
  readonly unmasked: boolean;
};

export const defaultJournal: JournalSetting = { mode: "full", sample: 0.01, bytes: 64 * 1024 * 1024, unmasked: false };

/** Which calls are wanted; everything left out matches all. */
export type CallFilter = {
  readonly trigger?: string | undefined;
  readonly stream?: string | undefined;
  /** Unix milliseconds. */
  readonly since?: number | undefined;
  /** Only calls with this kind of decision. */
  readonly decision?: string | undefined;
  /** A token, key or name that occurs in the call, also where it is masked. */
  readonly find?: string | undefined;
  /** At most so many, the newest. */
  readonly limit?: number | undefined;
};

/** What happened, on the disk and while it happens. */
export interface Journal extends CallSink, AsyncDisposable {
  readonly setting: JournalSetting;
  configure(setting: JournalSetting): void;
  /** Newest first. */
  calls(filter?: CallFilter): Promise<readonly CallRecord[]>;
  call(id: string): Promise<CallRecord | undefined>;
  /** Calls `run` with each call that is written, as it is written. Dispose to stop. */
  follow(run: (record: CallRecord) => void): Disposable;
  /** Resolves when all that was added is on the disk. */
  flush(): Promise<void>;
}

export type JournalOptions = {
  /** A directory of its own, which is made. */
  readonly directory: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly setting?: Partial<JournalSetting>;
  /** Does a stream of this name exist? Such names are no secrets. */
  readonly isPublic?: (name: string) => boolean;
  /** For tests. */
  readonly random?: () => number;
};

const flushMs = 250;
/** More than these wait for a disk that hangs only in a flood; then calls are lost, and counted. */
const mostWaiting = 20_000;
/** Masking and writing so many costs a few milliseconds; then others get their turn. */
const batch = 64;
const longestLine = 64 * 1024;
const mostCalls = 10_000;

/**
 * Opens the journal. `add` only puts the record into a list; 4 times in a second it is masked and written, some at a time. A
 * crash loses what was added since. A disk that fails never harms a call: it is told in the log.
 */
export function openJournal({
  directory,
  clock,
  log,
  setting = {},
  isPublic = () => false,
  random = Math.random,
}: JournalOptions): Journal {
  let current: JournalSetting = { ...defaultJournal, ...setting };
  const segments = openSegments(directory, () => current.bytes);
  const mask = createMask(createSecretKey(segments.key), isPublic);
  const followers = new Set<(record: CallRecord) => void>();
  let waiting: CallRecord[] = [];
  let lost = 0;
  let failing = false;
  let timer: Disposable | undefined;
  let writing: Promise<void> = Promise.resolve();

  const write = async (records: readonly CallRecord[]): Promise<void> => {
    for (let from = 0; from < records.length; from += batch) {
      if (from > 0) await turn();
      const shown = records.slice(from, from + batch).map((record) => (current.unmasked ? record : mask.record(record)));
      for (const record of shown) for (const run of [...followers]) run(record);
      await segments.append(shown.map(lineOf));
    }
    failing = false;
  };
  const flush = (): Promise<void> => {
    timer?.[Symbol.dispose]();
    timer = undefined;
    const records = waiting;
    waiting = [];
    if (lost > 0) log.write("WARN", `The journal could not keep up: ${lost} trigger calls were not written down`);
    lost = 0;
    writing = writing
      .then(() => write(records))
      .catch((error: unknown) => {
        if (!failing)
          log.write("ERROR", `The journal of trigger calls cannot be written: ${error instanceof Error ? error.message : error}`);
        failing = true;
      });
    return writing;
  };

  return {
    get on() {
      return current.mode !== "off";
    },
    get setting() {
      return current;
    },
    configure(next) {
      current = next;
    },
    add(record) {
      if (current.mode === "off" || (current.mode === "sampled" && !isRemarkable(record) && random() >= current.sample)) return;
      if (waiting.length >= mostWaiting) {
        lost++;
        return;
      }
      waiting.push(record);
      timer ??= clock.after(flushMs, () => void flush());
    },
    async calls({ trigger, stream, since = 0, decision, find, limit = 50 } = {}) {
      await flush();
      const wanted = Math.max(1, Math.min(limit, mostCalls));
      const marks =
        find === undefined || find === "" ? undefined : [find, mask.mark(find)].map((text) => JSON.stringify(text).slice(1, -1));
      const found: CallRecord[] = [];
      const seen = new Set<string>();
      for await (const line of segments.newestFirst()) {
        if (trigger !== undefined && !line.includes(`"trigger":"${trigger}"`)) continue;
        if (marks !== undefined && !marks.some((mark) => line.includes(mark))) continue;
        const record = recordOf(line);
        if (!record || record.time < since || seen.has(record.id)) continue;
        if (trigger !== undefined && record.trigger !== trigger) continue;
        if (stream !== undefined && record.stream !== stream && record.stream !== mask.mark(stream)) continue;
        if (decision !== undefined && record.decision?.kind !== decision) continue;
        seen.add(record.id);
        found.push(record);
        if (found.length === wanted) break;
      }
      return found;
    },
    async call(id) {
      await flush();
      for await (const line of segments.newestFirst()) {
        const record = line.includes(id) ? recordOf(line) : undefined;
        if (record?.id === id) return record;
      }
      return undefined;
    },
    follow(run) {
      followers.add(run);
      return { [Symbol.dispose]: () => void followers.delete(run) };
    },
    flush,
    async [Symbol.asyncDispose]() {
      await flush();
      await segments[Symbol.asyncDispose]();
    },
  };
}

function lineOf(record: CallRecord): string {
  const line = JSON.stringify(record);
  return line.length <= longestLine ? line : JSON.stringify({ ...record, payload: { left: "out", bytes: line.length } });
}

/** Undefined for a line that a crash has cut off. */
function recordOf(line: string): CallRecord | undefined {
  try {
    return JSON.parse(line) as CallRecord;
  } catch {
    return undefined;
  }
}
