import type { ExitReason } from "../base/exit.ts";
import type { TlsDetails } from "../base/tls-details.ts";

/** The transport under one or more requests: CONN_OPEN and CONN_CLOSE fire once for each. */
export type Connection = {
  readonly id: number;
  /** Aborted when the transport has closed. */
  readonly signal: AbortSignal;
};

/** All that a decision may be based on, as plain data. The protocol fills it in and decides nothing. */
export type AccessRequest = {
  /** The connector's name as MistServer writes it: `RTMP`, `HLS`, `FLV`, `HTTP`. */
  readonly protocol: string;
  /** The stream name as the client sent it, percent-decoded, not sanitised, without query. */
  readonly stream: string;
  /** The whole URL as the client sent it, for triggers. */
  readonly url: string;
  /** The client's address as text; behind trusted proxies the forwarded one. */
  readonly address: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly cookies: Readonly<Record<string, string>>;
  /** The TLS of the client's connection, where it is known. */
  readonly tls?: TlsDetails;
  /** What the publisher offers as password (RTMP: the application name). */
  readonly password?: string;
  readonly connection: Connection;
  /** True when a client can keep a token between its requests (HTTP): one is generated and carried. */
  readonly carriesToken: boolean;
  /** True for a request that asks about the stream and gets no media (stream information). */
  readonly infoOnly?: boolean;
  /** True for one output that lasts until its end is told (OUTPUT_END); a request for a playlist or a segment is none. */
  readonly lasting?: boolean;
};

/** What a viewer may know of the stream behind the name that it asked for. No name is in it: that may be a secret. */
export type StandIn = {
  /** Something else is shown in the stream's place now. */
  readonly shown: boolean;
  /** What that is; undefined while it is the stream itself. */
  readonly shows?: "recording" | "stream" | "nothing" | undefined;
  /** Unix milliseconds since when the stream has been offline; undefined while it is live. */
  readonly offlineSince: number | undefined;
  /** The stream is live, and this viewer is still shown something else. */
  readonly liveAgain: boolean;
  /** `offer`: the viewer stays on what it sees until it asks for the stream itself, with `tolive=1` in its query. */
  readonly switch: "seamless" | "offer";
};

/** A yes of the gate. Dispose when the request or connection is over; the session lives on for its 15 seconds. */
export interface Admission<T> extends Disposable {
  /** The stream to read, or the writer. Its name may differ from what was asked for: never show it to the client. */
  readonly value: T;
  /** The name as the client asked for it (sanitised): this may be shown. */
  readonly askedName: string;
  readonly sessionId: string;
  /** The viewer's token; empty if it has none. */
  readonly token: string;
  /** Append as `?tkn=` to URLs that the client will follow (it is percent-encoded already), or undefined. */
  readonly urlToken: string | undefined;
  /** The whole value of a `Set-Cookie` header, or undefined. */
  readonly cookie: string | undefined;
  /** Set when another stream than the asked one is shown because that one is offline. */
  readonly redirected: boolean;
  /** For streams whose viewers are kept while they are offline; left out, or undefined: this is none. */
  readonly standIn?: () => StandIn | undefined;
  /** Calls `run` when that may be another one; dispose to stop. */
  readonly onStandIn?: (run: () => void) => Disposable;
  /** Counts bytes sent to the client (`up`) and received from it (`down`). */
  count(up: number, down: number): void;
  /** Media time, in ms, of what was sent last. */
  position(ms: number): void;
  /**
   * Says why the output is over, before it is disposed; the first word counts, and `CLEAN_EOF` means that the end of the media
   * was reached. Unsaid it is a closed connection. `bytes`: sent to the client in all, if that is more than was counted.
   */
  ends(reason: ExitReason, bytes?: number): void;
  /** Aborted with a `SluiceError` ("access.ended", "access.denied") when the session may not go on. */
  readonly signal: AbortSignal;
}

/** What a renewal has come to. */
export type Renewed = {
  readonly sessionId: string;
  /** Unix milliseconds until which the new answer holds; absent when it has no end. */
  readonly expiresAt?: number;
  /** The whole value of a `Set-Cookie` header with the new token; absent when tokens are not written there. */
  readonly cookie?: string;
};
