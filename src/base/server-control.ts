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
  /** Ends sessions; the viewers may come back and are asked about anew. Gives how many it ended. */
  stopSessions(sessionIds: readonly string[]): number;
}
