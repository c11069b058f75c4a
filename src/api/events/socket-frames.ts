import { tagText, useNames } from "../../access/told/user-end.ts";
import type { LogEntry } from "../../base/log.ts";
import { webSocketFrame, webSocketOpcodes } from "../../base/websocket.ts";
import { streamStates, type StreamState } from "../../streams/stream.ts";
import type { FeedEvent } from "./rings.ts";
import type { EndedSession, StreamCount } from "./shapes.ts";

/** What a connection of MistServer's WebSocket wants to hear: how far back, or undefined for nothing. */
export type SocketWish = { readonly logs: History | undefined; readonly accs: History | undefined; readonly streams: boolean };

/** The last `last` items, or those from Unix second `since` on. */
export type History = { readonly last: number } | { readonly since: number };

/** Reads `logs=N|since:UNIX`, `accs=N|since:UNIX` and `streams=ANYTHING`. What is no number counts as 0, as in MistServer. */
export function readWish(query: URLSearchParams): SocketWish {
  return { logs: historyOf(query.get("logs")), accs: historyOf(query.get("accs")), streams: (query.get("streams") ?? "") !== "" };
}

/** What of the events belongs to a history, oldest first. */
export function withinHistory(events: readonly FeedEvent[], history: History): readonly FeedEvent[] {
  if ("since" in history) return events.filter(({ at }) => Math.floor(at / 1000) >= history.since);
  return history.last > 0 ? events.slice(-history.last) : [];
}

/** `["auth", true|false]`, and the answer to a login. */
export function authText(value: unknown): string {
  return JSON.stringify(["auth", value]);
}

/** The frame of a log line or a session's end, to be sent to any number of peers; undefined for other events. */
export function frameOf(event: FeedEvent): Uint8Array | undefined {
  if (event.kind === "log") return textFrame(logItem(event.subject as LogEntry));
  if (event.kind !== "session" || event.type !== "ended") return undefined;
  const { id, streams, protocols, hosts, seconds, up, down, tags } = (event.subject as EndedSession).end;
  const unix = Math.floor(event.at / 1000);
  return textFrame(["access", [unix, id, useNames(streams), useNames(protocols), useNames(hosts), seconds, up, down, tagText(tags)]]);
}

/** `["stream", [name, status, viewers, inputs, outputs, tags]]`, as text: it is compared with the one before. */
export function streamText({ name, viewers, inputs, outputs }: StreamCount, state: StreamState, tags: readonly string[]): string {
  return JSON.stringify(["stream", [name, streamStates.indexOf(state), viewers, inputs, outputs, tagText(tags)]]);
}

export function textFrame(value: unknown): Uint8Array {
  return webSocketFrame(new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value)), webSocketOpcodes.text);
}

function logItem({ unix, kind, message, stream }: LogEntry): unknown {
  return ["log", [unix, kind, message, stream, process.pid, "sluice", ""]];
}

function historyOf(text: string | null): History | undefined {
  if (text === null || text === "") return undefined;
  return text.startsWith("since:") ? { since: whole(text.slice(6)) } : { last: whole(text) };
}

function whole(text: string): number {
  return /^\d{1,12}/.test(text) ? Number.parseInt(text, 10) : 0;
}
