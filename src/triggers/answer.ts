import {
  type Allow,
  allow,
  type Deny,
  deny,
  keep,
  type Limits,
  type Rewriting,
  rewrite,
  type Scope,
  type Verdict,
} from "../base/decision.ts";
import { type Duration, durationMs } from "../base/time.ts";
import { readAllow, readDeny, readPush } from "./decision-object.ts";
import { HandlerFailure } from "./failure/handler-failure.ts";
import { type TriggerDefinition, type TriggerName, type TypedAction, triggers } from "./table.ts";

export { HandlerFailure } from "./failure/handler-failure.ts";

/** What one handler said. Undefined: nothing, so that what others said, or the value that was there, holds. */
export type Reading = Verdict | Rewriting | undefined;

/** What a handler outside of the process answered; the headers are those of an HTTP handler. */
export type Reply = {
  readonly text: string;
  /** `X-Mist-Trigger-Action`. */
  readonly action?: string;
  /** `X-Mist-Trigger-Reason`. */
  readonly reason?: string;
};

const offlinePrefix = "offline:";
/** Characters of a reason that are kept. */
const mostReason = 500;

/** The client is told this when nobody could be asked. It is no answer, so it is not remembered for long. */
export const checkFailed: Deny = { ...deny("the check could not be made; try again later", { denyFor: "10s" }), failed: true };

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
  if (name === "STREAM_SOURCE" && value.startsWith(offlinePrefix)) return offline(value.slice(offlinePrefix.length));
  if (value !== "") return rewrite(value);
  return definition.empty === "keep" ? keep() : deny();
}

/**
 * Reads the answer of an HTTP handler in the text form. `X-Mist-Trigger-Action` makes it a typed one: a no that is typed
 * ends the asking. Throws `HandlerFailure` for a word that the trigger does not take.
 */
export function readReply(name: TriggerName, { text, action, reason }: Reply): Reading {
  const definition: TriggerDefinition = triggers[name];
  if (definition.answer === "notify" || action === undefined) return readText(name, text);
  const word = action.trim().toLowerCase();
  if (word === "value") return readText(name, text);
  const typed = (word === "configured" ? "use-configured" : word) as TypedAction;
  if (!definition.actions?.includes(typed)) {
    const may = ["value", ...(definition.actions ?? [])].join(", ");
    throw new HandlerFailure(`its X-Mist-Trigger-Action is no word for ${name}; it may be ${may}`);
  }
  switch (typed) {
    case "deny":
      return deny(readable(reason), { final: true });
    case "offline":
      return offline(reason);
    case "use-configured":
      return keep();
    case "keep":
      return undefined;
  }
}

/** STREAM_SOURCE says that there is nothing to open. */
export function offline(reason?: string): Deny {
  return deny(readable(reason) ?? "This stream is offline.", { final: true });
}

/** A reason without what no header, log line or page should carry; undefined for none. */
function readable(reason: string | undefined): string | undefined {
  // oxlint-disable-next-line no-control-regex -- control characters are what this removes
  const plain = reason?.replace(/[\u0000-\u001f\u007f-\u009f]/g, " ").trim();
  return plain ? plain.slice(0, mostReason) : undefined;
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
  if (isObject(value) && kind === "rewrite" && typeof value.to === "string") {
    const reading = readText(name, value.to);
    return reading?.kind === "rewrite" ? rewrite(reading.to, readPush(value)) : reading;
  }
  if (kind === "keep") return undefined;
  throw new HandlerFailure(`it answered ${shape(value)}; ${name} wants a text, rewrite(...), keep() or deny(...)`);
}

/** What holds when a handler fails and nobody said what then: the table's `fail`; a value stays as it was. */
export function tableFailure(name: TriggerName): Reading {
  const definition: TriggerDefinition = triggers[name];
  if (definition.answer !== "verdict") return undefined;
  return definition.fail === "deny" ? checkFailed : allow();
}

/**
 * What holds when a function fails that says nothing about failure: where it lets somebody in, nobody gets in, also not
 * under the name that was to be replaced. MistServer's entries keep the value there (`tableFailure`).
 */
export function functionFailure(name: TriggerName): Reading {
  const definition: TriggerDefinition = triggers[name];
  return definition.access ? checkFailed : tableFailure(name);
}

/**
 * Joins verdicts: the first no wins, one that was said before one of a failure. Of several yeses the narrower life holds:
 * the shorter spans, the narrower scope, all tags; of users the one that was named last; of limits the lower number, for each
 * stream only if all say so.
 */
export function joinVerdicts(earlier: Verdict, later: Verdict): Verdict {
  if (earlier.kind === "deny") return earlier.failed && later.kind === "deny" && !later.failed ? later : earlier;
  return later.kind === "deny" ? later : joinYeses(earlier, later);
}

function joinYeses(earlier: Allow, later: Allow): Allow {
  const ttl = shorter(earlier.ttl, later.ttl);
  // A yes without an end is as good as one that may be stale for ever.
  const staleFor = shorter(earlier.ttl && (earlier.staleFor ?? 0), later.ttl && (later.staleFor ?? 0));
  const recheckEvery = shorter(earlier.recheckEvery, later.recheckEvery);
  const ends = [earlier.expiresAt, later.expiresAt].filter((end) => end !== undefined);
  const roams = earlier.roams === false || later.roams === false ? false : (later.roams ?? earlier.roams);
  const note = [earlier.note, later.note].filter((words) => words !== undefined).join("; ");
  const scope = narrower(earlier, later);
  const user = later.user ?? earlier.user;
  const tags = [...new Set([...(earlier.tags ?? []), ...(later.tags ?? [])])];
  const limits = lower(earlier.limits, later.limits);
  return allow({
    ...(ttl !== undefined && { ttl }),
    ...(ttl !== undefined && staleFor !== undefined && staleFor !== 0 && { staleFor }),
    ...(recheckEvery !== undefined && { recheckEvery }),
    ...(ends.length > 0 && { expiresAt: Math.min(...ends) }),
    ...(roams !== undefined && { roams }),
    ...(scope !== undefined && { scope }),
    ...(user !== undefined && { user }),
    ...(note !== "" && { note }),
    ...(tags.length > 0 && { tags }),
    ...(limits && { limits }),
  });
}

/** Two plain limits make the lower one; others stand beside each other, and all hold. */
function lower(one: Allow["limits"], other: Allow["limits"]): Allow["limits"] {
  if (!one || !other) return one ?? other;
  if (isPlain(one) && isPlain(other)) {
    return { sessions: Math.min(one.sessions, other.sessions), ...(one.per === other.per && one.per && { per: one.per }) };
  }
  return [one, other].flat();
}

function isPlain(limits: NonNullable<Allow["limits"]>): limits is Limits {
  return !Array.isArray(limits) && Object.keys(limits).every((key) => key === "sessions" || key === "per");
}

function shorter(one: Duration | undefined, other: Duration | undefined): Duration | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return durationMs(other) < durationMs(one) ? other : one;
}

/** A wide yes holds only if all say so: who said yes to one session wants to be asked about the next. */
function narrower(one: Allow, other: Allow): Scope | undefined {
  return one.scope === other.scope ? one.scope : undefined;
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
