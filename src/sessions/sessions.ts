import type { Verdict } from "../base/decision.ts";
import { SluiceError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { StreamName } from "../base/stream-name.ts";
import type { Clock } from "../base/time.ts";
import { lookEveryMs } from "./answers/answer-life.ts";
import { type Checked, type Outcomes, Questions } from "./answers/questions.ts";
import { markOf, Refusals } from "./answers/refusals.ts";
import { takeCensus } from "./census.ts";
import { Ended } from "./ended.ts";
import { Entry, type EntryParts, type Part } from "./entry.ts";
import { History } from "./history.ts";
import { Listeners } from "./listeners.ts";
import { Living } from "./living.ts";
import { Naming } from "./naming.ts";
import { exactStreams, matcher, type Traits } from "./pick.ts";
import { Places } from "./places.ts";
import { RateMarks } from "./rate-marks.ts";
import { Rounds } from "./rounds.ts";
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

/** Seconds that a tick counts at most, when it comes late. */
const mostPassed = 5;

class Registry implements Sessions {
  readonly #clock: Clock;
  readonly #naming: Naming;
  readonly #living = new Living();
  readonly #refused: Refusals;
  readonly #places: PlaceKeeper;
  readonly #questions: Questions;
  readonly #book = new StreamBook();
  readonly #history: History;
  readonly #ended = new Ended();
  readonly #admitted: Listeners<[id: string]>;
  readonly #denied: Listeners<[id: string]>;
  readonly #changed: Listeners<[id: string, what: "begun" | "changed"]>;
  readonly #over: Listeners<[end: SessionEnd, why: SluiceError]>;
  readonly #idle: Listeners<[stream: StreamName, counters: StreamCounters]>;
  readonly #ticker: Disposable;
  readonly #rounds: Rounds<Entry>;
  readonly #entryParts: EntryParts;
  /** One for all, as nobody is connected who would be told. */
  readonly #idleError = new SluiceError("access.ended", "The session was idle.");
  /** The second of the last round. */
  #visited: number;
  readonly #now: () => number;
  #closed = false;

  constructor({ clock, log, settings, mostRefusals, places = new Places(() => clock.monotonic()) }: SessionsOptions) {
    this.#clock = clock;
    this.#places = places;
    places.bind(({ id }, error) => {
      const entry = this.#living.get(id);
      if (entry) this.#end(entry, error);
    });
    this.#admitted = new Listeners(log);
    this.#denied = new Listeners(log);
    this.#changed = new Listeners(log);
    this.#over = new Listeners(log);
    this.#idle = new Listeners(log);
    this.#naming = new Naming(settings);
    this.#now = () => clock.monotonic();
    this.#refused = new Refusals(mostRefusals);
    const [living, naming, refused, outcomes] = [this.#living, this.#naming, this.#refused, this.#outcomes()];
    this.#questions = new Questions({ log, clock, places, refused, living, naming, outcomes });
    this.#visited = Math.floor(clock.monotonic() / 1000);
    this.#history = new History(this.#visited);
    this.#rounds = new Rounds(clock);
    this.#entryParts = { clock, marks: new RateMarks() };
    this.#ticker = clock.every(lookEveryMs, () => this.#tick());
  }

  async join(identity: Identity, ask: Ask): Promise<Part> {
    let carried: Verdict | undefined;
    for (;;) {
      if (this.#closed) throw new SluiceError("access.ended", "The server is shutting down.");
      // Each time anew: an answer may have said who the viewer is.
      const id = this.#naming.idOf(identity);
      const entry = this.#living.get(id) ?? this.#roaming(id, identity);
      if (entry?.question && entry.state === "checking") await entry.question;
      else if (entry && (this.#now() < entry.goodUntil || (await this.#answered(entry)))) return this.#connect(entry, identity, ask);
      else if (entry) continue;
      else if (identity.type === "viewer") {
        const begun = await this.#begin(id, identity, ask, carried);
        // It may have been stopped in between; what it was let in by may be over, as nobody asks for a yes twice.
        if (begun.entry && this.#living.has(begun.entry)) return this.#connect(begun.entry, identity, ask);
        // Once: two answers that contradict each other about one token would else take turns for ever.
        if (!begun.entry) carried = carried ? undefined : begun.verdict;
      } else this.#admit(this.#create(id, identity, ask));
    }
  }

  standing(identity: Identity): Standing {
    const id = this.#naming.idOf(identity);
    const now = this.#now();
    const viewer = identity.type === "viewer";
    const refusal = viewer ? this.#refused.get(id, now) : undefined;
    const grant = viewer ? this.#questions.granted(identity) : undefined;
    return standingOf(id, { entry: this.#living.get(id) ?? this.#elsewhere(id, identity), refusal, grant }, this.#clock);
  }

  get(id: string): SessionView | undefined {
    const live = this.#living.get(id);
    if (live) return live.view();
    const refusal = this.#refused.get(id, this.#now());
    if (!refusal) return this.#ended.find(id);
    const { stream, protocol, address, startedAt, user } = refusal;
    const nothing = { seconds: 0, positionMs: 0, up: 0, down: 0, upPerSecond: 0, downPerSecond: 0, tags: [], user };
    return { id, type: "viewer", state: "denied", token: "", protocol, host: address, stream, startedAt, ...nothing };
  }

  list(): readonly SessionView[] {
    return [...this.#ended.list(), ...[...this.#living.values()].map((entry) => entry.view())];
  }

  *views(): Iterable<SessionView> {
    yield* this.#ended.list();
    for (const entry of this.#living.values()) yield entry.view();
  }

  async renew(id: string, identity: Identity, ask: Ask): Promise<void> {
    const entry = this.#living.get(id);
    const renewable = entry?.state === "accepted" && entry.identity.type === "viewer" && entry.identity.stream === identity.stream;
    if (!renewable) throw new SluiceError("access.unknown", "There is no such session.");
    await this.#questions.renew(entry, identity, ask);
  }

  async invalidate(which: readonly StreamName[] | SessionPick): Promise<number> {
    const exact = "length" in which;
    const picked = exact ? exactStreams(which) : matcher(which);
    const refused = exact ? picked : matcher({ ...which, tokens: (which.tokens ?? []).map(markOf) });
    const forgotten = this.#refused.forget(refused);
    this.#questions.forget(picked);
    const touched = [...this.#living.values()].filter((entry) => entry.identity.type === "viewer" && picked(entry.traits()));
    await this.#questions.recheckAll(touched);
    return forgotten + touched.length;
  }

  stop(pick: SessionPick | ((session: SessionView) => boolean), reason: string): number {
    const fits = typeof pick === "function" ? (entry: Entry) => pick(entry.view()) : pickedBy(matcher(pick));
    const picked = [...this.#living.values()].filter((entry) => entry.state === "accepted" && fits(entry));
    for (const entry of picked) this.#end(entry, new SluiceError("access.ended", reason));
    return picked.length;
  }

  tag(id: string, tag: string): boolean {
    return this.#mark(id, (entry) => entry.tag(tag));
  }

  untag(id: string, tag: string): boolean {
    return this.#mark(id, (entry) => entry.untag(tag));
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
    return takeCensus(this.#living.values(), this.#ended.size, this.#book);
  }

  knownStreams(): readonly StreamName[] {
    return this.#history.streams();
  }

  endOf(id: string): SessionEnd | undefined {
    const entry = this.#living.get(id);
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
    this.#rounds[Symbol.dispose]();
    this.stop(() => true, "The server is shutting down.");
  }

  #create(id: string, identity: Identity, ask: Ask): Entry {
    const entry = new Entry(id, identity, ask, this.#entryParts);
    this.#living.add(entry);
    return entry;
  }

  /** The session of a client that has come to another address, where its answer says that it may. */
  #elsewhere(id: string, identity: Identity): Entry | undefined {
    if (!this.#living.anyRoaming || identity.madeToken || this.#refused.get(id, this.#now())) return undefined;
    return this.#living.roaming(this.#naming.roamingId(identity));
  }

  #roaming(id: string, identity: Identity): Entry | undefined {
    const entry = this.#elsewhere(id, identity);
    if (entry) this.#living.alias(entry, id);
    return entry;
  }

  /** What answers do to sessions. */
  #outcomes(): Outcomes {
    const closed = (): boolean => this.#closed;
    return {
      admit: (entry) => this.#admit(entry),
      drop: (entry) => {
        this.#living.delete(entry);
        this.#denied.tell(entry.id);
      },
      end: (entry, error) => this.#end(entry, error),
      changed: (entry) => this.#changed.tell(entry.id, "changed"),
      get closed() {
        return closed();
      },
    };
  }

  #mark(id: string, change: (entry: Entry) => boolean): boolean {
    const entry = this.#living.get(id);
    if (!entry || !change(entry)) return false;
    this.#changed.tell(entry.id, "changed");
    return true;
  }

  #admit(entry: Entry): void {
    entry.state = "accepted";
    entry.question = undefined;
    if (entry.identity.type === "viewer") this.#admitted.tell(entry.id);
    this.#changed.tell(entry.id, "begun");
  }

  #connect(entry: Entry, identity: Identity, ask: Ask): Part {
    const ends = entry.goodUntil < Number.POSITIVE_INFINITY || entry.recheckAt < Number.POSITIVE_INFINITY;
    if (identity !== entry.newest && (ends || entry.roamingKey) && entry.refresh(identity, ask)) this.#questions.refreshed(entry);
    const flow = this.#history.flow(identity.stream, identity.protocol, identity.type);
    const part = entry.join(identity, flow, this.#history.second);
    this.#book.enter(identity.stream, entry, flow);
    return part;
  }

  /** Refuses whom a no still holds, else asks. Rejects when the client is not let in. */
  async #begin(id: string, identity: Identity, ask: Ask, carried: Verdict | undefined): Promise<Checked> {
    const now = this.#now();
    const refusal = this.#refused.get(id, now);
    if (refusal) throw this.#refused.errorOf(id, refusal, now);
    const known = this.#questions.known(identity, id);
    const entry = this.#create(id, identity, ask);
    const question = this.#questions.check(entry, known, carried);
    entry.question = question;
    return await question;
  }

  /** Waits for a new answer on a session whose yes is over. False when it may not go on. */
  async #answered(entry: Entry): Promise<boolean> {
    await (entry.question ?? this.#questions.recheck(entry));
    return this.#living.has(entry);
  }

  #end(entry: Entry, error: SluiceError): void {
    this.#living.delete(entry);
    this.#questions.ended(entry);
    if (entry.seated) this.#places.free(entry);
    const end = entry.end();
    entry.state = "ended";
    this.#ended.add(end, this.#now());
    const idle = this.#book.leave(entry);
    entry.cut(error);
    this.#over.tell(end, error);
    for (const [stream, counters] of idle) this.#idle.tell(stream, counters);
  }

  /** Closes the seconds that have passed in the history. */
  #advance(): void {
    this.#history.advance(Math.floor(this.#now() / 1000));
  }

  #tick(): void {
    this.#advance();
    const { second } = this.#history;
    // A machine that has slept did not watch meanwhile.
    const passed = Math.min(second - this.#visited, mostPassed);
    this.#visited = second;
    this.#rounds.begin(this.#living.values(), (entry) => this.#visit(entry, second, passed));
    const now = this.#now();
    this.#questions.forgetOld(now);
    this.#ended.expire(now);
  }

  /** Once a second. */
  #visit(entry: Entry, second: number, passed: number): void {
    const now = this.#now();
    if (passed > 0) entry.tick(second, passed, now);
    if (entry.state !== "accepted") return;
    if (entry.idle(now)) this.#end(entry, this.#idleError);
    else this.#questions.look(entry, now);
  }
}

function pickedBy(fits: (traits: Traits) => boolean): (entry: Entry) => boolean {
  return (entry) => fits(entry.traits());
}
