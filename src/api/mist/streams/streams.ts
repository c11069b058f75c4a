import { access } from "node:fs/promises";
import { isSluiceError, messageOf } from "../../../base/errors.ts";
import { parseLooseStream } from "../../../config/schema.ts";
import type { StreamEntry } from "../../../config/settings.ts";
import type { StreamState } from "../../../streams/stream.ts";
import type { ApiParts } from "../../parts.ts";
import { addStreams, removeStreams, replaceStreams } from "../../stream-changes.ts";
import { type Call, type CallContext, isObject } from "../call.ts";

/** `streams`, `addstream`, `deletestream`. A name or an entry that cannot be taken, or that a handler refuses, is left out and logged. */
export const streamCalls: readonly Call[] = [
  {
    name: "streams",
    async run(value, context) {
      if (!isObject(value)) return;
      await replaceStreams(readEntries(value, context), context.parts);
      context.parts.log.write("CONF", "All streams were replaced through the API");
    },
  },
  {
    name: "addstream",
    async run(value, context) {
      if (!isObject(value)) return;
      const entries = readEntries(value, context);
      const changed = await addStreams(entries, context.parts);
      for (const [name] of entries) {
        // As in MistServer, who was refused a change is shown what holds.
        const holds = context.parts.configuration.settings.streams[name];
        if (holds) context.added.set(name, holds);
        if (changed.has(name)) context.parts.log.write("CONF", "Stream configured through the API", { stream: name });
      }
    },
  },
  {
    name: "deletestream",
    async run(value, { parts, added }) {
      const names = new Set(isObject(value) ? Object.keys(value) : Array.isArray(value) ? value : [value]);
      const known = Object.keys(parts.configuration.settings.streams).filter((name) => names.has(name));
      for (const name of await removeStreams(known, parts)) {
        added.delete(name);
        parts.log.write("CONF", "Stream removed through the API", { stream: name });
      }
    },
  },
];

/** The streams of an object that can be taken; the others are logged. */
export function readEntries(
  value: Readonly<Record<string, unknown>>,
  { parts }: Pick<CallContext, "parts">,
): readonly (readonly [string, StreamEntry])[] {
  return Object.entries(value).flatMap(([name, entry]) => {
    try {
      return [[name, parseLooseStream(name, entry, "API")] as const];
    } catch (error) {
      if (!isSluiceError(error, "config.invalid")) throw error;
      parts.log.write("WARN", `${messageOf(error)}; it is left out`);
      return [];
    }
  });
}

/** The `streams` member of an answer: all streams with their state. */
export async function streamsReply(parts: ApiParts): Promise<Readonly<Record<string, unknown>>> {
  const entries = Object.entries(parts.configuration.settings.streams).sort(([a], [b]) => (a < b ? -1 : 1));
  const shown = entries.map(async ([name, entry]) => [name, { ...entry, name, ...(await condition(name, entry, parts)) }] as const);
  return Object.fromEntries(await Promise.all(shown));
}

/** The `streams` member of an answer to `addstream` and `deletestream`. */
export function addedReply(added: ReadonlyMap<string, StreamEntry>): Readonly<Record<string, unknown>> {
  return { ...Object.fromEntries([...added].map(([name, entry]) => [name, { ...entry, name }])), "incomplete list": 1 };
}

const betweenWords: Readonly<Partial<Record<StreamState, string>>> = {
  initializing: "Initializing...",
  booting: "Loading...",
  waiting: "Waiting for data...",
  shutdown: "Shutting down...",
};

/** `online`: 1 plays, 2 could or is about to, 0 does not. `error`: words, where there are any. */
async function condition(
  name: string,
  entry: StreamEntry,
  { directory }: ApiParts,
): Promise<{ readonly online: number; readonly error?: string }> {
  const state = directory.get(name)?.state ?? "offline";
  if (state === "ready") return { online: 1 };
  const words = betweenWords[state];
  if (words !== undefined) return { online: 2, error: words };
  const { source } = entry;
  if (source === null || source === "") return { online: 0, error: "Stream offline: Missing source parameter!" };
  if (source.startsWith("push://")) return { online: 0 };
  if (!source.startsWith("/")) return { online: 0, error: "Stream offline" };
  const found = await access(source).then(
    () => true,
    () => false,
  );
  return found ? { online: 2, error: "Available" } : { online: 0, error: `Stream offline: Not found: ${source}` };
}
