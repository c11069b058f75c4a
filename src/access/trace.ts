import type { Limits, Rewriting, Verdict } from "../base/decision.ts";
import type { Clock } from "../base/time.ts";
import type { HandlerTrace } from "../triggers/journal/call-record.ts";
import type { CallTold } from "../triggers/trigger.ts";

/** One step of a decision: what was asked, how long the answer took, and what came of it. Never a key or a token. */
export type TraceStep = {
  readonly step: string;
  /** Milliseconds, to a tenth. */
  readonly ms: number;
  readonly text: string;
  /** The call's id in the journal: `sluice triggers show ID` has its payload. */
  readonly call?: string;
};

/** Rewrites that are a push's yes: who gives it a name has let it in. Others only say what it is. */
const letsIn: ReadonlySet<string> = new Set(["RTMP_PUSH_REWRITE", "PUSH_REWRITE"]);

const mostSteps = 32;
/** Characters of one step's text. */
const mostText = 400;

/** The steps of one decision, kept until it has ended. */
export class Trace {
  readonly steps: TraceStep[] = [];
  /** True once it is known that the source of the push has no password: what was sent as one is none, and may be shown. */
  withoutPassword = false;
  readonly #yes: string[] = [];
  #no = "";
  readonly #clock: Clock;
  #last: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#last = clock.monotonic();
  }

  /** Notes a step that has just ended. */
  add(step: string, text: string): void {
    const now = this.#clock.monotonic();
    this.#push({ step, ms: tenths(now - this.#last), text });
    this.#last = now;
  }

  /** Notes who let it happen, in a few words; all who did count. */
  yes(rule: string): void {
    if (!this.#yes.includes(rule)) this.#yes.push(rule);
    this.#no = "";
  }

  /** Notes who said no; the last one counts, until somebody says yes. */
  no(rule: string): void {
    this.#no = rule;
  }

  /** What decided; `reason` is the rule of a no that nobody has put his name to. */
  rule(result: "allow" | "deny", reason: string): string {
    return result === "deny" ? this.#no || reason : this.#yes.join("; ") || "nobody had to be asked";
  }

  /** Takes what a trigger's handlers have answered; hand it to `fire`. */
  readonly told: CallTold = ({ id, trigger, handlers, decision }, kept) => {
    const call = kept ? { call: id } : {};
    for (const one of handlers) {
      if (one.notAsked === undefined) this.#push({ step: trigger, ms: tenths(one.ms ?? 0), text: handlerWords(one), ...call });
    }
    const spared = handlers.filter(({ notAsked }) => notAsked !== undefined);
    if (spared.length > 0) {
      const text = `not asked: ${spared.map(({ handler, notAsked }) => `${handler} (${notAsked})`).join(", ")}`;
      this.#push({ step: trigger, ms: 0, text, ...call });
    }
    this.#last = this.#clock.monotonic();
    if (decision?.kind === "allow" || (decision?.kind === "rewrite" && letsIn.has(trigger))) this.yes(ruleOf(trigger, handlers, decision));
    if (decision?.kind === "deny") this.no(ruleOf(trigger, handlers, decision));
  };

  #push(step: TraceStep): void {
    const { text } = step;
    if (this.steps.length < mostSteps) this.steps.push(text.length > mostText ? { ...step, text: `${text.slice(0, mostText)}...` } : step);
  }
}

/** Who hears what the handlers of a trigger have answered; read only when one is asked. */
export type Hearer = { readonly told: CallTold };

/** Steps for one line of a log. */
export function stepWords(steps: readonly TraceStep[]): string {
  return steps.map(({ step, ms, text }) => `${step} (${ms} ms): ${text}`).join("; ");
}

function tenths(ms: number): number {
  return Math.round(ms * 10) / 10;
}

function handlerWords({ handler, role, answer, attempts = 0, failure }: HandlerTrace): string {
  const tries = attempts > 1 ? ` at attempt ${attempts}` : "";
  if (failure !== undefined)
    return `${handler} failed${tries}: ${failure}; ${answer ? `so ${answerWords(answer)}` : "it counts as no opinion"}`;
  if (role === "told") return `${handler} is only told`;
  const words = answer ? `says ${answerWords(answer)}` : "has no opinion";
  return role === "shadow" ? `${handler} ${words}${tries}, which does not count (shadow)` : `${handler} ${words}${tries}`;
}

/** The values of rewrites are left out: they may be names that nobody is to know. */
function answerWords(answer: Verdict | Rewriting): string {
  if (answer.kind === "rewrite") return answer.note === undefined ? "another value" : `another value; note: ${answer.note}`;
  if (answer.kind === "keep") return "as it is";
  const { ttl, staleFor, recheckEvery, expiresAt, scope, user, note, limits, roams, denyFor, final } = answer as Partial<
    Record<string, unknown>
  > & { readonly limits?: Limits | readonly Limits[] };
  const details = [
    user !== undefined && `user ${String(user)}`,
    ttl !== undefined && `for ${span(ttl)}`,
    staleFor !== undefined && `stale for ${span(staleFor)}`,
    recheckEvery !== undefined && `rechecked every ${span(recheckEvery)}`,
    typeof expiresAt === "number" && `until ${new Date(expiresAt).toISOString()}`,
    scope !== undefined && scope !== "session" && `for all with this ${String(scope)}`,
    ...(limits ? [limits].flat() : []).map(
      ({ sessions, per, by }) => `at most ${sessions} at once${by ? ` for this ${by}` : ""}${per ? " on each stream" : ""}`,
    ),
    roams === true && "address may change",
    denyFor !== undefined && `remembered for ${span(denyFor)}`,
    final === true && "final",
  ].filter((words) => typeof words === "string");
  const no = answer.kind === "deny" ? `no "${answer.reason}"` : "yes";
  return `${no}${details.length > 0 ? ` (${details.join(", ")})` : ""}${note === undefined ? "" : `; note: ${String(note)}`}`;
}

function span(value: unknown): string {
  return typeof value === "number" ? `${value} ms` : String(value);
}

/** Who decided: of a no the first who said it, of a value the last who gave one, of a yes all who said it. */
function ruleOf(trigger: string, handlers: readonly HandlerTrace[], decision: Verdict | Rewriting): string {
  const deciding = handlers.filter(
    ({ role, notAsked, answer }) => role === "decides" && notAsked === undefined && answer?.kind === decision.kind,
  );
  const counted = decision.kind === "deny" ? deciding.slice(0, 1) : decision.kind === "rewrite" ? deciding.slice(-1) : deciding;
  if (counted.length === 0) return `${trigger}: no handler had an opinion`;
  const failed = counted.every(({ failure }) => failure !== undefined) ? " (failed)" : "";
  return `${trigger} ${counted.map(({ handler }) => handler).join(", ")}${failed}`;
}
