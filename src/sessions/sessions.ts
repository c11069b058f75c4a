import { SluiceError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { StreamName } from "../base/stream-name.ts";
import type { Clock } from "../base/time.ts";
import { type Asked, Questions } from "./answers/questions.ts";
import { Refusals } from "./answers/refusals.ts";
import { takeCensus } from "./census.ts";
import { Ended } from "./ended.ts";
import { Entry, type Part } from "./entry.ts";
import { History } from "./history.ts";
import { sessionId, sessionMode } from "./identity.ts";
import { Listeners } from "./listeners.ts";
import { Places } from "./places.ts";
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

class Registry implements Sessions {
  readonly #clock: Clock;
  readonly #settings: () => SessionSettings;
  readonly #live = new Map<string, Entry>();
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
  /** Ids that were computed for an identity object: who passes the same object again pays for no hash. */
  readonly #ids = new WeakMap<Identity, { readonly mode: number; readonly id: string }>();
  readonly #now: () => number;
  #closed = false;

  constructor({ clock, log, settings, mostRefusals, places = new Places(() => clock.monotonic()) }: SessionsOptions) {
    this.#clock = clock;
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
    this.#questions = new Questions({ log, now: this.#now, places, refused: this.#refused, sessions: this.#asked() });
    this.#history = new History(Math.floor(clock.monotonic() / 1000));
    this.#ticker = clock.every(1000, () => this.#tick());
  }

  async join(identity: Identity, ask: Ask): Promise<Part> {
    const id = this.#idOf(identity);
    for (;;) {
      if (this.#closed) throw new SluiceError("access.ended", "The server is shutting down.");
      const entry = this.#live.get(id);
      if (entry?.question && entry.state === "checking") await entry.question;
      else if (entry && (this.#now() < entry.goodUntil || (await this.#answered(entry)))) return this.#connect(entry, identity);
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
    const grant = viewer ? this.#questions.granted(identity) : undefined;
    return standingOf(id, { entry: this.#live.get(id), refusal, grant }, this.#clock);
  }

  get(id: string): SessionView | undefined {
    const live = this.#live.get(id);
    if (live) return live.view();
    const refusal = this.#refused.get(id, this.#now());
    if (!refusal) return this.#ended.find(id);
    const { stream, protocol, address, startedAt } = refusal;
    const nothing = { seconds: 0, positionMs: 0, up: 0, down: 0, upPerSecond: 0, downPerSecond: 0, tags: [], user: "" };
    return { id, type: "viewer", state: "denied", token: "", protocol, host: address, stream, startedAt, ...nothing };
  }

  list(): readonly SessionView[] {
    return [...this.#ended.list(), ...[...this.#live.values()].map((entry) => entry.view())];
  }

  async renew(id: string, identity: Identity, ask: Ask): Promise<void> {
    const entry = this.#live.get(id);
    if (entry?.state !== "accepted" || entry.identity.stream !== identity.stream)
      throw new SluiceError("access.unknown", "There is no such session.");
    await this.#questions.renew(entry, ask);
  }

  async invalidate(which: readonly StreamName[] | SessionPick): Promise<number> {
    const wanted = new Set("length" in which ? which : which.streams);
    const forgotten = this.#refused.forget(wanted);
    this.#questions.forget(wanted);
    const touched = [...this.#live.values()].filter((entry) => entry.identity.type === "viewer" && entry.watches(wanted));
    await this.#questions.recheckAll(touched);
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
    return takeCensus(this.#live.values(), this.#ended.size, this.#book);
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

  /** What questions may do with sessions. */
  #asked(): Asked {
    const closed = (): boolean => this.#closed;
    return {
      lives: (entry) => this.#live.get(entry.id) === entry,
      all: () => this.#live.values(),
      admit: (entry) => this.#admit(entry),
      drop: (entry) => {
        this.#live.delete(entry.id);
        this.#denied.tell(entry.id);
      },
      end: (entry, error) => this.#end(entry, error),
      changed: (entry) => this.#changed.tell(entry.id, "changed"),
      get closed() {
        return closed();
      },
    };
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
    const known = this.#questions.known(identity);
    const entry = this.#create(id, identity, ask);
    entry.question = this.#questions.check(entry, known);
    await entry.question;
    return entry;
  }

  /** Waits for a new answer on a session whose yes is over. False when it may not go on. */
  async #answered(entry: Entry): Promise<boolean> {
    await (entry.question ?? this.#questions.recheck(entry));
    return this.#live.get(entry.id) === entry;
  }

  #end(entry: Entry, error: SluiceError): void {
    this.#live.delete(entry.id);
    this.#questions.ended(entry);
    this.#places.free(entry);
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
      else this.#questions.look(entry, now);
    }
    this.#questions.expire(now);
    this.#ended.expire(now);
  }
}
