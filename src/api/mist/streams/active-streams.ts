import type { StreamCounters } from "../../../sessions/session.ts";
import type { Stream, StreamState } from "../../../streams/stream.ts";
import type { ApiParts } from "../../parts.ts";
import { type Call, isObject, textsOf } from "../call.ts";

/** MistServer's words. "Online" exactly when the state is ready: every output starts at once. */
const statusWords: Readonly<Record<StreamState, string>> = {
  offline: "Offline",
  initializing: "Initializing",
  booting: "Input booting",
  waiting: "Waiting for data",
  ready: "Online",
  shutdown: "Shutting down",
};

type Facts = {
  readonly name: string;
  readonly stream: Stream | undefined;
  readonly counters: StreamCounters | undefined;
  readonly parts: ApiParts;
};

/** Every field, in the server's order of the default list first. What is not known is null. */
const fields: Readonly<Record<string, (facts: Facts) => unknown>> = {
  status: ({ stream }) => statusWords[stream?.state ?? "offline"],
  viewers: ({ counters }) => counters?.viewers ?? 0,
  inputs: ({ counters }) => counters?.inputs ?? 0,
  outputs: ({ counters }) => counters?.outputs ?? 0,
  tracks: ({ stream }) => stream?.tracks.length ?? 0,
  views: ({ counters }) => counters?.views ?? 0,
  viewseconds: ({ counters }) => counters?.viewSeconds ?? 0,
  upbytes: ({ counters }) => counters?.up ?? 0,
  downbytes: ({ counters }) => counters?.down ?? 0,
  packsent: () => 0,
  packloss: () => 0,
  packretrans: () => 0,
  firstms: ({ stream }) => (stream ? Math.round(stream.firstTime / 1000) : null),
  lastms: ({ stream }) => (stream ? Math.round(stream.lastTime / 1000) : null),
  health: ({ name, parts }) => parts.directory.health(name) ?? null,
  pid: ({ stream }) => (stream ? [process.pid] : null),
  tags: ({ name, parts }) => {
    const tags = parts.streamTags.tagsOf(name);
    return tags.length > 0 ? tags : null;
  },
  clients: ({ counters }) => (counters ? counters.viewers + counters.inputs + counters.outputs : 0),
  unspecified: ({ counters }) => counters?.unspecified ?? 0,
  zerounix: ({ stream }) => (stream ? Math.round(stream.unixOffset / 1000) : null),
  sourcepids: ({ stream }) => (stream ? [process.pid] : null),
};

const defaultFields = Object.keys(fields).slice(0, 17);

/**
 * `active_streams`: names, or facts in one of three forms. Streams that play or are about to, and streams that still have a
 * session; ask for `status` to tell them apart.
 */
export const activeStreamsCall: Call = {
  name: "active_streams",
  run(value, { parts }, reply) {
    const names = activeNames(parts);
    const facts = (name: string): Facts => ({ name, stream: parts.directory.get(name), counters: parts.sessions.counters(name), parts });
    if (isObject(value)) {
      reply["active_streams"] = detailed(value, names, facts);
      return;
    }
    if (!Array.isArray(value) || value.length === 0) {
      reply["active_streams"] = names.length === 0 ? null : names;
      return;
    }
    const rows = names.map((name) => [name, value.map((field) => valueOf(field, facts(name)))] as const);
    reply["active_streams"] = rows.length === 0 ? null : Object.fromEntries(rows);
  },
};

/** `stats_streams`: streams that had a session within ten minutes, with their viewers and newest media time. */
export const statsStreamsCall: Call = {
  name: "stats_streams",
  run(value, { parts }, reply) {
    const names = [...new Set([...parts.sessions.knownStreams(), ...parts.directory.list().map((stream) => stream.name)])]
      .filter(Boolean)
      .sort();
    if (names.length === 0) {
      reply["stats_streams"] = null;
      return;
    }
    if (!Array.isArray(value) || value.length === 0) {
      reply["stats_streams"] = names;
      return;
    }
    const factOf = (field: unknown, name: string): number | null => {
      const stream = parts.directory.get(name);
      if (field === "clients") return parts.sessions.counters(name)?.viewers ?? 0;
      return field === "lastms" ? (stream ? Math.round(stream.lastTime / 1000) : -1) : null;
    };
    reply["stats_streams"] = Object.fromEntries(names.map((name) => [name, value.map((field) => factOf(field, name))]));
  },
};

function activeNames({ directory, sessions }: ApiParts): readonly string[] {
  const playing = directory.list().map((stream) => stream.name);
  const lingering = sessions.knownStreams().filter((name) => sessions.counters(name) !== undefined);
  return [...new Set([...playing, ...lingering])].filter((name) => name !== "").sort();
}

function detailed(value: Readonly<Record<string, unknown>>, names: readonly string[], facts: (name: string) => Facts): unknown {
  const wanted = [...textsOf(value["streams"]), ...textsOf(value["stream"])];
  const picked = names.filter((name) => wanted.length === 0 || wanted.some((pattern) => matches(pattern, name)));
  const asked = textsOf(value["fields"]);
  const shown = asked.length === 0 ? defaultFields : asked;
  if (value["longform"]) {
    return Object.fromEntries(picked.map((name) => [name, Object.fromEntries(shown.map((field) => [field, valueOf(field, facts(name))]))]));
  }
  const data = picked.map((name) => [name, shown.map((field) => valueOf(field, facts(name)))] as const);
  return data.length === 0 ? { fields: shown } : { fields: shown, data: Object.fromEntries(data) };
}

/** Exact, or `wild+` for all of its children. */
function matches(pattern: string, name: string): boolean {
  return pattern === name || (pattern.endsWith("+") && name.startsWith(pattern));
}

function valueOf(field: unknown, facts: Facts): unknown {
  return typeof field === "string" && Object.hasOwn(fields, field) ? fields[field]?.(facts) : null;
}
