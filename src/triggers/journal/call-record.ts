import type { Rewriting, Verdict } from "../../base/decision.ts";
import type { Reading } from "../answer.ts";
import type { TriggerName } from "../table.ts";

/**
 * Why a handler is asked: its answer counts; it is only compared (`mode: "shadow"`); or somebody wants to know what would
 * happen. In the last two nothing may be changed because of the question. HTTP handlers see it as `X-Trigger-Mode`.
 */
export type CallMode = "live" | "shadow" | "rehearsal";

/** One handler's part in a call. */
export type HandlerTrace = {
  /** As in the list of handlers. */
  readonly id: string;
  /** For people: the URL without its query, the path, or the function's name. */
  readonly handler: string;
  /** Does its answer count (`decides`), is it only `told`, or is its answer only written down (`shadow`)? */
  readonly role: "decides" | "told" | "shadow";
  /** Why it was not asked; absent when it was. */
  readonly notAsked?: string;
  /** What it said, or what holds because it failed; absent when it said nothing. */
  readonly answer?: Reading;
  /** How long it took. */
  readonly ms?: number;
  /** How often it was tried; absent for functions. */
  readonly attempts?: number;
  /** Why there is no usable answer of its own. */
  readonly failure?: string;
};

/** One firing of a trigger, from the question to the decision. */
export type CallRecord = {
  /** The call's UUID: handlers get it as `X-Trigger-UUID`. */
  readonly id: string;
  /** Unix milliseconds at which it was fired. */
  readonly time: number;
  readonly trigger: TriggerName;
  /** The stream that filters looked at; empty when there is none. */
  readonly stream: string;
  readonly payload: Readonly<Record<string, unknown>>;
  readonly handlers: readonly HandlerTrace[];
  /** What all answers came to; absent for triggers that only tell. */
  readonly decision?: Verdict | Rewriting;
  /** From the firing to the decision. */
  readonly ms: number;
};

/** Takes records; the journal is one. It is asked before anything is written down, so that nothing is spent when it is off. */
export interface CallSink {
  readonly on: boolean;
  add(record: CallRecord): void;
}

/** True when somebody will want to read it: a no, a failure, or a shadow that would have decided otherwise. */
export function isRemarkable({ decision, handlers }: CallRecord): boolean {
  return (
    decision?.kind === "deny" || handlers.some((one) => one.failure !== undefined || (one.role === "shadow" && differs(one, decision)))
  );
}

function differs({ notAsked, answer }: HandlerTrace, decision: CallRecord["decision"]): boolean {
  return notAsked === undefined && answer !== undefined && decision !== undefined && !sameDecision(answer, decision);
}

/** Do two decisions have the same effect now: the same kind and, where there is one, the same value? Their words and lives may differ. */
export function sameDecision(one: Verdict | Rewriting, other: Verdict | Rewriting): boolean {
  if (one.kind === "rewrite" && other.kind === "rewrite") return one.to === other.to;
  return one.kind === other.kind;
}
