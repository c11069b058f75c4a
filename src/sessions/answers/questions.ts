import type { Allow, Deny, Verdict } from "../../base/decision.ts";
import { messageOf, SluiceError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Entry } from "../entry.ts";
import type { Identity, PlaceKeeper } from "../session.ts";
import { failureMs, lifeOfNo, lifeOfYes } from "./answer-life.ts";
import { atMost, Due } from "./due.ts";
import { type Grant, Grants } from "./grants.ts";
import type { Refusals } from "./refusals.ts";

/** Questions that `recheckAll`, and those that are due, have out at the same time. */
const mostQuestions = 64;
/** Milliseconds between two looks for answers that nobody needs any more. */
const sweepMs = 60_000;

/** What questions need of the sessions that they are about. */
export interface Asked {
  /** True while the session is in the directory. */
  lives(entry: Entry): boolean;
  all(): Iterable<Entry>;
  /** The session is let in. */
  admit(entry: Entry): void;
  /** The session was asked about and is not let in. */
  drop(entry: Entry): void;
  /** Ends a session that was let in. */
  end(entry: Entry, error: SluiceError): void;
  /** Its user or its tags may be others now. */
  changed(entry: Entry): void;
  readonly closed: boolean;
}

export type QuestionsOptions = {
  readonly log: Log;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  readonly places: PlaceKeeper;
  readonly refused: Refusals;
  readonly sessions: Asked;
};

/** Asks about sessions, once for each, and does what the answers say: lets in, plans the next question, refuses, ends. */
export class Questions {
  readonly #options: QuestionsOptions;
  readonly #grants = new Grants();
  /** Sessions whose question is due, in their order. */
  readonly #due = new Due<Entry>(mostQuestions, (entry) => this.recheck(entry));
  #sweepAt = 0;

  constructor(options: QuestionsOptions) {
    this.#options = options;
  }

  /** The answer with a scope that holds for this client. Throws "access.denied" when that is a no. */
  known(identity: Identity): Grant | undefined {
    const known = this.granted(identity);
    if (known?.verdict.kind === "deny") throw new SluiceError("access.denied", known.verdict.reason);
    return known;
  }

  /** The answer with a scope that holds for this client, yes or no. */
  granted(identity: Identity): Grant | undefined {
    return this.#grants.find(identity, "", this.#options.now());
  }

  /** Asks about a new session, or takes what holds for it already. Rejects when it is not let in. */
  async check(entry: Entry, known: Grant | undefined): Promise<void> {
    const { sessions, places } = this.#options;
    let verdict: Verdict;
    let held = known;
    try {
      do {
        if (entry.stale) held = undefined;
        entry.stale = false;
        verdict = await entry.ask(entry.id, true, held?.verdict);
      } while (entry.stale && !sessions.closed);
      if (sessions.closed) throw new SluiceError("access.ended", "The server is shutting down.");
      if (verdict.kind === "deny") {
        this.#refuse(entry, verdict);
        throw new SluiceError("access.denied", verdict.reason);
      }
      entry.user = verdict.user ?? "";
      places.take(entry, verdict.limits);
    } catch (error) {
      sessions.drop(entry);
      throw error;
    }
    // Nothing was awaited since the place was taken: nobody can have taken it twice.
    sessions.admit(entry);
    this.#plan(entry, verdict, verdict === held?.verdict ? held : undefined);
  }

  /** Asks again about a session. Who was let in stays connected meanwhile. Never rejects. */
  async recheck(entry: Entry): Promise<void> {
    this.#due.delete(entry);
    if (entry.question) {
      entry.stale = true;
      await entry.question.catch(() => undefined);
      return;
    }
    entry.question = this.#askAgain(entry);
    await entry.question;
  }

  /** Asks again about all of them, not too many at the same time. */
  async recheckAll(entries: readonly Entry[]): Promise<void> {
    await atMost(mostQuestions, entries, (entry) => this.recheck(entry));
  }

  /** Brings a new yes to a session. Rejects with "access.denied". */
  async renew(entry: Entry, ask: Entry["ask"]): Promise<void> {
    const verdict = await ask(entry.id, false);
    if (verdict.kind === "deny") throw new SluiceError("access.denied", verdict.reason);
    if (this.#options.sessions.lives(entry)) this.#plan(entry, verdict, undefined);
  }

  /** The session is over: it has no questions any more. */
  ended(entry: Entry): void {
    this.#due.delete(entry);
    if (entry.grant) this.#grants.release(entry.grant, entry.id);
  }

  /** Drops answers with a scope on these streams. */
  forget(streams: ReadonlySet<string>): void {
    this.#grants.forget(streams);
  }

  /** Once a second, for each session that was let in. */
  look(entry: Entry, now: number): void {
    if (now >= entry.recheckAt && !entry.question) this.#due.add(entry);
  }

  /** Once a second: forgets what holds no more. */
  expire(now: number): void {
    this.#options.refused.expire(now);
    if (now < this.#sweepAt) return;
    this.#sweepAt = now + sweepMs;
    this.#grants.expire(now);
  }

  async #askAgain(entry: Entry): Promise<void> {
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
    if (this.#options.sessions.lives(entry)) this.#settle(entry, verdict, held);
  }

  /** The answer, asked for until it is newer than the last `invalidate`. Never rejects. */
  async #ask(entry: Entry): Promise<Verdict> {
    try {
      for (;;) {
        entry.stale = false;
        const verdict = await entry.ask(entry.id, false);
        if (!entry.stale || !this.#options.sessions.lives(entry)) return verdict;
      }
    } catch (error) {
      return { kind: "deny", reason: messageOf(error), failed: true };
    }
  }

  #settle(entry: Entry, verdict: Verdict, held: Grant | undefined): void {
    if (verdict.kind === "allow") return this.#plan(entry, verdict, held);
    const { log, sessions } = this.#options;
    const now = this.#options.now();
    if (verdict.failed && now < entry.goodUntil) {
      log.write("WARN", "USER_NEW failed for a session that was let in before; it goes on", { stream: entry.identity.stream });
      entry.recheckAt = Math.min(now + failureMs, entry.goodUntil);
      return;
    }
    this.#refuse(entry, verdict);
    sessions.end(entry, new SluiceError("access.denied", verdict.reason));
  }

  /** A fresh answer that another session of the same scope has got since. */
  #newerGrant({ grant, identity, user, answeredAt }: Entry): Grant | undefined {
    if (!grant) return undefined;
    const now = this.#options.now();
    const found = this.#grants.find(identity, user, now);
    return found && found !== grant && found.at >= answeredAt && now < found.freshUntil ? found : undefined;
  }

  /** The life of a yes. `held`: the answer that others have got; a new one with a scope is kept for them. */
  #plan(entry: Entry, verdict: Allow, held: Grant | undefined): void {
    const { log, places, sessions } = this.#options;
    const { user, tags = [] } = verdict;
    const now = this.#options.now();
    if (user !== undefined || tags.length > 0) sessions.changed(entry);
    const life = lifeOfYes(verdict, held?.at ?? now, now, log);
    entry.answeredAt = life.at;
    entry.goodUntil = life.until;
    entry.recheckAt = life.recheckAt;
    if (user !== undefined) places.move(entry, user);
    for (const tag of tags) {
      if (!entry.tag(tag)) log.write("WARN", "A session has no room for another tag", { stream: entry.identity.stream });
    }
    const grant = held ?? this.#grants.keep(entry.identity, verdict, life);
    if (grant) this.#grants.hold(grant, entry.id);
    if (entry.grant && entry.grant !== grant) this.#grants.release(entry.grant, entry.id);
    entry.grant = grant;
  }

  /** Remembers a no, and ends who watches under its scope. */
  #refuse(entry: Entry, verdict: Deny): void {
    const { log, refused, sessions } = this.#options;
    const { reason, failed } = verdict;
    const life = lifeOfNo(verdict, log);
    const at = this.#options.now();
    if (life > 0) refused.add(entry.id, entry.identity, reason, entry.startedAt, at + life);
    const grant = failed ? undefined : this.#grants.keep(entry.identity, verdict, { at, freshUntil: at + life, until: at + life });
    if (!grant) return;
    for (const other of [...sessions.all()]) {
      const meant = other !== entry && other.state === "accepted" && other.identity.type === "viewer";
      if (meant && this.#grants.covers(grant, other.identity, other.user)) sessions.end(other, new SluiceError("access.denied", reason));
    }
  }
}
