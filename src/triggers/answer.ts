import { allow, type Deny, deny, keep, type Rewriting, rewrite, type Verdict } from "../base/decision.ts";
import { type Duration, durationMs } from "../base/time.ts";
import type { FailureCause } from "./failure-cause.ts";
import { type TriggerDefinition, type TriggerName, triggers } from "./table.ts";

/** What one handler said. Undefined: nothing, so that what others said, or the value that was there, holds. */
export type Reading = Verdict | Rewriting | undefined;

/** The client is told this when nobody could be asked. It is no answer, so it is not remembered for long. */
export const checkFailed: Deny = { ...deny("the check could not be made; try again later", { denyFor: "10s" }), failed: true };

/** A handler that could not be asked, or whose answer cannot be used. The message ends the sentence "the handler failed: ...". */
export class HandlerFailure extends Error {
  override readonly name = "HandlerFailure";
  /** Which row of `onFail` holds; "answer" if nothing is said. */
  readonly sort: FailureCause;
  constructor(message: string, options: { readonly cause?: unknown; readonly sort?: FailureCause } = {}) {
    super(message, options);
    this.sort = options.sort ?? "answer";
  }
}

/** MistServer's reading of a yes: white space and case do not count, and the first four characters decide. */
export function isPositive(text: string): boolean {
  return /^(?:1|yes|true|cont)/.test(text.replace(/\s+/g, "").toLowerCase().slice(0, 4));
}

/** Reads the text that an HTTP or executable handler answered. Values are trimmed, unlike MistServer's. */
export function readText(name: TriggerName, text: string): Reading {
  const definition: TriggerDefinition = triggers[name];
  if (definition.answer === "notify") return undefined;
  if (definition.answer === "verdict") return isPositive(text) ? allow() : deny();
  const value = text.trim();
  if (value !== "") return rewrite(value);
  return definition.empty === "keep" ? keep() : deny();
}

/**
 * Reads what a function answered: a decision, or its short form. `keep()` says nothing: a handler without an opinion does
 * not undo the no of another. Throws `HandlerFailure` for everything that the trigger's kind does not allow.
 */
export function readNative(name: TriggerName, value: unknown): Reading {
  const definition: TriggerDefinition = triggers[name];
  if (definition.answer === "notify") return undefined;
  const kind = isObject(value) ? value.kind : undefined;
  if (isObject(value) && kind === "deny") return readDeny(value);
  if (definition.answer === "verdict") {
    if (typeof value === "boolean") return value ? allow() : deny();
    if (isObject(value) && kind === "allow") return readAllow(value);
    throw new HandlerFailure(`it answered ${shape(value)}; ${name} wants true, false, allow(...) or deny(...)`);
  }
  if (typeof value === "string") return readText(name, value);
  if (isObject(value) && kind === "rewrite" && typeof value.to === "string") return readText(name, value.to);
  if (kind === "keep") return undefined;
  throw new HandlerFailure(`it answered ${shape(value)}; ${name} wants a text, rewrite(...), keep() or deny(...)`);
}

/** What holds when a handler fails and nobody said what then: the table's `fail`; a value stays as it was. */
export function tableFailure(name: TriggerName): Reading {
  const definition: TriggerDefinition = triggers[name];
  if (definition.answer !== "verdict") return undefined;
  return definition.fail === "deny" ? checkFailed : allow();
}

/** Joins verdicts: the first no wins, one that was said before one of a failure; of several yeses the one that is asked again soonest. */
export function joinVerdicts(earlier: Verdict, later: Verdict): Verdict {
  if (earlier.kind === "deny") return earlier.failed && later.kind === "deny" && !later.failed ? later : earlier;
  if (later.kind === "deny" || earlier.recheckEvery === undefined) return later;
  if (later.recheckEvery === undefined) return earlier;
  return durationMs(later.recheckEvery) < durationMs(earlier.recheckEvery) ? later : earlier;
}

function readAllow(value: Readonly<Record<string, unknown>>): Verdict {
  const recheckEvery = readDuration(value, "recheckEvery");
  return recheckEvery === undefined ? allow() : allow({ recheckEvery });
}

function readDeny(value: Readonly<Record<string, unknown>>): Deny {
  const reason = typeof value.reason === "string" && value.reason !== "" ? value.reason : undefined;
  const denyFor = readDuration(value, "denyFor");
  return denyFor === undefined ? deny(reason) : deny(reason, { denyFor });
}

function readDuration(value: Readonly<Record<string, unknown>>, field: string): Duration | undefined {
  const duration = value[field];
  if (duration === undefined) return undefined;
  try {
    durationMs(duration as Duration);
    return duration as Duration;
  } catch (cause) {
    throw new HandlerFailure(`it answered with a \`${field}\` that is no duration`, { cause });
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

/** Names a value without showing it: it may hold what no log should. */
function shape(value: unknown): string {
  if (isObject(value)) return typeof value.kind === "string" ? `an object of kind "${value.kind.slice(0, 20)}"` : "an object";
  if (value === undefined || value === null) return String(value);
  return `a ${typeof value}`;
}
