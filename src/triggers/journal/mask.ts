import { createHmac, type KeyObject } from "node:crypto";
import type { Reading } from "../answer.ts";
import type { CallRecord, HandlerTrace } from "./call-record.ts";
import type { TriggerName } from "../table.ts";

/** Takes secrets out of what is written down. The same secret always becomes the same mark, so that it can be found by it. */
export interface Mask {
  /** `#` and 12 hexadecimal digits. Without the key nobody can test a guess. */
  mark(secret: string): string;
  record(record: CallRecord): CallRecord;
}

/**
 * Triggers whose `stream` may still be what the client typed, a push key or a viewing token. It is shown when a stream has
 * this name. In all other triggers the name is final.
 */
const beforeTheName: ReadonlySet<TriggerName> = new Set<TriggerName>([
  "PUSH_REWRITE",
  "PLAY_REWRITE",
  "DEFAULT_STREAM",
  "CONN_OPEN",
  "CONN_CLOSE",
  "STREAM_LOAD",
  "STREAM_SOURCE",
]);

/** Triggers whose rewrite is a name and no URL. */
const answersName: ReadonlySet<TriggerName> = new Set<TriggerName>(["PUSH_REWRITE", "PLAY_REWRITE", "DEFAULT_STREAM"]);

/** Headers that say nothing about who somebody is; all others are masked. */
const plainHeaders: ReadonlySet<string> = new Set([
  ...["accept", "accept-encoding", "accept-language", "connection", "content-length", "content-type", "host", "origin", "range"],
  ...["upgrade", "user-agent", "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site"],
]);

/** Parts of addresses that are the same for everybody. */
const plainSegments: ReadonlySet<string> = new Set([
  ...["", "live", "play", "hls", "cmaf", "dash", "whip", "whep", "static", "index.m3u8", "index.mpd", "live.json"],
]);

/** Makes a mask. `isPublic`: does a stream of this name exist, so that the name is no secret? */
export function createMask(key: KeyObject, isPublic: (name: string) => boolean): Mask {
  const mark = (secret: string): string => (secret === "" ? "" : `#${createHmac("sha256", key).update(secret).digest("hex").slice(0, 12)}`);
  const name = (value: string): string => (isPublic(value) ? value : mark(value));

  const segment = (part: string): string => {
    if (plainSegments.has(part)) return part;
    const text = decoded(part);
    const extension = /\.[a-z0-9]{2,5}$/i.exec(text)?.[0] ?? "";
    return isPublic(text) ? part : name(text.slice(0, text.length - extension.length)) + extension;
  };
  const url = (value: string): string => {
    const parts = /^([a-z][a-z0-9+.-]*:\/\/)([^/?#]*)([^?#]*)(\?[^#]*)?/i.exec(value);
    if (!parts) return value;
    const [, scheme = "", authority = "", path = "", query = ""] = parts;
    const host = authority.includes("@")
      ? `${mark(authority.slice(0, authority.lastIndexOf("@")))}@${authority.split("@").at(-1)}`
      : authority;
    const fields = query
      .slice(1)
      .split("&")
      .map((field) => {
        const equals = field.indexOf("=");
        return equals < 0 ? name(decoded(field)) : `${field.slice(0, equals)}=${name(decoded(field.slice(equals + 1)))}`;
      });
    return scheme + host + path.split("/").map(segment).join("/") + (query === "" ? "" : `?${fields.join("&")}`);
  };
  /** Texts that are addresses, wherever they stand. */
  const deep = (value: unknown, depth = 0): unknown => {
    if (typeof value === "string") return url(value);
    if (typeof value !== "object" || value === null || depth > 8) return value;
    if (Array.isArray(value)) return value.map((item) => deep(item, depth + 1));
    return mapped(value, (item) => deep(item, depth + 1));
  };
  const field = (trigger: TriggerName, key: string, value: unknown): unknown => {
    if (key === "token" && typeof value === "string") return mark(value);
    if (key === "asked" && typeof value === "string") return name(value);
    if (key === "stream" && typeof value === "string") return beforeTheName.has(trigger) ? name(value) : value;
    if (key === "query" && isObject(value)) return mapped(value, (item) => name(String(item)));
    if (key === "cookies" && isObject(value)) return mapped(value, (item) => mark(String(item)));
    if (key === "headers" && isObject(value))
      return mapped(value, (item, header) => (plainHeaders.has(header) ? item : headerOf(header, item)));
    return deep(value);
  };
  const headerOf = (header: string, value: unknown): string => (header === "referer" ? url(String(value)) : mark(String(value)));
  const reading = <R extends Reading>(trigger: TriggerName, value: R): R =>
    value?.kind === "rewrite" && !answersName.has(trigger) ? { ...value, to: url(value.to) } : value;
  const handler = (trigger: TriggerName, trace: HandlerTrace): HandlerTrace =>
    trace.answer?.kind === "rewrite" ? { ...trace, answer: reading(trigger, trace.answer) } : trace;

  return {
    mark,
    record: (record) => ({
      ...record,
      stream: beforeTheName.has(record.trigger) ? name(record.stream) : record.stream,
      payload: mapped(record.payload, (value, key) => field(record.trigger, key, value)),
      handlers: record.handlers.map((trace) => handler(record.trigger, trace)),
      ...(record.decision && { decision: reading(record.trigger, record.decision) }),
    }),
  };
}

function mapped(value: object, change: (value: unknown, key: string) => unknown): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, change(item, key)]));
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
