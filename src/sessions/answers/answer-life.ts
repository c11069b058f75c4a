import type { Allow, Deny, Verdict } from "../../base/decision.ts";
import { messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { type Duration, durationMs } from "../../base/time.ts";

/** A no holds this long if its handler does not say how long. */
const refusalMs = 600_000;
/** After a handler's failure the viewer may be asked about again this soon. */
export const failureMs = 5_000;

/** A question is due so long before `expiresAt`, or a tenth of the time that is left, if that is less. */
const mostLeadMs = 10_000;
/** Questions that are due are found once in so many milliseconds. */
export const lookEveryMs = 1000;

/** How long a yes holds, in monotonic milliseconds; infinite where nothing is said. */
export type YesLife = {
  /** When it came. */
  readonly at: number;
  /** Its `ttl` is over: a fresh answer is fetched. */
  readonly freshUntil: number;
  /** Its `staleFor` is over, too: nobody is let in by it. */
  readonly until: number;
  /** `expiresAt`: who watches is ended, whatever `staleFor` says. */
  readonly endsAt: number;
  /** From here on it is asked again because of that. */
  readonly renewAt: number;
  /** The next question. */
  readonly recheckAt: number;
};

/** What counts of the yes before: for one and the same `expiresAt` there is one question, as a token's end does not change. */
type Before = Pick<YesLife, "endsAt" | "renewAt">;

/** The times of a question: `now` is monotonic, `unix` the same moment in Unix milliseconds. */
type Moment = { readonly now: number; readonly unix: number };

/** The life of a yes that came at `at`; `recheckEvery` counts from `now`. A duration that is none is told and replaced. */
export function lifeOfYes(verdict: Allow, at: number, { now, unix }: Moment, log: Log, before?: Before): YesLife {
  const { ttl, staleFor, recheckEvery, expiresAt } = verdict;
  const endsAt = expiresAt === undefined ? Number.POSITIVE_INFINITY : now + expiresAt - unix;
  const lead = Math.min(mostLeadMs, (endsAt - now) / 10) + lookEveryMs;
  // The wall clock may be set between two answers that say the same: a second more is no later end.
  const asked = before !== undefined && now >= before.renewAt && endsAt <= before.endsAt + lookEveryMs;
  const renewAt = asked ? before.renewAt : endsAt === Number.POSITIVE_INFINITY ? endsAt : Math.max(now, endsAt - lead);
  const freshUntil = at + (ttl === undefined ? Number.POSITIVE_INFINITY : spanOf(ttl, refusalMs, log));
  const until = freshUntil + (staleFor === undefined ? 0 : spanOf(staleFor, 0, log));
  const again = now + (recheckEvery === undefined ? Number.POSITIVE_INFINITY : spanOf(recheckEvery, refusalMs, log));
  const recheckAt = Math.min(freshUntil, again, asked ? Number.POSITIVE_INFINITY : renewAt);
  return { at, freshUntil: Math.min(freshUntil, asked ? endsAt : renewAt), until: Math.min(until, endsAt), endsAt, renewAt, recheckAt };
}

/** The answer; a yes whose `expiresAt` has passed is a no, which is soon asked for again. */
export function inTime(verdict: Verdict, unix: number): Verdict {
  if (verdict.kind === "deny" || verdict.expiresAt === undefined || verdict.expiresAt > unix) return verdict;
  return { kind: "deny", reason: expiredWords, denyFor: failureMs };
}

/** What who watched is told when no new yes has come before `expiresAt`. */
export const expiredWords = "The permission to watch has ended.";

/** Milliseconds that a no holds: as long as the client was told to wait, if nothing else is said; short for one that nobody said. */
export function lifeOfNo(verdict: Deny, log: Log): number {
  const { denyFor, failed } = verdict;
  if (denyFor === undefined) return failed ? failureMs : (waitOf(verdict, log) ?? refusalMs);
  return spanOf(denyFor, refusalMs, log);
}

/** Milliseconds after which the client may try again; undefined when nothing is said. */
export function waitOf({ retryAfter }: Deny, log: Log): number | undefined {
  return retryAfter === undefined ? undefined : spanOf(retryAfter, failureMs, log);
}

function spanOf(duration: Duration, otherwise: number, log: Log): number {
  try {
    return durationMs(duration);
  } catch (error) {
    log.write("WARN", `USER_NEW answered with a wrong duration, ${otherwise / 1000} s are taken: ${messageOf(error)}`);
    return otherwise;
  }
}
