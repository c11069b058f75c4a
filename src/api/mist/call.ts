import type { LogKind } from "../../base/log.ts";
import type { StreamEntry } from "../../config/settings.ts";
import type { ApiParts, Asker } from "../parts.ts";

/** The members of an answer. */
export type Reply = Record<string, unknown>;

/** What a call works with: the server's parts, and this one request. */
export type CallContext = {
  readonly parts: ApiParts;
  readonly asker: Asker;
  /** Streams that this request has added or changed: an answer may list only those. */
  readonly added: Map<string, StreamEntry>;
  /** Run when the answer has been sent. */
  readonly afterwards: (() => void)[];
};

/** One call of the API: `name` is the command's member, `run` gets its value and may add members to the answer. */
export type Call = {
  readonly name: string;
  run(value: unknown, context: CallContext, reply: Reply): void | Promise<void>;
};

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Says in the answer's `error` and in the log what a call could not do: there, one line for each. */
export function complain({ parts }: Pick<CallContext, "parts">, reply: Reply, text: string, kind: LogKind = "WARN"): void {
  parts.log.write(kind, text.startsWith("API: ") ? text : `API: ${text}`);
  reply["error"] = typeof reply["error"] === "string" ? `${reply["error"]}\n${text}` : text;
}

/** True for the name itself, for `base+` and what begins so, and for a pattern with `*` that fits. */
export function fitsStream(pattern: string, name: string): boolean {
  if (pattern.endsWith("+")) return name.startsWith(pattern);
  const [head = "", ...tails] = pattern.split("*");
  if (tails.length === 0) return pattern === name;
  if (!name.startsWith(head)) return false;
  let at = head.length;
  for (const part of tails.slice(0, -1)) {
    const found = name.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  const tail = tails.at(-1) ?? "";
  return name.length - tail.length >= at && name.endsWith(tail);
}

/** The texts of a string, of a list, or of an object's values: the forms that MistServer takes for lists of ids. */
export function textsOf(value: unknown): readonly string[] {
  if (typeof value === "string") return [value];
  const list = Array.isArray(value) ? value : isObject(value) ? Object.values(value) : [];
  return list.filter((item) => typeof item === "string");
}

/** The fields that were asked for, in the server's order; the usual ones if none of them is known. */
export function pickFields<F extends string>(asked: unknown, all: readonly F[], usual = all): readonly F[] {
  const names: readonly unknown[] = Array.isArray(asked) ? asked : typeof asked === "string" ? [asked] : [];
  const picked = all.filter((field) => names.includes(field));
  return picked.length === 0 ? usual : picked;
}

/** MistServer answers a list of questions with a list of answers, in order. */
export function each(value: unknown, answer: (question: Readonly<Record<string, unknown>>) => unknown): unknown {
  return Array.isArray(value) ? value.map((item) => answer(isObject(item) ? item : {})) : answer(isObject(value) ? value : {});
}
