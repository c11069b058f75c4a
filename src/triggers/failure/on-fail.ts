import { allow, deny, keep, rewrite } from "../../base/decision.ts";
import { SluiceError } from "../../base/errors.ts";
import { functionFailure, HandlerFailure, type Reading, readNative } from "../answer.ts";
import { type FailureCause, failureCauses } from "./failure-cause.ts";
import { createLastKnown } from "./last-known.ts";
import { type TriggerDefinition, type TriggerName, triggers } from "../table.ts";
import type { Answer } from "../trigger.ts";

/** In `onFail`: what the handler last answered to the same question; if it was never asked that, `otherwise`. */
export type LastAnswer<A> = { readonly kind: "last-known"; readonly otherwise?: A };

/**
 * In `onFail`: what this handler last answered for the same session (or, where there is none, to the same payload).
 * It remembers 10,000 answers, as long as the server runs. For a question that is new, `otherwise` holds; left out, nobody is let in.
 */
export function lastKnown(): LastAnswer<never>;
export function lastKnown<A>(otherwise: A): LastAnswer<A>;
export function lastKnown<A>(otherwise?: A): LastAnswer<A> {
  return otherwise === undefined ? { kind: "last-known" } : { kind: "last-known", otherwise };
}

/** What may hold when a handler fails: an answer of the trigger, or its last one. */
export type FailAnswer<K extends TriggerName> = Answer<K> | LastAnswer<Answer<K>>;

/** One answer for all causes, or one for each: `{ timeout: keep(), default: deny("...") }`. Nobody waits for a notification's answer. */
export type OnFail<K extends TriggerName> = [Answer<K>] extends [void]
  ? undefined
  : FailAnswer<K> | ({ readonly [C in FailureCause]?: FailAnswer<K> } & { readonly default: FailAnswer<K> });

/** `onFail` in words, for JSON. */
type FailWords<K extends TriggerName> =
  | "deny"
  | `deny: ${string}`
  | "last-known"
  | ((typeof triggers)[K]["answer"] extends "rewrite" ? "keep" | `value: ${string}` : "allow");

/** `onFail` of an HTTP or executable handler: words or decisions, one for all causes or one for each. */
export type EntryOnFail<K extends TriggerName> = [Answer<K>] extends [void]
  ? never
  :
      | FailWords<K>
      | Exclude<FailAnswer<K>, string>
      | ({ readonly [C in FailureCause]?: FailWords<K> | Exclude<FailAnswer<K>, string> } & {
          readonly default: FailWords<K> | Exclude<FailAnswer<K>, string>;
        });

/** What holds for one cause: always the same, or the last answer. */
type Step = { readonly lastKnown: boolean; readonly reading: Reading };

/** `onFail`, read: what holds for each cause. */
export type FailurePolicy = Readonly<Record<FailureCause, Step>>;

/** The same for all causes. */
export function alwaysOnFail(reading: Reading): FailurePolicy {
  return everyCause(() => ({ lastKnown: false, reading }));
}

/** Reads `onFail` of a function; `path` names it in errors. Throws "config.invalid". */
export function readOnFail(name: TriggerName, value: unknown, path: string): FailurePolicy {
  return read({ name, words: false }, value, path);
}

/** Reads `onFail` of an HTTP or executable handler, which may be written in words. Throws "config.invalid". */
export function readEntryOnFail(name: TriggerName, value: unknown, path: string): FailurePolicy {
  return read({ name, words: true }, value, path);
}

/** For messages: what may stand in `onFail` of this trigger. */
export function onFailWords(name: TriggerName, words = false): string {
  const { answer }: TriggerDefinition = triggers[name];
  if (answer === "notify") return "left out: nobody waits for the answer";
  const native = answer === "verdict" ? "allow(), deny(reason)" : "deny(reason), keep(), rewrite(value)";
  const text = answer === "verdict" ? '"allow", "deny: REASON"' : '"deny: REASON", "keep", "value: NAME"';
  const causes = `an object with one of these for each cause (${Object.keys(failureCauses).join(", ")}) and for \`default\``;
  return words ? `${text}, "last-known", or ${causes}` : `${native}, lastKnown(), or ${causes}`;
}

/** What holds for a cause, as the end of a sentence. */
export function consequence({ lastKnown, reading }: Step): string {
  const otherwise = consequenceOf(reading);
  return lastKnown ? `what it last answered holds, else ${otherwise}` : otherwise;
}

function consequenceOf(reading: Reading): string {
  if (reading === undefined || reading.kind === "keep") return "the value stays as it was";
  if (reading.kind === "rewrite") return "the configured value is used";
  return reading.kind === "deny" ? "the answer is no" : "the answer is yes";
}

/** Keeps what one handler answered, if its policy needs that, and says what holds when it fails. */
export interface Failures {
  readonly policy: FailurePolicy;
  succeeded(payload: Readonly<Record<string, unknown>>, reading: Reading): void;
  failed(payload: Readonly<Record<string, unknown>>, cause: FailureCause): Reading;
}

/** Makes the failure handling of one handler. */
export function createFailures(name: TriggerName, policy: FailurePolicy): Failures {
  const memory = Object.values(policy).some((step) => step.lastKnown) ? createLastKnown(name) : undefined;
  return {
    policy,
    succeeded: (payload, reading) => memory?.remember(payload, reading),
    failed(payload, cause) {
      const { lastKnown, reading } = policy[cause];
      const known = lastKnown ? memory?.recall(payload) : undefined;
      return known ? known.reading : reading;
    },
  };
}

/** Whose `onFail` is read, and whether a text is one of the words (else it is a value). */
type Place = { readonly name: TriggerName; readonly words: boolean };

function read(place: Place, value: unknown, path: string): FailurePolicy {
  if (triggers[place.name].answer === "notify") throw wrong(place, value, path);
  if (!isObject(value) || typeof value.kind === "string") {
    const step = readOne(place, value, path);
    return everyCause(() => step);
  }
  const known = [...Object.keys(failureCauses), "default"];
  for (const key of Object.keys(value)) {
    if (!known.includes(key))
      throw new SluiceError("config.invalid", `${path}.${key} is no cause of failure; known are ${known.join(", ")}`);
  }
  if (value.default === undefined)
    throw new SluiceError("config.invalid", `${path}.default is missing: it says what holds for the causes that are left out`);
  const steps = new Map(
    Object.entries(value)
      .filter(([, one]) => one !== undefined)
      .map(([cause, one]) => [cause, readOne(place, one, `${path}.${cause}`)]),
  );
  const otherwise = steps.get("default") as Step;
  return everyCause((cause) => steps.get(cause) ?? otherwise);
}

function readOne(place: Place, value: unknown, path: string): Step {
  const last = value === "last-known" || (isObject(value) && value.kind === "last-known");
  if (!last) return { lastKnown: false, reading: readChecked(place, value, path) };
  const otherwise = isObject(value) ? value.otherwise : undefined;
  if (otherwise !== undefined) return { lastKnown: true, reading: readChecked(place, otherwise, `${path}.otherwise`) };
  return { lastKnown: true, reading: functionFailure(place.name) };
}

function readChecked(place: Place, value: unknown, path: string): Reading {
  try {
    return place.words && typeof value === "string" ? readWords(place.name, value) : readNative(place.name, value);
  } catch (error) {
    if (!(error instanceof HandlerFailure)) throw error;
    throw wrong(place, value, path, error);
  }
}

function readWords(name: TriggerName, text: string): Reading {
  const { answer }: TriggerDefinition = triggers[name];
  const [, word, rest] = /^\s*([a-z-]+)\s*(?::\s*(.*?)\s*)?$/s.exec(text) ?? [];
  if (word === "deny") return readNative(name, rest ? deny(rest) : deny());
  if (word === "allow" && rest === undefined && answer === "verdict") return allow();
  if (word === "keep" && rest === undefined && answer === "rewrite") return readNative(name, keep());
  if (word === "value" && rest && answer === "rewrite") return rewrite(rest);
  throw new HandlerFailure("it is none of the words");
}

function everyCause(step: (cause: FailureCause) => Step): FailurePolicy {
  return Object.fromEntries((Object.keys(failureCauses) as FailureCause[]).map((cause) => [cause, step(cause)])) as FailurePolicy;
}

function wrong({ name, words }: Place, value: unknown, path: string, cause?: HandlerFailure): SluiceError {
  const stands = typeof value === "function" ? "a function" : (JSON.stringify(value) ?? String(value)).slice(0, 80);
  const message = `${path} is no answer of this trigger: here stands ${stands}; there must be ${onFailWords(name, words)}`;
  return new SluiceError("config.invalid", message, { cause });
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
