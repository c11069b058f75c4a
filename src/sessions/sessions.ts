import type { Allow, Deny, Verdict } from "../base/decision.ts";
import { messageOf, SluiceError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { StreamName } from "../base/stream-name.ts";
import type { Clock } from "../base/time.ts";
import { failureMs, lifeOfNo, lifeOfYes } from "./answer-life.ts";
import { takeCensus } from "./census.ts";
import { atMost, Due } from "./due.ts";
import { Entry, type Part } from "./entry.ts";
import { type Grant, Grants } from "./grants.ts";
import { History } from "./history.ts";
import { sessionId, sessionMode } from "./identity.ts";
import { Listeners } from "./listeners.ts";
import { Places } from "./places.ts";
import { Refusals } from "./refusals.ts";
import type {
  Ask,
  Identity,
  PlaceKeeper,
  SessionCensus,
  SessionEnd,
  SessionPick,
  SessionSettings,
  Sessions,
  SessionView,
  Standing,
  StreamCounters,
  StreamRate,
} from "./session.ts";
import { standingOf } from "./standing.ts";
import { StreamBook } from "./stream-book.ts";

/** Ended sessions stay visible this long. */
const memoryMs = 600_000;
const mostEnded = 20_000;
/** Questions that `invalidate`, and those that are due, have out at the same time. */
const mostQuestions = 64;
/** Milliseconds between two looks for answers that nobody needs any more. */
const sweepMs = 60_000;

export type SessionsOptions = {
  readonly clock: Clock;
  readonly log: Log;
  /** Read at each new connection: changes hold for those that come after. */
  readonly settings: () => SessionSettings;
  /** Most refusals to remember; 50,000 if left out. */
  readonly mostRefusals?: number;
  /** Where sessions get their places; left out: only what answers to USER_NEW say about `limits` counts. */
  readonly places?: PlaceKeeper;
};

/**
 * All sessions of one server. One tick a second serves them all: it counts seconds and bytes, asks again what is due,
 * and ends what was idle for 15 seconds. A session that was refused before it was let in ends silently (no `onEnd`);
 * one that was let in ends exactly once.
 */
export function createSessions(options: SessionsOptions): Sessions {
  return new Registry(options);
}

class Registry implements Sessions {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #settings: () => SessionSettings;
  readonly #live = new Map<string, Entry>();
  readonly #refused: Refusals;
  readonly #grants = new Grants();
  readonly #places: PlaceKeeper;
  /** Sessions whose question is due, in their order. */
  readonly #due = new Due<Entry>(mostQuestions, (entry) => this.#recheck(entry));
  #sweepAt = 0;
  readonly #book = new StreamBook();
  readonly #history: History;
  #ended: { readonly at: number; readonly end: SessionEnd }[] = [];
  readonly #admitted: Listeners<[id: string]>;
  readonly #denied: Listeners<[id: string]>;
  readonly #changed: Listeners<[id: string, what: "begun" | "changed"]>;
  readonly #over: Listeners<[end: SessionEnd, why: SluiceError]>;
  readonly #idle: Listeners<[stream: StreamName, counters: StreamCounters]>;
  readonly #ticker: Disposable;
  /** Ids that were computed for an identity object: who passes the same object again pays for no hash. */
  readonly #ids = new WeakMap<Identity, { readonly mode: number; readonly id: string }>();
  readonly #now: () => number;
  #closed = false;

  constructor({ clock, log, settings, mostRefusals, places = new Places(() => clock.monotonic()) }: SessionsOptions) {
    this.#clock = clock;
    this.#log = log;
    this.#places = places;
    places.bind(({ id }, error) => {
      const entry = this.#live.get(id);
      if (entry) this.#end(entry, error);
    });
    this.#admitted = new Listeners(log);
    this.#denied = new Listeners(log);
    this.#changed = new Listeners(log);
    this.#over = new Listeners(log);
    this.#idle = new Listeners(log);
    this.#settings = settings;
    this.#now = () => clock.monotonic();
    this.#refused = new Refusals(mostRefusals);
    this.#history = new History(Math.floor(clock.monotonic() / 1000));
    this.#ticker = clock.every(1000, () => this.#tick());
  }

  async join(identity: Identity, ask: Ask): Promise<Part> {
    const id = this.#idOf(identity);
    for (;;) {
      if (this.#closed) throw new SluiceError("access.ended", "The server is shutting down.");
      const entry = this.#live.get(id);
      if (entry?.question && entry.state === "checking") await entry.question;
      else if (entry && (this.#now() < entry.goodUntil || (await this.#renewed(entry)))) return this.#connect(entry, identity);
      else if (entry) continue;
      else if (identity.type === "viewer") {
        const begun = await this.#begin(id, identity, ask);
        // It may have been stopped in between; what it was let in by may be over, as nobody asks for a yes twice.
        if (this.#live.get(id) === begun) return this.#connect(begun, identity);
      } else this.#admit(this.#create(id, identity, ask));
    }
  }

  standing(identity: Identity): Standing {
    const id = this.#idOf(identity);
    const now = this.#now();
    const viewer = identity.type === "viewer";
    const refusal = viewer ? this.#refused.get(id, now) : undefined;
    const grant = viewer ? this.#grants.find(identity, "", now) : undefined;
    return standingOf(id, { entry: this.#live.get(id), refusal, grant }, this.#clock);
  }

  get(id: string): SessionView | undefined {
    const live = this.#live.get(id);
    if (live) return live.view();
    const refusal = this.#refused.get(id, this.#now());
    if (!refusal) return this.#ended.findLast(({ end }) => end.id === id)?.end;
    const { stream, protocol, address, startedAt } = refusal;
    const nothing = { seconds: 0, positionMs: 0, up: 0, down: 0, upPerSecond: 0, downPerSecond: 0, tags: [], user: "" };
    return { id, type: "viewer", state: "denied", token: "", protocol, host: address, stream, startedAt, ...nothing };
  }

  list(): readonly SessionView[] {
    return [...this.#ended.map(({ end }) => end), ...[...this.#live.values()].map((entry) => entry.view())];
  }

  async renew(id: string, identity: Identity, ask: Ask): Promise<void> {
    const entry = this.#live.get(id);
    if (entry?.state !== "accepted" || entry.identity.stream !== identity.stream)
      throw new SluiceError("access.unknown", "There is no such session.");
    const verdict = await ask(id, false);
    if (verdict.kind === "deny") throw new SluiceError("access.denied", verdict.reason);
    if (this.#live.get(id) === entry) this.#plan(entry, verdict, undefined);
  }

  async invalidate(which: readonly StreamName[] | SessionPick): Promise<number> {
    const wanted = new Set("length" in which ? which : which.streams);
    const forgotten = this.#refused.forget(wanted);
    this.#grants.forget(wanted);
    const touched = [...this.#live.values()].filter((entry) => entry.identity.type === "viewer" && entry.watches(wanted));
    await atMost(mostQuestions, touched, (entry) => this.#recheck(entry));
    return forgotten + touched.length;
  }

  stop(pick: (session: SessionView) => boolean, reason: string): number {
    const picked = [...this.#live.values()].filter((entry) => entry.state === "accepted" && pick(entry.view()));
    for (const entry of picked) this.#end(entry, new SluiceError("access.ended", reason));
    return picked.length;
  }

  tag(id: string, tag: string): boolean {
    const done = this.#live.get(id)?.tag(tag) ?? false;
    if (done) this.#changed.tell(id, "changed");
    return done;
  }

  untag(id: string, tag: string): boolean {
    const done = this.#live.get(id)?.untag(tag) ?? false;
    if (done) this.#changed.tell(id, "changed");
    return done;
  }

  totals(query: Parameters<Sessions["totals"]>[0]): ReturnType<Sessions["totals"]> {
    this.#advance();
    return this.#history.totals(query, Math.floor(this.#clock.now() / 1000));
  }

  counters(stream: StreamName): StreamCounters | undefined {
    return this.#book.counters(stream);
  }

  rates(): ReadonlyMap<StreamName, StreamRate> {
    this.#advance();
    return this.#history.rates();
  }

  census(): SessionCensus {
    return takeCensus(this.#live.values(), this.#ended.length, this.#book);
  }

  knownStreams(): readonly StreamName[] {
    return this.#history.streams();
  }

  endOf(id: string): SessionEnd | undefined {
    const entry = this.#live.get(id);
    return entry?.state === "accepted" ? entry.end() : undefined;
  }

  onAdmit(run: (id: string) => void): Disposable {
    return this.#admitted.add(run);
  }

  onRefuse(run: (id: string) => void): Disposable {
    return this.#denied.add(run);
  }

  onChange(run: (id: string, what: "begun" | "changed") => void): Disposable {
    return this.#changed.add(run);
  }

  onEnd(run: (end: SessionEnd, why: SluiceError) => void): Disposable {
    return this.#over.add(run);
  }

  onStreamIdle(run: (stream: StreamName, counters: StreamCounters) => void): Disposable {
    return this.#idle.add(run);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#ticker[Symbol.dispose]();
    this.stop(() => true, "The server is shutting down.");
  }

  #idOf(identity: Identity): string {
    const mode = sessionMode(identity.type, this.#settings());
    const known = this.#ids.get(identity);
    if (known?.mode === mode) return known.id;
    const id = sessionId(identity, mode);
    this.#ids.set(identity, { mode, id });
    return id;
  }

  #create(id: string, identity: Identity, ask: Ask): Entry {
    const entry = new Entry(id, identity, ask, this.#clock.now(), this.#now);
    this.#live.set(id, entry);
    return entry;
  }

  #admit(entry: Entry): void {
    entry.state = "accepted";
    entry.question = undefined;
    if (entry.identity.type === "viewer") this.#admitted.tell(entry.id);
    this.#changed.tell(entry.id, "begun");
  }

  #connect(entry: Entry, identity: Identity): Part {
    const flow = this.#history.flow(identity.stream, identity.protocol, identity.type);
    const part = entry.join(identity, flow, this.#history.second);
    this.#book.enter(identity.stream, entry, flow);
    return part;
  }

  /** Refuses whom a no still holds, else asks. Gives the session that was let in; throws when it was not. */
  async #begin(id: string, identity: Identity, ask: Ask): Promise<Entry> {
    const refusal = this.#refused.get(id, this.#now());
    if (refusal) throw new SluiceError("access.denied", refusal.reason);
    const known = this.#grants.find(identity, "", this.#now());
    if (known?.verdict.kind === "deny") throw new SluiceError("access.denied", known.verdict.reason);
    const entry = this.#create(id, identity, ask);
    entry.question = this.#check(entry, known);
    await entry.question;
    return entry;
  }

  async #check(entry: Entry, known: Grant | undefined): Promise<void> {
    let verdict: Verdict;
    let held = known;
    try {
      do {
        if (entry.stale) held = undefined;
        entry.stale = false;
        verdict = await entry.ask(entry.id, true, held?.verdict);
      } while (entry.stale && !this.#closed);
      if (this.#closed) throw new SluiceError("access.ended", "The server is shutting down.");
      if (verdict.kind === "deny") {
        this.#refuse(entry, verdict);
        throw new SluiceError("access.denied", verdict.reason);
      }
      entry.user = verdict.user ?? "";
      this.#places.take(entry, verdict.limits);
    } catch (error) {
      this.#live.delete(entry.id);
      this.#denied.tell(entry.id);
      throw error;
    }
    // Nothing was awaited since the place was taken: nobody can have taken it twice.
    this.#admit(entry);
    this.#plan(entry, verdict, verdict === held?.verdict ? held : undefined);
  }

  /** Waits for a new answer on a session whose yes is over. False when it may not go on. */
  async #renewed(entry: Entry): Promise<boolean> {
    await (entry.question ?? this.#recheck(entry));
    return this.#live.get(entry.id) === entry;
  }

  /** Asks again about a session. Who was let in stays connected meanwhile. Never rejects. */
  async #recheck(entry: Entry): Promise<void> {
    this.#due.delete(entry);
    if (entry.question) {
      entry.stale = true;
      await entry.question.catch(() => undefined);
      return;
    }
    entry.question = this.#askAgain(entry);
    await entry.question;
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
    if (this.#live.get(entry.id) === entry) this.#settle(entry, verdict, held);
  }

  /** The answer, asked for until it is newer than the last `invalidate`. Never rejects. */
  async #ask(entry: Entry): Promise<Verdict> {
    try {
      for (;;) {
        entry.stale = false;
        const verdict = await entry.ask(entry.id, false);
        if (!entry.stale || this.#live.get(entry.id) !== entry) return verdict;
      }
    } catch (error) {
      return { kind: "deny", reason: messageOf(error), failed: true };
    }
  }

  #settle(entry: Entry, verdict: Verdict, held: Grant | undefined): void {
    if (verdict.kind === "allow") return this.#plan(entry, verdict, held);
    const now = this.#now();
    if (verdict.failed && now < entry.goodUntil) {
      this.#log.write("WARN", "USER_NEW failed for a session that was let in before; it goes on", { stream: entry.identity.stream });
      entry.recheckAt = Math.min(now + failureMs, entry.goodUntil);
      return;
    }
    this.#refuse(entry, verdict);
    this.#end(entry, new SluiceError("access.denied", verdict.reason));
  }

  /** A fresh answer that another session of the same scope has got since. */
  #newerGrant({ grant, identity, user, answeredAt }: Entry): Grant | undefined {
    if (!grant) return undefined;
    const now = this.#now();
    const found = this.#grants.find(identity, user, now);
    return found && found !== grant && found.at >= answeredAt && now < found.freshUntil ? found : undefined;
  }

  /** The life of a yes. `held`: the answer that others have got; a new one with a scope is kept for them. */
  #plan(entry: Entry, verdict: Allow, held: Grant | undefined): void {
    const { user, tags = [] } = verdict;
    const now = this.#now();
    if (user !== undefined || tags.length > 0) this.#changed.tell(entry.id, "changed");
    const life = lifeOfYes(verdict, held?.at ?? now, now, this.#log);
    entry.answeredAt = life.at;
    entry.goodUntil = life.until;
    entry.recheckAt = life.recheckAt;
    if (user !== undefined) this.#places.move(entry, user);
    for (const tag of tags) {
      if (!entry.tag(tag)) this.#log.write("WARN", "A session has no room for another tag", { stream: entry.identity.stream });
    }
    const grant = held ?? this.#grants.keep(entry.identity, verdict, life);
    if (grant) this.#grants.hold(grant, entry.id);
    if (entry.grant && entry.grant !== grant) this.#grants.release(entry.grant, entry.id);
    entry.grant = grant;
  }

  /** Remembers a no, and ends who watches under its scope. */
  #refuse(entry: Entry, verdict: Deny): void {
    const { reason, failed } = verdict;
    const life = lifeOfNo(verdict, this.#log);
    const at = this.#now();
    if (life > 0) this.#refused.add(entry.id, entry.identity, reason, entry.startedAt, at + life);
    const grant = failed ? undefined : this.#grants.keep(entry.identity, verdict, { at, freshUntil: at + life, until: at + life });
    if (!grant) return;
    for (const other of [...this.#live.values()]) {
      const meant = other !== entry && other.state === "accepted" && other.identity.type === "viewer";
      if (meant && this.#grants.covers(grant, other.identity, other.user)) this.#end(other, new SluiceError("access.denied", reason));
    }
  }

  #end(entry: Entry, error: SluiceError): void {
    this.#live.delete(entry.id);
    this.#due.delete(entry);
    this.#places.free(entry);
    if (entry.grant) this.#grants.release(entry.grant, entry.id);
    const end = entry.end();
    entry.state = "ended";
    this.#ended.push({ at: this.#now(), end });
    if (this.#ended.length > mostEnded) this.#ended.shift();
    const idle = this.#book.leave(entry);
    entry.cut(error);
    this.#over.tell(end, error);
    for (const [stream, counters] of idle) this.#idle.tell(stream, counters);
  }

  /** Closes the seconds that have passed in the history. */
  #advance(): void {
    const second = Math.floor(this.#now() / 1000);
    if (second <= this.#history.second) return;
    for (const flow of this.#history.flows()) flow.sessions = 0;
    for (const entry of this.#live.values()) {
      const counts = entry.identity.type === "viewer" || entry.connected;
      if (entry.flow && counts && entry.state === "accepted") entry.flow.sessions++;
    }
    this.#history.advance(second);
    for (const entry of this.#live.values()) entry.tick(second, this.#now());
  }

  #tick(): void {
    this.#advance();
    const now = this.#now();
    for (const entry of this.#live.values()) {
      if (entry.state !== "accepted") continue;
      if (entry.idle(now)) this.#end(entry, new SluiceError("access.ended", "The session was idle."));
      else if (now >= entry.recheckAt && !entry.question) this.#due.add(entry);
    }
    this.#refused.expire(now);
    if (now >= this.#sweepAt) {
      this.#sweepAt = now + sweepMs;
      this.#grants.expire(now);
    }
    const old = this.#ended.findIndex(({ at }) => now - at < memoryMs);
    if (old !== 0) this.#ended = old < 0 ? [] : this.#ended.slice(old);
  }
}
