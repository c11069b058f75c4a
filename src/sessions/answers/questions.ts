import type { Allow, Verdict } from "../../base/decision.ts";
import { messageOf, SluiceError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Clock } from "../../base/time.ts";
import type { Entry } from "../entry.ts";
import type { Living } from "../living.ts";
import type { Naming } from "../naming.ts";
import type { Traits } from "../pick.ts";
import type { Ask, Identity, PlaceKeeper } from "../session.ts";
import { expiredWords, failureMs, inTime, lifeOfYes, lookEveryMs } from "./answer-life.ts";
import { Denials } from "./denials.ts";
import { atMost, Due } from "./due.ts";
import { type Grant, Grants } from "./grants.ts";
import type { Refusals } from "./refusals.ts";

/** Questions that `recheckAll`, and those that are due, have out at the same time. */
const mostQuestions = 64;
/** Milliseconds between two looks for answers that nobody needs any more. */
const sweepMs = 60_000;

/** What answers do to sessions. */
export interface Outcomes {
  /** The session is let in. */
  admit(entry: Entry): void;
  /** The session was asked about and is not let in under this id. */
  drop(entry: Entry): void;
  /** Ends a session that was let in. */
  end(entry: Entry, error: SluiceError): void;
  /** Its user, its tags or its end may be others now. */
  changed(entry: Entry): void;
  readonly closed: boolean;
}

export type QuestionsOptions = {
  readonly log: Log;
  readonly clock: Clock;
  readonly places: PlaceKeeper;
  readonly refused: Refusals;
  readonly living: Living;
  readonly naming: Naming;
  readonly outcomes: Outcomes;
};

/** What came of the first question: the session to join, or an answer with which to look for it once more. */
export type Checked = { readonly entry: Entry } | { readonly entry?: undefined; readonly verdict: Verdict };

/** Asks about sessions, once for each, and does what the answers say: lets in, plans the next question, refuses, ends. */
export class Questions {
  readonly #options: QuestionsOptions;
  readonly #grants = new Grants();
  readonly #denials: Denials;
  /** Sessions whose question is due, in their order. */
  readonly #due = new Due<Entry>(mostQuestions, (entry) => this.recheck(entry));
  #sweepAt = 0;

  constructor(options: QuestionsOptions) {
    this.#options = options;
    const { log, clock, living, refused, outcomes } = options;
    this.#denials = new Denials({ log, clock, living, refused, grants: this.#grants, end: outcomes.end });
  }

  get #now(): number {
    return this.#options.clock.monotonic();
  }

  /** The answer with a scope that holds for this client. Throws "access.denied" when that is a no. */
  known(identity: Identity, id: string): Grant | undefined {
    const known = this.granted(identity);
    this.#denials.stand(known, id);
    return known;
  }

  /** The answer with a scope that holds for this client, yes or no. */
  granted(identity: Identity): Grant | undefined {
    return this.#grants.find(identity, this.#options.naming.userOf(identity), this.#now);
  }

  /**
   * Asks about a new session, or takes what holds for it already: an answer with a scope, or `carried`, one that was given to the
   * same client under another id. Rejects when it is not let in.
   */
  async check(entry: Entry, grant: Grant | undefined, carried: Verdict | undefined): Promise<Checked> {
    const { outcomes, places, naming } = this.#options;
    const namedFor = naming.userOf(entry.identity);
    let held = grant;
    let given = carried ?? grant?.verdict;
    let verdict: Verdict;
    try {
      do {
        if (entry.stale) held = given = undefined;
        entry.stale = false;
        verdict = inTime(await entry.ask(entry.id, true, given), this.#options.clock.now());
        // Nothing is awaited between the last look for a rival and what follows.
        for (let rival = this.#rival(entry, verdict, namedFor); rival && !outcomes.closed; rival = this.#rival(entry, verdict, namedFor)) {
          await rival.question?.catch(() => undefined);
        }
      } while (entry.stale && !outcomes.closed);
      if (outcomes.closed) throw new SluiceError("access.ended", "The server is shutting down.");
      if (verdict.kind === "deny") throw this.#denials.refuse(entry, verdict);
      const name = naming.named(entry.identity, verdict.user);
      const other = name === undefined ? undefined : this.#options.living.get(name);
      if (name !== undefined && other !== entry) {
        // Its id was made for one user, and the answer names another: it is no session of the first one.
        if (namedFor !== "") return (outcomes.drop(entry), { verdict });
        if (other) return (outcomes.drop(entry), this.#adopt(other, entry, verdict));
        this.#options.living.alias(entry, name, true);
      }
      entry.user = verdict.user ?? namedFor;
      places.take(entry, verdict.limits);
      entry.seated = true;
    } catch (error) {
      outcomes.drop(entry);
      throw error;
    }
    // Nothing was awaited since the place was taken: nobody can have taken it twice.
    outcomes.admit(entry);
    this.#plan(entry, verdict, verdict === held?.verdict ? held : undefined);
    return { entry };
  }

  /** Another session of the user that the answer names, which is being asked about: only one of them can be the user's. */
  #rival(entry: Entry, verdict: Verdict, namedFor: string): Entry | undefined {
    if (verdict.kind === "deny" || namedFor !== "" || entry.stale) return undefined;
    const { naming, living } = this.#options;
    const name = naming.nameOf(entry.identity, verdict.user);
    const other = name === undefined ? undefined : living.get(name);
    return other !== entry && other?.state === "checking" ? other : undefined;
  }

  /** The client belongs to a session that lives: of both answers the one that ends later is the session's. */
  #adopt(other: Entry, { identity, ask }: Entry, verdict: Allow): Checked {
    const now = this.#now;
    const { until } = lifeOfYes(verdict, now, { now, unix: this.#options.clock.now() }, this.#options.log);
    if (until >= other.goodUntil) {
      other.freshen(identity, ask);
      this.#plan(other, verdict, undefined);
    } else other.outdate(identity.token);
    return { entry: other };
  }

  /** Asks again about a session. Who was let in stays connected meanwhile. Never rejects. */
  async recheck(entry: Entry): Promise<void> {
    this.#due.delete(entry);
    if (entry.question) {
      entry.stale = true;
      await entry.question.catch(() => undefined);
      // A question that was a renewal's and got a no says nothing about the session.
      if (!entry.stale || !this.#lives(entry)) return;
    }
    entry.question ??= this.#askAgain(entry);
    await entry.question;
  }

  /** Asks again about all of them, not too many at the same time. */
  async recheckAll(entries: readonly Entry[]): Promise<void> {
    await atMost(mostQuestions, entries, (entry) => this.recheck(entry));
  }

  /**
   * Brings a fresh identity to a session, one after the other. A yes makes it another name of the session, and its life the
   * session's. Rejects with "access.denied", which leaves the session as it is, or with "access.ended".
   */
  renew(entry: Entry, identity: Identity, ask: Ask): Promise<void> {
    const renewal = entry.renewal ? entry.renewal.then(() => this.#renew(entry, identity, ask)) : this.#renew(entry, identity, ask);
    const settled = renewal.catch(() => undefined);
    entry.renewal = settled;
    void settled.then(() => {
      if (entry.renewal === settled) entry.renewal = undefined;
    });
    return renewal;
  }

  async #renew(entry: Entry, identity: Identity, ask: Ask): Promise<void> {
    while (entry.question) await entry.question.catch(() => undefined);
    if (!this.#lives(entry)) throw gone();
    const { naming, living, clock, outcomes } = this.#options;
    const question = this.#ask(entry, ask);
    entry.question = question;
    const verdict = inTime(await question, clock.now());
    entry.question = undefined;
    if (!this.#lives(entry)) throw gone();
    if (verdict.kind === "deny") throw this.#denials.plain(verdict);
    const stranger = verdict.user && naming.named(identity, verdict.user) !== undefined && entry.user !== "" && verdict.user !== entry.user;
    if (stranger) throw new SluiceError("access.denied", "This token is another user's.");
    living.alias(entry, naming.idOf(identity));
    entry.freshen(identity, ask);
    this.#plan(entry, verdict, undefined);
    outcomes.changed(entry);
  }

  /** The session is over: it has no questions any more. */
  ended(entry: Entry): void {
    this.#due.delete(entry);
    if (entry.grant) this.#grants.release(entry.grant, entry.id);
  }

  /** Drops answers with a scope of who is picked. */
  forget(picked: (traits: Traits) => boolean): void {
    this.#grants.forget(picked);
  }

  /** Somebody has joined with a fresher token: an answer that is about to end is asked for once more. */
  refreshed(entry: Entry): void {
    if (this.#now >= entry.renewAt && this.#now < entry.endsAt) entry.recheckAt = Math.min(entry.recheckAt, this.#now);
  }

  /** Once in `lookEveryMs`, for each session that was let in. */
  look(entry: Entry, now: number): void {
    if (entry.endsAt - now < lookEveryMs) this.#options.clock.after(Math.max(0, entry.endsAt - now), () => this.#expire(entry));
    if (now >= entry.recheckAt && !entry.question) this.#due.add(entry);
  }

  /** As often: forgets what holds no more. */
  forgetOld(now: number): void {
    this.#options.refused.expire(now);
    if (now < this.#sweepAt) return;
    this.#sweepAt = now + sweepMs;
    this.#grants.expire(now);
  }

  /** No new yes has come in time. */
  #expire(entry: Entry): void {
    if (!this.#lives(entry) || this.#now < entry.endsAt) return;
    this.#options.outcomes.end(entry, this.#denials.refuse(entry, { kind: "deny", reason: expiredWords, denyFor: failureMs }));
  }

  #lives(entry: Entry): boolean {
    return this.#options.living.has(entry);
  }

  async #askAgain(entry: Entry): Promise<void> {
    // The caller notes the question first: an answer that is there already would else be gone before it, and the question stay for ever.
    await Promise.resolve();
    if (!this.#lives(entry)) return void (entry.question = undefined);
    entry.recheckAt = Number.POSITIVE_INFINITY;
    const { grant } = entry;
    let held = this.#newerGrant(entry);
    let verdict = held?.verdict;
    // Another session of the same scope is asking: its answer is for this one, too, and so is its failure.
    for (let asking = grant?.question; !verdict && asking; asking = grant?.question) {
      const told = await asking;
      held = this.#newerGrant(entry);
      verdict = held?.verdict ?? (told.kind === "deny" && told.failed ? told : undefined);
    }
    if (!verdict) {
      const question = this.#ask(entry);
      if (grant) grant.question = question;
      verdict = await question;
      if (grant?.question === question) grant.question = undefined;
    }
    entry.question = undefined;
    if (this.#lives(entry)) this.#settle(entry, inTime(verdict, this.#options.clock.now()), held);
  }

  /** The answer, asked for until it is newer than the last `invalidate`; a no to a renewal may be older. Never rejects. */
  async #ask(entry: Entry, renewal?: Ask): Promise<Verdict> {
    try {
      for (;;) {
        entry.stale = false;
        const verdict = await (renewal ?? entry.ask)(entry.id, false);
        if (!entry.stale || !this.#lives(entry) || (renewal && verdict.kind === "deny")) return verdict;
      }
    } catch (error) {
      return { kind: "deny", reason: messageOf(error), failed: true };
    }
  }

  #settle(entry: Entry, verdict: Verdict, held: Grant | undefined): void {
    const { log, outcomes, naming } = this.#options;
    if (verdict.kind === "allow") {
      const name = naming.named(entry.newest, verdict.user);
      if (name === undefined || verdict.user === entry.user) return this.#plan(entry, verdict, held);
      if (entry.user !== "") return outcomes.end(entry, new SluiceError("access.ended", "The viewer is another user now."));
      this.#options.living.alias(entry, name, true);
      return this.#plan(entry, verdict, held);
    }
    const now = this.#now;
    if (verdict.failed && now < entry.goodUntil) {
      log.write("WARN", "USER_NEW failed for a session that was let in before; it goes on", { stream: entry.identity.stream });
      entry.recheckAt = Math.min(now + failureMs, entry.goodUntil);
      return;
    }
    outcomes.end(entry, this.#denials.refuse(entry, verdict));
  }

  /** A fresh answer that another session of the same scope has got since. */
  #newerGrant({ grant, newest, user, answeredAt }: Entry): Grant | undefined {
    if (!grant) return undefined;
    const now = this.#now;
    const found = this.#grants.find(newest, user, now);
    return found && found !== grant && found.at >= answeredAt && now < found.freshUntil ? found : undefined;
  }

  /** The life of a yes. `held`: the answer that others have got; a new one with a scope is kept for them. */
  #plan(entry: Entry, verdict: Allow, held: Grant | undefined): void {
    const { log, places, outcomes, clock, living, naming } = this.#options;
    const { user, tags = [], roams } = verdict;
    const now = this.#now;
    if (user !== undefined || tags.length > 0) outcomes.changed(entry);
    const life = lifeOfYes(verdict, held?.at ?? now, { now, unix: clock.now() }, log, entry);
    entry.plan({ goodUntil: life.until, endsAt: life.endsAt, renewAt: life.renewAt, recheckAt: life.recheckAt });
    if (user !== undefined && user !== entry.user) places.move(entry, user);
    for (const tag of tags) {
      if (!entry.tag(tag)) log.write("WARN", "A session has no room for another tag", { stream: entry.identity.stream });
    }
    living.roam(entry, roams ? naming.roamingId(entry.newest) : undefined);
    const grant = held ?? this.#grants.keep(entry.newest, verdict, life);
    if (grant) {
      entry.answeredAt = life.at;
      this.#grants.hold(grant, entry.id);
    }
    if (entry.grant && entry.grant !== grant) this.#grants.release(entry.grant, entry.id);
    entry.grant = grant;
  }
}

function gone(): SluiceError {
  return new SluiceError("access.ended", "The session has ended.");
}
