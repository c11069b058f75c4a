import type { IncomingMessage } from "node:http";
import type { Server, Socket } from "node:net";
import type { EventFeed } from "./events/feed.ts";
import type { ApiTokens } from "./auth/api-tokens.ts";
import type { Log, LogEntry } from "../base/log.ts";
import type { Decisions } from "../access/decisions.ts";
import type { Programs } from "../access/fallback/programs.ts";
import type { LimitBook } from "../access/limits/limit.ts";
import type { StreamTagBook } from "../access/stream-tags.ts";
import type { TokenVerifier } from "../access/tokens/verifier.ts";
import type { Clock } from "../base/time.ts";
import type { Configuration } from "../config/configuration.ts";
import type { ReloadStatus } from "../config/reload/reload.ts";
import type { Listener, Protocol, WebSocketPeer } from "../protocols/protocol.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { Sessions } from "../sessions/session.ts";
import type { StreamDirectory } from "../streams/stream.ts";
import type { TriggerBus } from "../triggers/bus.ts";
import type { TokenBook } from "../store/token-book.ts";
import type { NamedPolicy } from "../policies/active.ts";
import type { Journal } from "../triggers/journal/journal.ts";
import type { Outbox } from "../triggers/delivery/outbox.ts";

/** A port that the server listens on. */
export type ListeningPort = { readonly connector: string; readonly host: string; readonly port: number };

/** Everything of the server that the API asks and steers. */
export type ApiParts = {
  readonly configuration: Configuration;
  readonly directory: StreamDirectory;
  readonly sessions: Sessions;
  readonly triggers: TriggerBus;
  readonly journal: Journal;
  readonly outbox: Outbox;
  readonly metrics: Metrics;
  /** Who was let in and refused, and why. */
  readonly decisions: Decisions;
  readonly limits: LimitBook;
  readonly streamTags: StreamTagBook;
  /** What viewers of streams that are offline are shown. */
  readonly programs: Pick<Programs, "state" | "move">;
  readonly apiTokens: ApiTokens;
  /** Tokens to push and to watch. */
  readonly tokenBook: TokenBook;
  /** Policies that are in force. */
  readonly policies: () => readonly NamedPolicy[];
  /** Resolves when the last change of them is in force. */
  readonly policiesSettled?: () => Promise<void>;
  /** Checks JWTs; those with the permission `admin` may use the API. */
  readonly tokens: TokenVerifier;
  /** What became of the configuration's file. */
  readonly reloadStatus: () => ReloadStatus;
  /** Loads the configuration's file anew; false when there is none, or when it is wrong and the old one stays. */
  readonly reload: (reason: string) => Promise<boolean>;
  readonly log: Log;
  /** Everything that happens, for those who follow it. */
  readonly events: EventFeed;
  /** The last lines of the log, oldest first. */
  readonly logEntries: () => readonly LogEntry[];
  readonly protocols: readonly Protocol[];
  /** The ports that are open now, the API's aside. */
  readonly listening: () => readonly ListeningPort[];
  readonly identity: {
    /** 16 random characters, other ones at each start. */
    readonly instance: string;
    readonly version: string;
  };
  readonly clock: Clock;
  /** The client's address, behind trusted proxies the forwarded one. */
  readonly clientAddress: (peer: string, headers: Readonly<Record<string, string>>) => string;
  /** The address at the other end of a socket, behind a proxy that sends PROXY headers the client's. */
  readonly peerAddress: (socket: Socket) => string;
  /** Opens the port of a server that is ready; rejects with `SluiceError` "listen.failed". */
  readonly open: (
    server: Server,
    options: { readonly address: string; readonly port: number; readonly option: string },
  ) => Promise<Listener>;
  /** Accepts a WebSocket on a connection of the API. Throws "input.invalid" when the handshake is wrong; the client has its answer then. */
  readonly acceptWebSocket: (request: IncomingMessage, socket: Socket, head: Uint8Array) => WebSocketPeer;
  /** Ends the server in order; called after the answer has been sent. */
  readonly stop: () => void;
};

/** Who sent a request, as far as the API trusts it. */
export type Asker = {
  /** On this very machine and not through a proxy or a foreign web page. */
  readonly local: boolean;
  readonly address: string;
  /** The `Host` header: how the client calls this server. */
  readonly host: string;
};
