import { type Log, type LogEntry, type LogFields, type LogKind, logKinds } from "../base/log.ts";
import type { Clock } from "../base/time.ts";

export type LogOptions = {
  /** The least urgent kind that is written; kinds behind it in `logKinds` are dropped. */
  readonly level: LogKind;
  /** Takes one line without its line end. The server hands in standard error: standard output belongs to the ready line. */
  readonly write: (line: string) => void;
  readonly clock: Pick<Clock, "now">;
};

/** A log that remembers its last lines. */
export interface KeptLog extends Log {
  /** The last 100 lines, oldest first; a copy. */
  entries(): readonly LogEntry[];
  /** Called with each line that is written. What `run` throws or writes itself is told to nobody. */
  onEntry(run: (entry: LogEntry) => void): Disposable;
}

const kept = 100;

/** Text lines for people: `2026-11-22 17:36:39.123 INFO live: publisher has left (address=203.0.113.5)`. */
export function createLog({ level, write, clock }: LogOptions): KeptLog {
  const limit = logKinds.indexOf(level);
  const ring: LogEntry[] = [];
  const listeners = new Set<(entry: LogEntry) => void>();
  let telling = false;
  const tell = (entry: LogEntry): void => {
    if (telling) return;
    telling = true;
    for (const run of listeners) {
      try {
        run(entry);
      } catch {
        // Whoever writes a line must not fail because of who reads it.
      }
    }
    telling = false;
  };
  return {
    write(kind, message, fields) {
      if (logKinds.indexOf(kind) > limit) return;
      const now = clock.now();
      const text = oneLine(message + fieldText(fields));
      const stream = oneLine(fields?.stream ?? "");
      if (ring.length === kept) ring.shift();
      const entry = { unix: Math.floor(now / 1000), kind, message: text, stream };
      ring.push(entry);
      write(`${timeText(now)} ${kind} ${stream === "" ? "" : `${stream}: `}${text}`);
      tell(entry);
    },
    entries: () => ring.slice(),
    onEntry(run) {
      const listener = (entry: LogEntry): void => run(entry);
      listeners.add(listener);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },
  };
}

function timeText(unixMs: number): string {
  return new Date(unixMs).toISOString().replace("T", " ").slice(0, -1);
}

function fieldText(fields: LogFields | undefined): string {
  const parts = Object.entries(fields ?? {}).filter(([name, value]) => name !== "stream" && value !== undefined);
  return parts.length === 0 ? "" : ` (${parts.map(([name, value]) => `${name}=${value}`).join(", ")})`;
}

/** What clients send may be part of a message: no control character may begin a line of its own or colour a terminal. */
function oneLine(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what this removes
  return text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, " ");
}
