import type { DecisionRecord } from "../../access/decisions.ts";
import type { FallbackState } from "../../access/fallback/fallback-rule.ts";
import type { LimitState } from "../../access/limits/limit.ts";
import type { SluiceError } from "../../base/errors.ts";
import type { LogEntry } from "../../base/log.ts";
import { baseName } from "../../base/stream-name.ts";
import type { Track } from "../../media/track.ts";
import type { SessionEnd, Sessions, SessionView, StreamCounters } from "../../sessions/session.ts";
import type { Stream, StreamState } from "../../streams/stream.ts";
import type { FeedEvent } from "./rings.ts";

/** A stream as it was when something happened to it: tracks and tags are never changed in place. */
export type StreamPicture = {
  readonly name: string;
  readonly kind: Stream["kind"];
  readonly state: StreamState;
  readonly tracks: readonly Track[];
  readonly tags: readonly string[];
  readonly counters: StreamCounters | undefined;
  readonly reason?: string;
};

/** How many watch and push now. */
export type StreamCount = { readonly name: string } & Pick<StreamCounters, "viewers" | "inputs" | "outputs">;

/** A session's end and what its connections were told. */
export type EndedSession = { readonly end: SessionEnd; readonly why: SluiceError };

/** What a kind is made text with: the session that has begun or changed is looked up when it is told. */
export type Lookup = Pick<Sessions, "get">;

/** The event's data, without what is no one's business: tokens, decoder configurations. */
export function dataOf(event: FeedEvent, lookup: Lookup): Readonly<Record<string, unknown>> {
  const { kind, type, at, subject } = event;
  return { type, at, ...membersOf(kind, type, subject, lookup) };
}

/** True when the event is about the stream; `pattern` is a name, or `base+` for all below it. */
export function isAbout({ kind, type, subject }: FeedEvent, pattern: string, lookup: Lookup): boolean {
  switch (kind) {
    case "stream":
      return isMeant((subject as StreamCount).name, pattern);
    case "session":
      if (type === "ended") return (subject as EndedSession).end.streams.some(([name]) => isMeant(name, pattern));
      return isMeant(lookup.get(subject as string)?.stream ?? "", pattern);
    case "decision":
      return isMeant((subject as DecisionRecord).stream, pattern);
    case "limit":
      return isMeant((subject as LimitState).key, pattern);
    case "fallback":
      return isMeant((subject as FallbackState).stream, pattern);
    case "log":
      return isMeant((subject as LogEntry).stream, pattern);
  }
}

/** True when a name is the one that is meant, or below it: `live+` means `live+one`, and `live` itself. */
export function isMeant(name: string, pattern: string): boolean {
  return pattern.endsWith("+") ? baseName(name) === pattern.slice(0, -1) : name === pattern;
}

export function streamShape({ name, kind, state, tracks, tags, counters }: StreamPicture): Readonly<Record<string, unknown>> {
  const { viewers = 0, inputs = 0, outputs = 0 } = counters ?? {};
  return { name, kind, state, tracks: tracks.map(trackShape), tags, viewers, inputs, outputs };
}

export function sessionShape(view: SessionView): Readonly<Record<string, unknown>> {
  const { id, type, state, stream, host, protocol, user, tags, startedAt, seconds, up, down } = view;
  return { id, type, state, stream, host, protocol, user, tags, startedAt, seconds, up, down };
}

function membersOf(kind: FeedEvent["kind"], type: string, subject: unknown, lookup: Lookup): Readonly<Record<string, unknown>> {
  if (kind === "stream" && type === "viewers") return { stream: subject };
  if (kind === "stream") {
    const picture = subject as StreamPicture;
    return { stream: streamShape(picture), ...(picture.reason !== undefined && { reason: picture.reason }) };
  }
  if (kind !== "session") return { [kind]: subject };
  if (type !== "ended") {
    const view = lookup.get(subject as string);
    return { session: view ? sessionShape(view) : { id: subject } };
  }
  const { end, why } = subject as EndedSession;
  const { streams, protocols, hosts } = end;
  return { session: { ...sessionShape(end), streams, protocols, hosts }, reason: why.message };
}

function trackShape(track: Track): Readonly<Record<string, unknown>> {
  const { config: _config, ...shown } = track;
  return shown;
}
