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

/** The texts of a string, of a list, or of an object's values: the forms that MistServer takes for lists of ids. */
export function textsOf(value: unknown): readonly string[] {
  if (typeof value === "string") return [value];
  const list = Array.isArray(value) ? value : isObject(value) ? Object.values(value) : [];
  return list.filter((item) => typeof item === "string");
}

/** The fields that were asked for, in the server's order; all of them if none of them is known. */
export function pickFields<F extends string>(asked: unknown, all: readonly F[]): readonly F[] {
  const names: readonly unknown[] = Array.isArray(asked) ? asked : typeof asked === "string" ? [asked] : [];
  const picked = all.filter((field) => names.includes(field));
  return picked.length === 0 ? all : picked;
}

/** MistServer answers a list of questions with a list of answers, in order. */
export function each(value: unknown, answer: (question: Readonly<Record<string, unknown>>) => unknown): unknown {
  return Array.isArray(value) ? value.map((item) => answer(isObject(item) ? item : {})) : answer(isObject(value) ? value : {});
}
