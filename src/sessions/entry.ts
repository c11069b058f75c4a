import { SluiceError } from "../base/errors.ts";
import type { StreamName } from "../base/stream-name.ts";
import type { Clock } from "../base/time.ts";
import type { Grant } from "./answers/grants.ts";
import type { Flow } from "./history.ts";
import type { Traits } from "./pick.ts";
import type { Ask, Identity, SessionConnection, SessionEnd, SessionView } from "./session.ts";

/** Milliseconds that a session outlives its last connection, and that a part of it counts as active. */
const idleMs = 15_000;

/** Bytes of all tags of one session. */
const mostTagBytes = 512;
const rateSeconds = 5;
const rateMarks = rateSeconds + 1;
/** Tokens of one session that are known to be older than its newest. */
const mostOutdated = 16;
/** Names of each kind that one session remembers; sessions that everybody shares (mode 0) would grow without end. */
const mostUses = 256;

/** How long one stream, connector or address was in use. */
type Use = { seconds: number; lastTick: number; lastActive: number };

/** One connection's part. `Connection` adds plain integers only: it stands in the packet path. */
export class Part implements SessionConnection {
  readonly #entry: Entry;
  readonly flow: Flow;
  readonly uses: readonly Use[];
  readonly #aborter = new AbortController();

  constructor(entry: Entry, flow: Flow, uses: readonly Use[]) {
    this.#entry = entry;
    this.flow = flow;
    this.uses = uses;
  }

  get sessionId(): string {
    return this.#entry.id;
  }

  get signal(): AbortSignal {
    return this.#aborter.signal;
  }

  count(up: number, down: number): void {
    this.#entry.up += up;
    this.#entry.down += down;
    this.flow.up += up;
    this.flow.down += down;
  }

  position(ms: number): void {
    if (ms > this.#entry.positionMs) this.#entry.positionMs = ms;
  }

  abort(error: SluiceError): void {
    this.#aborter.abort(error);
  }

  [Symbol.dispose](): void {
    this.#entry.leave(this);
  }
}

/** A living session: being checked or let in. Refused ones are kept by `Refusals`, ended ones as `SessionEnd`. */
export class Entry {
  readonly id: string;
  /** Of the first connection. */
  readonly identity: Identity;
  /** With whom the next question is about it, and how it is asked: those of the first connection until fresher ones come. */
  newest: Identity;
  ask: Ask;
  readonly startedAt: number;
  state: SessionView["state"] = "checking";
  /** The question that is out: joins and `invalidate` wait for it. */
  question: Promise<unknown> | undefined;
  /** The last of the renewals that wait for each other. */
  renewal: Promise<void> | undefined;
  /** True when the question that is out has to be asked once more, as rules have changed meanwhile. */
  stale = false;
  /** Monotonic ms of the next question: of `recheckEvery`, or when `ttl` is over. */
  recheckAt = Number.POSITIVE_INFINITY;
  /** Monotonic ms: from here on (`ttl` and `staleFor` are over) nobody is let in without a new answer. */
  goodUntil = Number.POSITIVE_INFINITY;
  /** Monotonic ms: `expiresAt` of its answer; who watches is ended then. */
  endsAt = Number.POSITIVE_INFINITY;
  /** Monotonic ms: from here on it is asked about because of `endsAt`. */
  renewAt = Number.POSITIVE_INFINITY;
  /** True from when it has taken a place. */
  seated = false;
  /** Further ids by which it is found, oldest first; `Living` keeps them, and what follows. */
  readonly aliases: string[] = [];
  lastingAlias: string | undefined;
  roamingKey: string | undefined;
  /** Monotonic ms of the answer that it lives by. */
  answeredAt = 0;
  /** That answer, when others live by it, too. */
  grant: Grant | undefined;
  /** Who the viewer is, as USER_NEW said. */
  user = "";
  up = 0;
  down = 0;
  positionMs = 0;
  seconds = 0;
  /** Where the session counts in the history: with its newest connection. */
  flow: Flow | undefined;
  readonly #clock: Clock;
  readonly #parts = new Set<Part>();
  readonly #streams = new Map<string, Use>();
  readonly #protocols = new Map<string, Use>();
  readonly #hosts = new Map<string, Use>();
  readonly #tags = new Set<string>();
  #tagBytes = 0;
  #outdated: string[] | undefined;
  #lastTick = -1;
  #idleSince: number;
  readonly #upMarks = new Float64Array(rateMarks);
  readonly #downMarks = new Float64Array(rateMarks);
  #ticks = 0;

  constructor(id: string, identity: Identity, ask: Ask, clock: Clock) {
    this.id = id;
    this.identity = identity;
    this.newest = identity;
    this.ask = ask;
    this.startedAt = clock.now();
    this.#clock = clock;
    this.#idleSince = clock.monotonic();
  }

  /** True while a connection is open. */
  get connected(): boolean {
    return this.#parts.size > 0;
  }

  /** True when nothing was connected for 15 seconds. */
  idle(now: number): boolean {
    return this.#parts.size === 0 && now - this.#idleSince >= idleMs;
  }

  /** Streams that the session has had, in the order of their first use. */
  streams(): Iterable<StreamName> {
    return this.#streams.keys();
  }

  /** Seconds that the session has had a connection on the stream. */
  secondsOn(stream: StreamName): number {
    return this.#streams.get(stream)?.seconds ?? 0;
  }

  /** All that it can be picked by. */
  traits(): Traits {
    const { identity, newest } = this;
    return {
      ids: [this.id, ...this.aliases],
      streams: this.#streams.size > 0 ? [...this.#streams.keys()] : [identity.stream],
      tags: [...this.#tags],
      users: [this.user],
      tokens: [identity.token, newest.token],
      addresses: [identity.address, newest.address, ...this.#hosts.keys()],
    };
  }

  /** From now on it is asked about with this. */
  freshen(identity: Identity, ask: Ask): void {
    if (identity.token !== this.newest.token) this.outdate(this.newest.token);
    this.newest = identity;
    this.ask = ask;
  }

  /** This token is none to ask with, also when a connection comes with it once more. */
  outdate(token: string): void {
    this.#outdated ??= [];
    this.#outdated.push(token);
    if (this.#outdated.length > mostOutdated) this.#outdated.shift();
  }

  /**
   * A connection has come: where it has a token that the session did not have before, or the session roams and was elsewhere, it is
   * asked about with that from now on. True for a new token.
   */
  refresh(identity: Identity, ask: Ask): boolean {
    const { newest } = this;
    if (identity.madeToken) return false;
    if (identity.token === newest.token) {
      if (this.roamingKey !== undefined && identity.address !== newest.address) this.freshen(identity, ask);
      return false;
    }
    if (this.#outdated?.includes(identity.token)) return false;
    this.freshen(identity, ask);
    return true;
  }

  /** Adds a connection and counts the second in which it came. */
  join(identity: Identity, flow: Flow, tick: number): Part {
    const uses = [
      useOf(this.#streams, identity.stream),
      useOf(this.#protocols, identity.protocol),
      useOf(this.#hosts, identity.address),
    ] as const;
    const part = new Part(this, flow, uses);
    this.#parts.add(part);
    this.flow = flow;
    this.#mark(part, tick, this.#clock.monotonic());
    return part;
  }

  leave(part: Part): void {
    if (!this.#parts.delete(part)) return;
    const now = this.#clock.monotonic();
    for (const use of part.uses) use.lastActive = now;
    if (this.#parts.size === 0) this.#idleSince = now;
    else if (this.flow === part.flow) for (const other of this.#parts) this.flow = other.flow;
  }

  /** Begins second `tick`: whoever is connected uses it. */
  tick(tick: number, now: number): void {
    const slot = this.#ticks++ % rateMarks;
    this.#upMarks[slot] = this.up;
    this.#downMarks[slot] = this.down;
    for (const part of this.#parts) this.#mark(part, tick, now);
  }

  /** Aborts all connections; they stay no part of the session. */
  cut(error: SluiceError): void {
    const parts = [...this.#parts];
    this.#parts.clear();
    for (const part of parts) part.abort(error);
  }

  tag(tag: string): boolean {
    if (this.#tags.has(tag)) return true;
    const bytes = tag.length + 2;
    if (tag === "" || this.#tagBytes + bytes > mostTagBytes) return false;
    this.#tagBytes += bytes;
    this.#tags.add(tag);
    return true;
  }

  untag(tag: string): boolean {
    if (!this.#tags.delete(tag)) return false;
    this.#tagBytes -= tag.length + 2;
    return true;
  }

  view(): SessionView {
    const unix = this.#clock.now() - this.#clock.monotonic();
    const since = this.#clock.monotonic() - idleMs;
    const hosts = active(this.#hosts, since);
    const streams = active(this.#streams, since);
    return {
      id: this.id,
      type: this.identity.type,
      state: this.state,
      token: this.newest.token,
      protocol: active(this.#protocols, since).join(",") || this.identity.protocol,
      host: hosts.length > 1 ? "::" : (hosts[0] ?? this.identity.address),
      stream: streams.length > 1 ? "" : (streams[0] ?? this.identity.stream),
      startedAt: this.startedAt,
      seconds: this.seconds,
      positionMs: this.positionMs,
      up: this.up,
      down: this.down,
      upPerSecond: this.#rate(this.up, this.#upMarks),
      downPerSecond: this.#rate(this.down, this.#downMarks),
      tags: [...this.#tags],
      user: this.user,
      ...(Number.isFinite(this.goodUntil) && { expiresAt: Math.round(unix + this.goodUntil) }),
      ...(Number.isFinite(this.recheckAt) && { recheckAt: Math.round(unix + this.recheckAt) }),
    };
  }

  end(): SessionEnd {
    const protocols = sorted(this.#protocols).filter(([name]) => name !== "HTTP");
    const { expiresAt: _expiresAt, recheckAt: _recheckAt, ...view } = this.view();
    const lists = { streams: sorted(this.#streams), protocols, hosts: sorted(this.#hosts) };
    return { ...view, token: this.identity.token, state: "ended", ...lists };
  }

  /** Bytes per second between the newest tick and the one 5 seconds before; in the first second, what there is. */
  #rate(total: number, marks: Float64Array): number {
    if (this.#ticks === 0) return total;
    const newest = marks[(this.#ticks - 1) % rateMarks] ?? 0;
    if (this.#ticks < rateMarks) return Math.round(newest / this.#ticks);
    return Math.round((newest - (marks[this.#ticks % rateMarks] ?? 0)) / rateSeconds);
  }

  #mark(part: Part, tick: number, now: number): void {
    if (this.#lastTick !== tick) {
      this.#lastTick = tick;
      this.seconds++;
    }
    for (const use of part.uses) {
      use.lastActive = now;
      if (use.lastTick === tick) continue;
      use.lastTick = tick;
      use.seconds++;
    }
  }
}

function useOf(uses: Map<string, Use>, name: string): Use {
  let use = uses.get(name);
  if (!use) {
    use = { seconds: 0, lastTick: -1, lastActive: 0 };
    if (uses.size < mostUses) uses.set(name, use);
  }
  return use;
}

function active(uses: ReadonlyMap<string, Use>, since: number): readonly string[] {
  const names: string[] = [];
  for (const [name, use] of uses) if (use.lastActive > since) names.push(name);
  return names.sort();
}

function sorted(uses: ReadonlyMap<string, Use>): readonly (readonly [string, number])[] {
  return [...uses].map(([name, use]) => [name, use.seconds] as const).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}
