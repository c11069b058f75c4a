import type { Deny } from "../../base/decision.ts";
import type { SluiceError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Clock } from "../../base/time.ts";
import type { Entry } from "../entry.ts";
import type { Living } from "../living.ts";
import { lifeOfNo, waitOf } from "./answer-life.ts";
import type { Grant, Grants } from "./grants.ts";
import type { Refusals } from "./refusals.ts";

export type DenialsOptions = {
  readonly log: Log;
  readonly clock: Clock;
  readonly living: Living;
  readonly refused: Refusals;
  readonly grants: Grants;
  /** Ends a session that was let in. */
  readonly end: (entry: Entry, error: SluiceError) => void;
};

/** What a no does: it is remembered, for others too where it has a scope, and told with what the client had been watching. */
export class Denials {
  readonly #options: DenialsOptions;

  constructor(options: DenialsOptions) {
    this.#options = options;
  }

  /** Remembers a no, and ends who else watches under its scope. Gives the error for the session's own connections. */
  refuse(entry: Entry, verdict: Deny): SluiceError {
    const { log, clock, refused, grants } = this.#options;
    const life = lifeOfNo(verdict, log);
    const wait = waitOf(verdict, log);
    const at = clock.monotonic();
    const names = [entry.id, ...entry.aliases];
    if (entry.state === "accepted") refused.cut(names, entry.positionMs, at);
    if (life > 0) {
      const { id, startedAt } = entry;
      const retryAt = wait === undefined ? undefined : at + wait;
      refused.add(names, entry.newest, {
        id,
        reason: verdict.reason,
        startedAt,
        until: at + life,
        retryAt,
        user: verdict.user ?? entry.user,
      });
    }
    const grant = verdict.failed ? undefined : grants.keep(entry.newest, verdict, { at, freshUntil: at + life, until: at + life });
    if (grant) this.#endOthers(entry, grant, verdict.reason, wait);
    return refused.error(entry.id, verdict.reason, wait, at);
  }

  /** The error of a no that changes nothing. */
  plain(verdict: Deny): SluiceError {
    const { log, clock, refused } = this.#options;
    return refused.error("", verdict.reason, waitOf(verdict, log), clock.monotonic());
  }

  /** Throws "access.denied" when a no with a scope holds for this client, who would have the session `id`. */
  stand(grant: Grant | undefined, id: string): void {
    if (grant?.verdict.kind !== "deny") return;
    const { log, clock, refused } = this.#options;
    const now = clock.monotonic();
    const wait = waitOf(grant.verdict, log);
    // Who was told to come back before the no ends learns now when it does.
    const left = wait === undefined ? undefined : grant.at + wait > now ? grant.at + wait - now : grant.until - now;
    throw refused.error(id, grant.verdict.reason, left, now);
  }

  #endOthers(entry: Entry, grant: Grant, reason: string, wait: number | undefined): void {
    const { clock, living, refused, grants, end } = this.#options;
    for (const other of [...living.values()]) {
      const meant = other !== entry && other.state === "accepted" && other.identity.type === "viewer";
      if (!meant || !grants.covers(grant, other.newest, other.user)) continue;
      const now = clock.monotonic();
      refused.cut([other.id, ...other.aliases], other.positionMs, now);
      end(other, refused.error(other.id, reason, wait, now));
    }
  }
}
