import type { Clock } from "../base/time.ts";
import type { Entry } from "./entry.ts";
import type { Grant } from "./answers/grants.ts";
import type { Refusal } from "./answers/refusals.ts";
import type { Standing } from "./session.ts";

/** What is known of a session's id at this moment. */
export type Known = {
  readonly entry: Entry | undefined;
  readonly refusal: Refusal | undefined;
  readonly grant: Grant | undefined;
};

/** What joining under this id would find, in the order in which `join` looks. Times become Unix milliseconds. */
export function standingOf(id: string, { entry, refusal, grant }: Known, clock: Clock): Standing {
  const unix = (monotonic: number): { readonly until?: number } =>
    Number.isFinite(monotonic) ? { until: Math.round(clock.now() + monotonic - clock.monotonic()) } : {};
  if (entry) {
    const state = entry.state === "checking" ? "checking" : "living";
    return { id: entry.id, state, ...unix(entry.goodUntil), ...(entry.identity.madeToken && { madeToken: true }) };
  }
  if (refusal) return { id, state: "refused", ...unix(refusal.until) };
  if (!grant) return { id, state: "new" };
  const { kind, scope } = grant.verdict;
  return { id, state: kind === "deny" ? "barred" : "granted", ...unix(grant.until), ...(scope && { scope }) };
}
