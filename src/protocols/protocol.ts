import type { Log } from "../base/log.ts";
import type { Sink } from "../base/sink.ts";
import type { Clock } from "../base/time.ts";
import type { TlsDetails } from "../base/tls-details.ts";
import type { CodecName } from "../media/codec.ts";
import type { Track } from "../media/track.ts";
import type { AccessRequest, Admission, Connection, Renewed } from "../sessions/access-request.ts";
import type { Stream, StreamWriter, VodSource } from "../streams/stream.ts";

export type { AccessRequest, Admission, Connection, Renewed, StandIn } from "../sessions/access-request.ts";

/** How a player page or stream information can point at an output; `$` in `path` stands for the stream's name. */
export type WatchAddress = {
  /** MistServer's `type` of a source: `html5/application/vnd.apple.mpegurl`, `flash/7`, ... */
  readonly type: string;
  /** Readable name, for people. */
  readonly hrn: string;
  readonly scheme: "http" | "ws" | "rtmp";
  readonly path: string;
  /** Higher is offered first. */
  readonly priority: number;
  /** Where it listens, when that is not the HTTP port. */
  readonly port?: number;
};

/** Where media comes from when the server fetches it itself. Only recorded inputs so far. */
export type Input = {
  readonly kind: "vod";
  /** MistServer's name of it: `MP4`, `EBML`, `TS`, `FLV`. */
  readonly name: string;
  open(): Promise<VodSource>;
};

/** What a protocol's listener tells: where it listens, and how to end it. */
export interface Listener extends AsyncDisposable {
  readonly port: number;
  /** Takes no more connections; those that are open go on until it is disposed. */
  stopListening(): void;
}

/** One value says all about a protocol; configuration, capabilities, documentation and contract tests follow from it. */
export type Protocol<O = unknown> = {
  /** Folder name and configuration key: `rtmp`. */
  readonly name: string;
  /** MistServer's connector name: `RTMP`. */
  readonly connector: string;
  /** One sentence for people. */
  readonly description: string;
  readonly codecs: { readonly publish: readonly CodecName[]; readonly play: readonly CodecName[] };
  readonly watch: readonly WatchAddress[];
  /** Checks the protocol's options from the configuration; throws `SluiceError` "config.invalid" naming the field. */
  parseOptions(value: unknown): O;
  /** Listens or registers its routes. */
  serve?(host: Host, options: O): Promise<AsyncDisposable>;
  /** Gives an input if the source (path or URL) is one of its kind, else undefined. */
  pull?(source: string): Input | undefined;
};

/** Checks a protocol's shape and keeps its options' type. */
export function defineProtocol<O>(protocol: Protocol<O>): Protocol<O> {
  return protocol;
}

/** One HTTP request on the media port. The first of `reply`, `stream` or `upgrade` answers it. */
export interface HttpExchange {
  readonly method: string;
  /** Absolute, from the request line and the Host header; behind a trusted proxy with the forwarded scheme and host. */
  readonly url: URL;
  /** Percent-decoded path, e.g. `/hls/live+a/index.m3u8`. */
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly cookies: Readonly<Record<string, string>>;
  readonly address: string;
  /** The TLS of the client's connection; undefined without TLS, and when a proxy that ends it does not tell. */
  readonly tls?: TlsDetails | undefined;
  readonly connection: Connection;
  /** True when the client asks for a WebSocket. */
  readonly wantsUpgrade: boolean;
  /** The request's body; to be asked for once. Rejects with "input.oversized" when it is longer than `most` bytes. */
  body(most: number): Promise<Uint8Array>;
  /** A whole answer. CORS headers are added by the host; `bytes written` come back through `onSent`. HEAD sends no body. */
  reply(status: number, headers: Readonly<Record<string, string>>, body?: Uint8Array | string): void;
  /** An answer without end: sends the head, then gives the socket underneath as a sink. */
  stream(status: number, headers: Readonly<Record<string, string>>): Sink;
  /** Accepts the WebSocket. */
  upgrade(headers?: Readonly<Record<string, string>>): WebSocketPeer;
}

export interface WebSocketPeer {
  /** Takes whole WebSocket frames (`webSocketFrame`): they can be shared by all peers. */
  readonly sink: Sink;
  sendText(text: string): void;
  close(code: number, reason: string): void;
  onMessage(run: (data: Uint8Array | string) => void): void;
}

/** A raw TCP connection: bytes as they come, and the sink to answer. */
export interface TcpConnection extends Connection {
  readonly address: string;
  readonly port: number;
  readonly sink: Sink;
  /** The port on which the client came in, and the address. */
  readonly localAddress: string;
  readonly localPort: number;
  /** Called for each chunk as received; it is valid only during the call: copy what is kept. A throw is logged once and closes the connection. */
  onBytes(run: (bytes: Uint8Array) => void): void;
  close(): void;
}

/** A stream as anybody may see it in the public list. */
export type LiveStream = {
  readonly name: string;
  readonly kind: Stream["kind"];
  /** Unix milliseconds. */
  readonly since: number;
  readonly tracks: readonly Track[];
  readonly tags: readonly string[];
  /** Undefined when nobody is to know. */
  readonly viewers: number | undefined;
  /** What the operator shows of it: plain JSON. */
  readonly metadata?: Readonly<Record<string, unknown>>;
};

/** What plays now, as far as anybody may know. Looking opens no session and fires no trigger. */
export interface PublicStreams {
  /** Those that start at once on every output, sorted by name or as the operator says; undefined when there is no public list. */
  streams(): readonly LiveStream[] | undefined;
  /** True while the order is not that of the names. */
  readonly ordered?: boolean;
  /** Most readers that may follow the list at the same time. */
  readonly mostReaders: number;
  /** Calls `run` when the list may be another one; dispose to stop. */
  onChange(run: () => void): Disposable;
  /** Calls `run` when a stream of this name, listed or not, begins to play, changes its state or tracks, or ends; dispose to stop. */
  onStream(name: string, run: () => void): Disposable;
}

/** All that a protocol may know of the server; tests pass a fake one. */
export interface Host {
  /** Listens; `serve` is called for each connection, a rejection is logged once and closes that connection. */
  tcp(
    options: { readonly protocol: string; readonly port: number; readonly host?: string },
    serve: (connection: TcpConnection) => Promise<void>,
  ): Promise<Listener>;
  /**
   * Takes part in the HTTP media port. Routes are tried in the order of registration; the first whose `match` gives
   * a value handles the request. What `handle` throws becomes an error answer: the status of a `SluiceError`
   * with its message as text, else 500.
   */
  http<M>(route: {
    readonly protocol: string;
    match(path: string): M | undefined;
    handle(exchange: HttpExchange, match: M): Promise<void>;
  }): Disposable;
  /** The gate's two doors. Both reject with a `SluiceError` "access.*" or "source.failed" whose message the client may see. */
  publish(request: AccessRequest): Promise<Admission<StreamWriter>>;
  play(request: AccessRequest): Promise<Admission<Stream>>;
  /**
   * Brings a fresh token to a viewer's running session: the old one comes as `was` in the query or by cookie, the new one as
   * `tkn` or bearer. The session goes on whatever the answer is. Rejects with "access.denied", or "access.unknown" when there is none.
   */
  renew(request: AccessRequest): Promise<Renewed>;
  /** How others may watch, over all protocols in use. */
  watchAddresses(): readonly (WatchAddress & { readonly codecs: readonly CodecName[] })[];
  readonly live: PublicStreams;
  readonly clock: Clock;
  readonly log: Log;
}

/** Tracks of a stream that an output can carry. */
export function playableTracks(tracks: readonly Track[], codecs: readonly CodecName[]): readonly Track[] {
  return tracks.filter((track) => track.kind !== "data" && (codecs as readonly string[]).includes(track.codec));
}

/** The question that an HTTP request asks the gate; `protocol` is the connector, `stream` the name as it stands in the path. */
export function httpAccess(exchange: HttpExchange, protocol: string, stream: string, infoOnly = false): AccessRequest {
  const { url, address, query, headers, cookies, connection, tls } = exchange;
  return {
    protocol,
    stream,
    url: url.href,
    address,
    query,
    headers,
    cookies,
    connection,
    carriesToken: true,
    infoOnly,
    ...(tls && { tls }),
  };
}
