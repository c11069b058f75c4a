import type { Limits, Scope, Verdict } from "../base/decision.ts";
import type { SluiceError } from "../base/errors.ts";
import type { SessionIdentity } from "../base/session-identity.ts";
import type { StreamName } from "../base/stream-name.ts";

/** Who a session is for; only viewers are asked about and can be refused. */
export type SessionType = "viewer" | "input" | "output" | "unspecified";

/** What makes one viewer the same viewer (bit mask: 8 stream, 4 address, 2 token, 1 protocol), and where tokens live. */
export type SessionSettings = {
  readonly sessionViewerMode: number;
  /** For viewers in place of the mask, where it is set. */
  readonly sessionIdentity?: SessionIdentity | undefined;
  readonly sessionInputMode: number;
  readonly sessionOutputMode: number;
  readonly sessionUnspecifiedMode: number;
  /** 1 as viewer, 2 as output, 3 no session, 4 unspecified. */
  readonly sessionStreamInfoMode: number;
  /** 1 read from query, 2 read from cookie, 4 write into URLs, 8 write as cookie. */
  readonly tknMode: number;
};

export const defaultSessionSettings: SessionSettings = {
  sessionViewerMode: 14,
  sessionInputMode: 15,
  sessionOutputMode: 15,
  sessionUnspecifiedMode: 0,
  sessionStreamInfoMode: 1,
  tknMode: 15,
};

/** What a session is known by. `protocol` is the connector: `HLS`, `INPUT:RTMP`. */
export type Identity = {
  readonly type: SessionType;
  readonly stream: StreamName;
  readonly address: string;
  readonly token: string;
  /** True when the client brought no token and this one was made for it: it does not say who the client is. */
  readonly madeToken?: boolean;
  readonly protocol: string;
  /** The URL of this connection, for the question. */
  readonly url: string;
  /** What identity expressions may look at: the client's cookies, and the claims of its token if that is a JWT that holds. */
  readonly cookies?: Readonly<Record<string, string>>;
  readonly claims?: Readonly<Record<string, unknown>>;
};

/** Picks sessions: those that fit any of the lists. */
export type SessionPick = {
  readonly ids?: readonly string[];
  /** A name, `base+` for all streams below it, or a pattern with `*`. */
  readonly streams?: readonly string[];
  readonly tags?: readonly string[];
  readonly users?: readonly string[];
  readonly tokens?: readonly string[];
  /** Addresses and networks (`203.0.113.0/24`). */
  readonly addresses?: readonly string[];
};

/** What decides in whose name a session has its place. `user` is what USER_NEW said; empty if it did not. */
export type Seated = {
  readonly id: string;
  readonly identity: Identity;
  user: string;
  /** Media time that the viewer has got, ms. */
  readonly positionMs?: number;
};

/** Ends a session that has a place, with this error; its place is free when this returns. */
export type EndSeated = (session: Seated, error: SluiceError) => void;

/**
 * Where sessions get their places. Looking and taking are one step without waiting, so that two who come at once never get
 * the same last place. A session takes a place once, when it is let in, and frees it when it has ended.
 */
export interface PlaceKeeper {
  /** Called once, before all else: how a session is ended that has to make room for a newer one. */
  bind(end: EndSeated): void;
  /** Throws "access.full" or "access.denied" when there is no place; nothing is taken then, and nobody was ended. */
  take(session: Seated, limits: Limits | readonly Limits[] | undefined): void;
  /** The session has another user's name from now on, also when that has too many. Sets `session.user`. */
  move(session: Seated, user: string): void;
  free(session: Seated): void;
}

/**
 * Asks USER_NEW; `first` is false when a session that was let in is asked about again. `known` is a yes that holds for this
 * session already (`scope`): nobody is asked, it comes back after what has to happen before a session begins.
 */
export type Ask = (sessionId: string, first: boolean, known?: Verdict) => Promise<Verdict>;

/** One connection's part in a session. Dispose when the connection or request is over. */
export interface SessionConnection extends Disposable {
  readonly sessionId: string;
  count(up: number, down: number): void;
  /** Media position in milliseconds, for `clients`. */
  position(ms: number): void;
  /** Aborted with a `SluiceError` when the session was ended or refused while the connection was open. */
  readonly signal: AbortSignal;
}

/** A session as the API shows it; a copy. */
export type SessionView = {
  readonly id: string;
  readonly type: SessionType;
  readonly state: "checking" | "accepted" | "denied" | "ended";
  readonly token: string;
  /** Active within the last 15 seconds, as MistServer joins them: connectors by comma, "::" for several hosts, "" for several streams. */
  readonly protocol: string;
  readonly host: string;
  readonly stream: StreamName;
  /** Unix milliseconds. */
  readonly startedAt: number;
  readonly seconds: number;
  readonly positionMs: number;
  readonly up: number;
  readonly down: number;
  /** Bytes per second over the last 5 seconds. */
  readonly upPerSecond: number;
  readonly downPerSecond: number;
  readonly tags: readonly string[];
  /** Who the viewer is, as USER_NEW said; empty if it did not. */
  readonly user: string;
  /** Unix milliseconds at which it ends, or lets nobody join any more, unless a new yes comes; absent when the yes has no end. */
  readonly expiresAt?: number;
  /** Unix milliseconds of the next question; absent when none is planned. */
  readonly recheckAt?: number;
};

/** What an identity would meet if it joined now. */
export type Standing = {
  readonly id: string;
  /**
   * `living`: a session that was let in; `checking`: one that waits for its answer; `refused`: a no that is remembered;
   * `granted`, `barred`: an answer to another session holds for this one, too (`scope`); `new`: it would be asked about.
   */
  readonly state: "living" | "checking" | "refused" | "granted" | "barred" | "new";
  /** Unix milliseconds at which that is over; absent when it has no end. */
  readonly until?: number;
  readonly scope?: Scope;
  /** Set when the living session's token was made for it: the client has not shown who it is. */
  readonly madeToken?: true;
};

/** Everything USER_END, the access log and the API need of a session that has ended. Lists are sorted. */
export type SessionEnd = SessionView & {
  readonly streams: readonly (readonly [name: string, seconds: number])[];
  readonly protocols: readonly (readonly [name: string, seconds: number])[];
  readonly hosts: readonly (readonly [address: string, seconds: number])[];
};

export type TotalsQuery = {
  readonly streams?: readonly string[];
  readonly protocols?: readonly string[];
  /** Unix seconds, or negative: seconds ago. Absent: 600 s ago until now. */
  readonly start?: number;
  readonly end?: number;
};

/** One second of `totals`; bytes per second. */
export type TotalsRow = {
  readonly clients: number;
  readonly inputs: number;
  readonly outputs: number;
  readonly downbps: number;
  readonly upbps: number;
};

/** Per-stream counters since the stream entry was made (STREAM_END, active_streams). */
export type StreamCounters = {
  readonly viewers: number;
  readonly inputs: number;
  readonly outputs: number;
  readonly unspecified: number;
  /** Sessions ever, by type. */
  readonly views: number;
  readonly totalInputs: number;
  readonly totalOutputs: number;
  readonly viewSeconds: number;
  readonly up: number;
  readonly down: number;
};

/** Sums since the start. A session that was on several streams counts on each; sessions that go on are included. */
export type SessionSums = Pick<StreamCounters, "views" | "totalInputs" | "totalOutputs" | "viewSeconds" | "up" | "down">;

/** What all sessions come to at one moment; a copy. */
export type SessionCensus = {
  /** Sessions that are let in, by type; inputs and outputs while they are connected. */
  readonly now: Readonly<Record<SessionType, number>>;
  /** All that are known: of `now`, those that wait for an answer, and those that ended within the last 600 seconds. */
  readonly remembered: number;
  /** Viewers of `now` by connector, that of their newest connection. */
  readonly viewersBy: ReadonlyMap<string, number>;
  /** Streams that have a session. */
  readonly streams: readonly (readonly [name: StreamName, counters: StreamCounters])[];
  readonly ever: SessionSums;
};

/** What one stream sends to its viewers and gets from its publisher: bytes per second over the last 5 whole seconds. */
export type StreamRate = { readonly up: number; readonly down: number; readonly viewers: number };

/** All sessions. Who holds it may ask, steer and count. */
export interface Sessions extends AsyncDisposable {
  /**
   * Joins the session of this identity, or begins it. For a new viewer `ask` is called once while other connections of the
   * same identity wait for the same answer. Rejects with `SluiceError` "access.denied" (its message is the reason) when
   * the answer is or was no; a no holds for 600 seconds.
   * The answer may say otherwise: `ttl` (the yes ends and is asked for again; after that and `staleFor` new connections wait
   * for the answer, and a failure ends the session as a no does), `expiresAt` (asked for again shortly before; who watches is ended
   * then if no later yes has come), `roams` (the same token from another address joins this session), `scope` (the answer holds for others, too), `denyFor`, `limits`
   * (a yes that finds all places taken is a no that is not remembered; a place is free when its session has ended).
   */
  join(identity: Identity, ask: Ask): Promise<SessionConnection>;
  /**
   * Brings a fresh token to a running session: USER_NEW is asked with the new identity in the background. A yes makes that identity
   * another name of the same session, and its life that of the session; a no rejects with "access.denied" and leaves the session
   * as it is. Rejects with "access.unknown" when no such session lives, and with
   * "access.ended" when it ends before the answer.
   */
  renew(id: string, identity: Identity, ask: Ask): Promise<void>;
  /** Looks without changing anything; what it gives holds until the caller waits for something. */
  standing(identity: Identity): Standing;
  get(id: string): SessionView | undefined;
  /** Sessions that live, and those that ended within the last 600 seconds. */
  list(): readonly SessionView[];
  /** The same, made one by one: who walks may wait in between, and then finds what has come and misses what has gone. */
  views(): Iterable<SessionView>;
  /**
   * Asks again for each living viewer that is picked, at once; forgets refusals. A list: of exactly these streams. Resolves with how
   * many sessions it touched, refused ones among them, when all are answered.
   */
  invalidate(which: readonly StreamName[] | SessionPick): Promise<number>;
  /** Ends the sessions that the predicate picks; their connections close, USER_END follows. Gives their number. */
  stop(pick: SessionPick | ((session: SessionView) => boolean), reason: string): number;
  tag(id: string, tag: string): boolean;
  /** False when there is no such session, or it has no such tag. */
  untag(id: string, tag: string): boolean;
  totals(query: TotalsQuery): { readonly start: number; readonly end: number; readonly rows: readonly TotalsRow[] } | undefined;
  counters(stream: StreamName): StreamCounters | undefined;
  /** Streams through which something went within the last 5 seconds; made anew at each call. */
  rates(): ReadonlyMap<StreamName, StreamRate>;
  census(): SessionCensus;
  /** Streams that have had a session within the last 600 seconds. */
  knownStreams(): readonly StreamName[];
  /** What the end of a session that is let in would say now; a copy. */
  endOf(id: string): SessionEnd | undefined;
  /** Called for each viewer's session that was let in, before its connections go on. */
  onAdmit(run: (id: string) => void): Disposable;
  /**
   * Called for each viewer's session that was asked about and not let in under its id, whatever the reason (also when it joins the
   * session that its user has already), before its connections are told.
   */
  onRefuse(run: (id: string) => void): Disposable;
  /** Called when a session of any type has been let in, and when its tags or its user may have changed. Who wants more asks for it by `get`. */
  onChange(run: (id: string, what: "begun" | "changed") => void): Disposable;
  /** Called for each session that has ended, in order; `why` is what its connections were told. */
  onEnd(run: (end: SessionEnd, why: SluiceError) => void): Disposable;
  /** Called when a stream's last session has ended, with its counters; they are dropped afterwards. */
  onStreamIdle(run: (stream: StreamName, counters: StreamCounters) => void): Disposable;
}
