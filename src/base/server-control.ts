import type { Duration } from "./time.ts";

/** A viewer as handlers see it. */
export type Viewer = {
  readonly sessionId: string;
  readonly stream: string;
  readonly host: string;
  readonly token: string;
  /** Connectors, joined by comma. */
  readonly protocol: string;
  /** Seconds watched so far. */
  readonly seconds: number;
  /** Bits per second over the last 5 seconds. */
  readonly egress: number;
};

/** What the viewers of a stream are shown while it is offline. */
export type KeepRule = {
  /**
   * In order of preference: names of streams, and recordings by path; a `*` in the last part of a path is the newest of the files
   * that fit, and variables (`$stream`) are put in. A function is asked at each outage.
   */
  readonly sources: readonly string[] | ((stream: string) => readonly string[] | Promise<readonly string[]>);
  /** A publisher may be away for so long before its viewers are shown something else. Left out: not at all. */
  readonly minOutage?: Duration;
  /** A publisher must have been back for so long before viewers are taken to it. Left out: 2 s. */
  readonly minStable?: Duration;
  /** `seamless` (left out: that): viewers are taken there and back. `offer`: they are told that the stream is live again, and stay. */
  readonly switch?: "seamless" | "offer";
};

/** What a handler can ask of the server and have it do. Everything here is also a call of the API. */
export interface ServerControl {
  /** Names of the streams that start at once on every output. */
  liveStreams(): readonly string[];
  /** Viewers of one stream, or of all. */
  viewers(stream?: string): readonly Viewer[];
  /** Bits per second sent to the viewers of one stream, or of all, over the last seconds. */
  egress(stream?: string): number;
  /** Asks `USER_NEW` again for everybody who watches these streams, and forgets refusals. Resolves with how many sessions it touched. */
  invalidateSessions(streams: string | readonly string[]): Promise<number>;
  /** Keeps the viewers of these streams (names and patterns as in a handler's `streams`) when they go offline, until disposed. */
  keepViewers(streams: string | readonly string[], rule: KeepRule): Disposable;
  /** True while somebody pushes to the stream. */
  publishing(stream: string): boolean;
  /** Asks `USER_NEW` again for everybody whose session has this tag. Resolves with how many sessions it touched. */
  recheckTagged(tag: string): Promise<number>;
  /** Ends all sessions with this tag, publishers' and viewers', and refuses pushes with it that have not begun. The reason is told to those who understand one. Gives how many it ended. */
  stopTagged(tag: string, reason: string): number;
  /** Calls `run` for each viewer whose session does not begin, whatever `USER_NEW` was answered. Absent where the server does not tell. */
  onRefused?(run: (sessionId: string) => void): Disposable;
  /** The same for pushes that a handler has given a name; with the tags that it gave them. */
  onPushRefused?(run: (tags: readonly string[]) => void): Disposable;
  /** Ends sessions; the viewers may come back and are asked about anew. Gives how many it ended. */
  stopSessions(sessionIds: readonly string[]): number;
}
