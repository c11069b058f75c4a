import { SluiceError } from "../base/errors.ts";
import type { StreamName } from "../base/stream-name.ts";
import type { Clock } from "../base/time.ts";
import type { Grant } from "./answers/grants.ts";
import type { Flow } from "./history.ts";
import type { Traits } from "./pick.ts";
import { rateMarks, type RateMarks } from "./rate-marks.ts";
import type { Ask, Identity, SessionConnection, SessionEnd, SessionView } from "./session.ts";
import { type ConnectionUses, Uses } from "./uses.ts";

/** Milliseconds that a session outlives its last connection, and that a part of it counts as active. */
const idleMs = 15_000;

/** Bytes of all tags of one session. */
const mostTagBytes = 512;
/** Tokens of one session that are known to be older than its newest. */
const mostOutdated = 16;

/** One connection's part. `count` adds plain integers only: it stands in the packet path. */
export class Part implements SessionConnection {
  readonly #entry: Entry;
  readonly flow: Flow;
  #uses: ConnectionUses;
  /** Made for who asks for it: most requests are over before anybody does. */
  #aborter: AbortController | undefined;

  constructor(entry: Entry, flow: Flow, uses: ConnectionUses) {
    this.#entry = entry;
    this.flow = flow;
    this.#uses = uses;
  }

  get sessionId(): string {
    return this.#entry.id;
  }

  get signal(): AbortSignal {
    return (this.#aborter ??= new AbortController()).signal;
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
    (this.#aborter ??= new AbortController()).abort(error);
  }

  /** From now on it counts there. */
  use(uses: ConnectionUses): void {
    this.#uses = uses;
  }

  /** Counts what it uses up to the second `tick`. */
  mark(tick: number, passed: number, now: number): void {
    const { stream, protocol, host } = this.#uses;
    stream.mark(tick, passed, now);
    protocol.mark(tick, passed, now);
    host.mark(tick, passed, now);
  }

  /** It has left: what it used was active until now. */
  left(now: number): void {
    const { stream, protocol, host } = this.#uses;
    stream.lastActive = protocol.lastActive = host.lastActive = Math.ceil(now);
  }

  [Symbol.dispose](): void {
    this.#entry.leave(this);
  }
}

/** When something is to happen to a session, and until when; monotonic milliseconds. */
type Times = { recheckAt: number; goodUntil: number; endsAt: number; renewAt: number };

const never = Number.POSITIVE_INFINITY;
/** Of all sessions whose answer has no end. */
const endless: Readonly<Times> = { recheckAt: never, goodUntil: never, endsAt: never, renewAt: never };

/** What entries of one server share. */
export type EntryParts = { readonly clock: Clock; readonly marks: RateMarks };

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
  /** True from when it has taken a place. */
  seated = false;
  /** Further ids by which it is found, oldest first; `Living` keeps them, and what follows. */
  aliases: readonly string[] = none;
  lastingAlias: string | undefined;
  roamingKey: string | undefined;
  /** Monotonic ms of the answer that it lives by; said when others live by it, too. */
  answeredAt = 0;
  /** That answer, when others live by it, too. */
  grant: Grant | undefined;
  /** Who the viewer is, as USER_NEW said. */
  user = "";
  up = 0;
  down = 0;
  positionMs = 0;
  seconds = 0;
  /** That of its newest connection. */
  flow: Flow | undefined;
  /** Where it counts in the history. */
  #counted: Flow | undefined;
  readonly #parts: EntryParts;
  #times = endless;
  /** Its connections: one stands here by itself, as most sessions never have more. */
  #open: Part | Set<Part> | undefined;
  readonly #uses: Uses;
  /** One stands here by itself. */
  #tags: string | readonly string[] | undefined;
  #outdated: string[] | undefined;
  #lastTick = -1;
  #idleSince: number;
  /** Where its marks are; -1 while nothing moves. */
  #slot = -1;
  #ticks = 0;

  constructor(id: string, identity: Identity, ask: Ask, parts: EntryParts) {
    this.id = id;
    this.identity = identity;
    this.newest = identity;
    this.ask = ask;
    this.startedAt = parts.clock.now();
    this.#parts = parts;
    this.#uses = new Uses(identity);
    this.#idleSince = Math.ceil(parts.clock.monotonic());
  }

  /** The next question: of `recheckEvery`, or when `ttl` is over. */
  get recheckAt(): number {
    return this.#times.recheckAt;
  }

  set recheckAt(at: number) {
    this.plan({ ...this.#times, recheckAt: at });
  }

  /** From here on (`ttl` and `staleFor` are over) nobody is let in without a new answer. */
  get goodUntil(): number {
    return this.#times.goodUntil;
  }

  /** `expiresAt` of its answer; who watches is ended then. */
  get endsAt(): number {
    return this.#times.endsAt;
  }

  /** From here on it is asked about because of `endsAt`. */
  get renewAt(): number {
    return this.#times.renewAt;
  }

  /** Sets all of these. */
  plan({ recheckAt, goodUntil, endsAt, renewAt }: Times): void {
    const ends = Math.min(recheckAt, goodUntil, endsAt, renewAt) < never;
    this.#times = ends ? { recheckAt, goodUntil, endsAt, renewAt } : endless;
  }

  /** True while a connection is open. */
  get connected(): boolean {
    return this.#open !== undefined;
  }

  /** True when nothing was connected for 15 seconds. */
  idle(now: number): boolean {
    return this.#open === undefined && now - this.#idleSince >= idleMs;
  }

  /** Streams that the session has had, in the order of their first use. */
  streams(): readonly StreamName[] {
    return this.#uses.names("stream");
  }

  /** Seconds that the session has had a connection on the stream. */
  secondsOn(stream: StreamName): number {
    return this.#uses.secondsOf("stream", stream);
  }

  /** All that it can be picked by. */
  traits(): Traits {
    const { identity, newest } = this;
    const streams = this.streams();
    return {
      ids: [this.id, ...this.aliases],
      streams: streams.length > 0 ? streams : [identity.stream],
      tags: this.tags,
      users: [this.user],
      tokens: [identity.token, newest.token],
      addresses: [identity.address, newest.address, ...this.#uses.names("host")],
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
    const uses = this.#uses.of(identity, (others) => {
      for (const other of this.#connections()) other.use(others);
    });
    const part = new Part(this, flow, uses);
    const { clock, marks } = this.#parts;
    if (this.#open === undefined) this.#open = part;
    else if (this.#open instanceof Set) this.#open.add(part);
    else this.#open = new Set([this.#open, part]);
    if (this.#slot < 0) this.#slot = marks.take(this.up, this.down);
    this.#flowsBy(flow);
    this.#mark(part, tick, 1, clock.monotonic());
    return part;
  }

  leave(part: Part): void {
    if (this.#open instanceof Set ? !this.#open.delete(part) : this.#open !== part) return;
    if (!(this.#open instanceof Set)) this.#open = undefined;
    else if (this.#open.size < 2) [this.#open] = this.#open;
    const now = this.#parts.clock.monotonic();
    part.left(now);
    if (this.#open === undefined) this.#idleSince = Math.ceil(now);
    if (this.flow !== part.flow) return;
    let flow = part.flow;
    for (const other of this.#connections()) flow = other.flow;
    this.#flowsBy(flow);
  }

  /** Begins second `tick`, `passed` seconds after the one before: whoever is connected uses them. */
  tick(tick: number, passed: number, now: number): void {
    const nth = this.#ticks++;
    if (this.#slot >= 0 && this.#parts.marks.note(this.#slot, nth, this.up, this.down) && this.#open === undefined && nth >= rateMarks)
      this.#still();
    if (this.#open instanceof Part) this.#mark(this.#open, tick, passed, now);
    else if (this.#open) for (const part of this.#open) this.#mark(part, tick, passed, now);
  }

  /** The session has ended: aborts all connections; they stay no part of it. */
  cut(error: SluiceError): void {
    const parts = this.#connections();
    this.#open = undefined;
    this.#flowsBy(undefined);
    this.#still();
    for (const part of parts) part.abort(error);
  }

  get tags(): readonly string[] {
    return typeof this.#tags === "string" ? [this.#tags] : (this.#tags ?? none);
  }

  tag(tag: string): boolean {
    const { tags } = this;
    if (tags.includes(tag)) return true;
    const bytes = tags.reduce((sum, { length }) => sum + length + 2, tag.length + 2);
    if (tag === "" || bytes > mostTagBytes) return false;
    this.#tags = tags.length === 0 ? tag : [...tags, tag];
    return true;
  }

  untag(tag: string): boolean {
    const { tags } = this;
    if (!tags.includes(tag)) return false;
    this.#tags = tags.filter((other) => other !== tag);
    return true;
  }

  view(): SessionView {
    const { clock, marks } = this.#parts;
    const unix = clock.now() - clock.monotonic();
    const since = clock.monotonic() - idleMs;
    const hosts = this.#uses.active("host", since);
    const streams = this.#uses.active("stream", since);
    return {
      id: this.id,
      type: this.identity.type,
      state: this.state,
      token: this.newest.token,
      protocol: this.#uses.active("protocol", since).join(",") || this.identity.protocol,
      host: hosts.length > 1 ? "::" : (hosts[0] ?? this.identity.address),
      stream: streams.length > 1 ? "" : (streams[0] ?? this.identity.stream),
      startedAt: this.startedAt,
      seconds: this.seconds,
      positionMs: this.positionMs,
      up: this.up,
      down: this.down,
      upPerSecond: this.#ticks === 0 ? this.up : this.#slot < 0 ? 0 : marks.up(this.#slot, this.#ticks),
      downPerSecond: this.#ticks === 0 ? this.down : this.#slot < 0 ? 0 : marks.down(this.#slot, this.#ticks),
      tags: this.tags,
      user: this.user,
      ...(Number.isFinite(this.goodUntil) && { expiresAt: Math.round(unix + this.goodUntil) }),
      ...(Number.isFinite(this.recheckAt) && { recheckAt: Math.round(unix + this.recheckAt) }),
    };
  }

  end(): SessionEnd {
    const protocols = this.#uses.sorted("protocol").filter(([name]) => name !== "HTTP");
    const { expiresAt: _expiresAt, recheckAt: _recheckAt, ...view } = this.view();
    const lists = { streams: this.#uses.sorted("stream"), protocols, hosts: this.#uses.sorted("host") };
    return { ...view, token: this.identity.token, state: "ended", ...lists };
  }

  #connections(): readonly Part[] {
    return this.#open instanceof Set ? [...this.#open] : this.#open ? [this.#open] : none;
  }

  /** Nothing moves any more. */
  #still(): void {
    if (this.#slot >= 0) this.#parts.marks.free(this.#slot);
    this.#slot = -1;
  }

  /** Counts in the history with this flow: inputs and outputs while they are connected, viewers until their session has ended. */
  #flowsBy(flow: Flow | undefined): void {
    const counts = flow !== undefined && (this.identity.type === "viewer" || this.connected);
    if (this.#counted !== undefined) this.#counted.sessions--;
    this.#counted = counts ? flow : undefined;
    if (this.#counted !== undefined) this.#counted.sessions++;
    if (flow) this.flow = flow;
  }

  #mark(part: Part, tick: number, passed: number, now: number): void {
    if (this.#lastTick !== tick) {
      this.seconds += Math.min(passed, tick - this.#lastTick);
      this.#lastTick = tick;
    }
    part.mark(tick, passed, now);
  }
}

const none: readonly never[] = [];
