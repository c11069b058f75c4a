import type { Allow, Deny, Verdict } from "../base/decision.ts";
import { messageOf, SluiceError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { StreamName } from "../base/stream-name.ts";
import { type Clock, type Duration, durationMs } from "../base/time.ts";
import { Entry, type Part } from "./entry.ts";
import { History } from "./history.ts";
import { sessionId, sessionMode } from "./identity.ts";
import { Refusals } from "./refusals.ts";
import type { Ask, Identity, SessionEnd, SessionSettings, Sessions, SessionView, StreamCounters } from "./session.ts";
import { StreamBook } from "./stream-book.ts";

/** A no holds this long if its handler does not say how long. */
const refusalMs = 600_000;
/** After a handler's failure the viewer may be asked about again this soon. */
const failureMs = 5_000;
/** Ended sessions stay visible this long. */
const memoryMs = 600_000;
const mostEnded = 20_000;
/** Questions that `invalidate` and rechecks have out at the same time. */
const mostQuestions = 64;

export type SessionsOptions = {
  readonly clock: Clock;
  readonly log: Log;
  /** Read at each new connection: changes hold for those that come after. */
  readonly settings: () => SessionSettings;
  /** Most refusals to remember; 50,000 if left out. */
  readonly mostRefusals?: number;
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
  readonly #book = new StreamBook();
  readonly #history: History;
  #ended: { readonly at: number; readonly end: SessionEnd }[] = [];
  readonly #onAdmit = new Set<(id: string) => void>();
  readonly #onEnd = new Set<(end: SessionEnd) => void>();
  readonly #onIdle = new Set<(stream: StreamName, counters: StreamCounters) => void>();
  readonly #ticker: Disposable;
  /** Ids that were computed for an identity object: who passes the same object again pays for no hash. */
  readonly #ids = new WeakMap<Identity, { readonly mode: number; readonly id: string }>();
  readonly #now: () => number;
  #closed = false;

  constructor({ clock, log, settings, mostRefusals }: SessionsOptions) {
    this.#clock = clock;
    this.#log = log;
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
      else if (entry) return this.#connect(entry, identity);
      else if (identity.type === "viewer") await this.#begin(id, identity, ask);
      else this.#admit(this.#create(id, identity, ask));
    }
  }

  get(id: string): SessionView | undefined {
    const live = this.#live.get(id);
    if (live) return live.view();
    const refusal = this.#refused.get(id, this.#now());
    if (!refusal) return this.#ended.findLast(({ end }) => end.id === id)?.end;
    const { stream, protocol, address, startedAt } = refusal;
    const nothing = { seconds: 0, positionMs: 0, up: 0, down: 0, upPerSecond: 0, downPerSecond: 0, tags: [] };
    return { id, type: "viewer", state: "denied", token: "", protocol, host: address, stream, startedAt, ...nothing };
  }

  list(): readonly SessionView[] {
    return [...this.#ended.map(({ end }) => end), ...[...this.#live.values()].map((entry) => entry.view())];
  }

  async invalidate(streams: readonly StreamName[]): Promise<number> {
    const wanted = new Set(streams);
    const forgotten = this.#refused.forget(wanted);
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
    return this.#live.get(id)?.tag(tag) ?? false;
  }

  totals(query: Parameters<Sessions["totals"]>[0]): ReturnType<Sessions["totals"]> {
    this.#advance();
    return this.#history.totals(query, Math.floor(this.#clock.now() / 1000));
  }

  counters(stream: StreamName): StreamCounters | undefined {
    return this.#book.counters(stream);
  }

  knownStreams(): readonly StreamName[] {
    return this.#history.streams();
  }

  endOf(id: string): SessionEnd | undefined {
    const entry = this.#live.get(id);
    return entry?.state === "accepted" ? entry.end() : undefined;
  }

  onAdmit(run: (id: string) => void): Disposable {
    return listen(this.#onAdmit, run);
  }

  onEnd(run: (end: SessionEnd) => void): Disposable {
    return listen(this.#onEnd, run);
  }

  onStreamIdle(run: (stream: StreamName, counters: StreamCounters) => void): Disposable {
    return listen(this.#onIdle, run);
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
    if (entry.identity.type === "viewer") this.#tell(this.#onAdmit, (run) => run(entry.id));
  }

  #connect(entry: Entry, identity: Identity): Part {
    const flow = this.#history.flow(identity.stream, identity.protocol, identity.type);
    const part = entry.join(identity, flow, this.#history.second);
    this.#book.enter(identity.stream, entry, flow);
    return part;
  }

  /** Refuses whom a no still holds, else asks. Returns when the session was let in; throws when it was not. */
  async #begin(id: string, identity: Identity, ask: Ask): Promise<void> {
    const refusal = this.#refused.get(id, this.#now());
    if (refusal) throw new SluiceError("access.denied", refusal.reason);
    const entry = this.#create(id, identity, ask);
    entry.question = this.#check(entry);
    await entry.question;
  }

  async #check(entry: Entry): Promise<void> {
    let verdict: Verdict;
    try {
      do {
        entry.stale = false;
        verdict = await entry.ask(entry.id, true);
      } while (entry.stale && !this.#closed);
    } catch (error) {
      this.#live.delete(entry.id);
      throw error;
    }
    if (this.#closed) {
      this.#live.delete(entry.id);
      throw new SluiceError("access.ended", "The server is shutting down.");
    }
    if (verdict.kind === "allow") {
      this.#admit(entry);
      this.#plan(entry, verdict);
      return;
    }
    this.#live.delete(entry.id);
    this.#refuse(entry, verdict);
    throw new SluiceError("access.denied", verdict.reason);
  }

  /** Asks again about a session. Who was let in stays connected meanwhile. Never rejects. */
  async #recheck(entry: Entry): Promise<void> {
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
    let verdict: Verdict;
    try {
      do {
        entry.stale = false;
        verdict = await entry.ask(entry.id, false);
      } while (entry.stale && this.#live.get(entry.id) === entry);
    } catch (error) {
      verdict = { kind: "deny", reason: messageOf(error), failed: true };
    } finally {
      entry.question = undefined;
    }
    if (this.#live.get(entry.id) !== entry) return;
    if (verdict.kind === "allow") return this.#plan(entry, verdict);
    if (verdict.failed) {
      this.#log.write("WARN", "USER_NEW failed for a session that was let in before; it goes on", { stream: entry.identity.stream });
      entry.recheckAt = this.#now() + failureMs;
      return;
    }
    this.#refuse(entry, verdict);
    this.#end(entry, new SluiceError("access.denied", verdict.reason));
  }

  /** When a yes wants to be asked again. */
  #plan(entry: Entry, { recheckEvery }: Allow): void {
    entry.recheckAt = recheckEvery === undefined ? Number.POSITIVE_INFINITY : this.#now() + this.#span(recheckEvery, refusalMs);
  }

  #refuse(entry: Entry, { reason, denyFor, failed }: Deny): void {
    const life = denyFor === undefined ? (failed ? failureMs : refusalMs) : this.#span(denyFor, refusalMs);
    if (life > 0) this.#refused.add(entry.id, entry.identity, reason, entry.startedAt, this.#now() + life);
  }

  #span(duration: Duration, otherwise: number): number {
    try {
      return durationMs(duration);
    } catch (error) {
      this.#log.write("WARN", `USER_NEW answered with a wrong duration, ${otherwise / 1000} s are taken: ${messageOf(error)}`);
      return otherwise;
    }
  }

  #end(entry: Entry, error: SluiceError): void {
    this.#live.delete(entry.id);
    const end = entry.end();
    entry.state = "ended";
    this.#ended.push({ at: this.#now(), end });
    if (this.#ended.length > mostEnded) this.#ended.shift();
    const idle = this.#book.leave(entry);
    entry.cut(error);
    this.#tell(this.#onEnd, (run) => run(end));
    for (const [stream, counters] of idle) this.#tell(this.#onIdle, (run) => run(stream, counters));
  }

  #tell<F>(listeners: ReadonlySet<F>, call: (run: F) => void): void {
    for (const run of listeners) {
      try {
        call(run);
      } catch (error) {
        this.#log.write("ERROR", `A listener of the sessions failed: ${messageOf(error)}`);
      }
    }
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
      else if (now >= entry.recheckAt) void this.#recheck(entry);
    }
    this.#refused.expire(now);
    const old = this.#ended.findIndex(({ at }) => now - at < memoryMs);
    if (old !== 0) this.#ended = old < 0 ? [] : this.#ended.slice(old);
  }
}

function listen<F>(listeners: Set<F>, run: F): Disposable {
  listeners.add(run);
  return { [Symbol.dispose]: () => void listeners.delete(run) };
}

/** Runs `work` for all items, at most `limit` at the same time. */
async function atMost<T>(limit: number, items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let item = items[next++]; item !== undefined; item = items[next++]) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
}
