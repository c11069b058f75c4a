import type { Allow, Deny } from "../../base/decision.ts";
import { messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { type Duration, durationMs } from "../../base/time.ts";

/** A no holds this long if its handler does not say how long. */
const refusalMs = 600_000;
/** After a handler's failure the viewer may be asked about again this soon. */
export const failureMs = 5_000;

/** How long a yes holds, in monotonic milliseconds; infinite where nothing is said. */
export type YesLife = {
  /** When it came. */
  readonly at: number;
  /** Its `ttl` is over: a fresh answer is fetched. */
  readonly freshUntil: number;
  /** Its `staleFor` is over, too: nobody is let in by it. */
  readonly until: number;
  /** The next question. */
  readonly recheckAt: number;
};

/** The life of a yes that came at `at`; `recheckEvery` counts from `now`. A duration that is none is told and replaced. */
export function lifeOfYes({ ttl, staleFor, recheckEvery }: Allow, at: number, now: number, log: Log): YesLife {
  const freshUntil = at + (ttl === undefined ? Number.POSITIVE_INFINITY : spanOf(ttl, refusalMs, log));
  const until = freshUntil + (staleFor === undefined ? 0 : spanOf(staleFor, 0, log));
  const again = now + (recheckEvery === undefined ? Number.POSITIVE_INFINITY : spanOf(recheckEvery, refusalMs, log));
  return { at, freshUntil, until, recheckAt: Math.min(freshUntil, again) };
}

/** Milliseconds that a no holds; short for one that nobody said. */
export function lifeOfNo({ denyFor, failed }: Deny, log: Log): number {
  if (denyFor === undefined) return failed ? failureMs : refusalMs;
  return spanOf(denyFor, refusalMs, log);
}

function spanOf(duration: Duration, otherwise: number, log: Log): number {
  try {
    return durationMs(duration);
  } catch (error) {
    log.write("WARN", `USER_NEW answered with a wrong duration, ${otherwise / 1000} s are taken: ${messageOf(error)}`);
    return otherwise;
  }
}
