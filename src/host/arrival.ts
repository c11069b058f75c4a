import type { Socket } from "node:net";
import { messageOf, SluiceError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Clock } from "../base/time.ts";
import type { TlsDetails } from "../base/tls-details.ts";
import { plainAddress, type TrustedProxies } from "./peer-address.ts";
import { BeginningReader } from "./proxy-protocol.ts";

/**
 * What a connection goes through between the port and the server that answers it: `next` gets the socket that the server
 * is to see, at most once. A stage that does not call it has closed the connection.
 */
export type Stage = (socket: Socket, next: (socket: Socket) => void) => void;

/** The other end of a connection: the client's, also where a proxy stands between. */
export type Peer = {
  readonly address: string;
  readonly port: number;
  /** The TLS of the client's connection, here or at a proxy that told of it. */
  readonly tls: TlsDetails | undefined;
};

/** Who is at the other end of each socket. One for a server; sockets that nobody told of are asked themselves. */
export class Peers {
  readonly #told = new WeakMap<object, Peer>();

  of(socket: Socket): Peer {
    return this.#told.get(socket) ?? { address: plainAddress(socket.remoteAddress), port: socket.remotePort ?? 0, tls: undefined };
  }

  tell(socket: Socket, peer: Peer): void {
    this.#told.set(socket, peer);
  }
}

/** Milliseconds that a PROXY header may take once it has begun. */
const headerMs = 5000;

export type ProxyStageOptions = {
  /** For the log. */
  readonly name: string;
  /** Asked at each connection. */
  readonly enabled: () => boolean;
  readonly proxies: TrustedProxies;
  readonly peers: Peers;
  readonly clock: Clock;
  readonly log: Log;
};

/**
 * Takes up the PROXY header of a trusted proxy: the address in it is the peer's from then on. A header that is wrong, too
 * slow, or comes from somebody who is not trusted, closes its connection with one line in the log. Who sends nothing is
 * handed on after a moment, so that browsers may open connections ahead; the server's own limits count then.
 */
export function proxyStage({ name, enabled, proxies, peers, clock, log }: ProxyStageOptions): Stage {
  return (socket, next) => {
    if (!enabled()) return next(socket);
    const reader = new BeginningReader();
    const own = peers.of(socket);
    const refuse = (why: string): void => {
      leave();
      log.write("WARN", `${name} connection closed: ${why}`, { address: own.address });
      socket.destroy();
    };
    const goOn = (rest: Uint8Array): void => {
      leave();
      if (rest.length > 0) socket.unshift(rest);
      next(socket);
    };
    const begins = (bytes: Buffer): void => {
      const beginning = reader.feed(bytes);
      if (!beginning) return;
      const { header, rest } = beginning;
      if (header && !proxies.trusts(own.address)) {
        throw new SluiceError("access.denied", "a PROXY header came from an address that is not in `trustedproxy`");
      }
      if (header) peers.tell(socket, { ...own, ...header.source, tls: header.tls });
      goOn(rest);
    };
    // Not "data": whoever gets the socket must find it as it was, neither paused nor flowing.
    const onReadable = (): void => {
      const bytes: Buffer | null = socket.read();
      if (bytes === null) return;
      try {
        begins(bytes);
      } catch (error) {
        refuse(messageOf(error));
      }
    };
    const onEnd = (): void => {
      leave();
      socket.destroy();
    };
    const onError = (): void => {}; // "close" follows
    const late = clock.after(headerMs, () => {
      if (reader.pending === 0) goOn(new Uint8Array(0));
      else refuse(`the PROXY header was not complete within ${headerMs / 1000} s`);
    });
    const leave = (): void => {
      late[Symbol.dispose]();
      socket.off("readable", onReadable).off("end", onEnd).off("close", leave);
      // The next owner has put its own there by then.
      queueMicrotask(() => socket.off("error", onError));
    };
    socket.on("readable", onReadable).once("end", onEnd).once("close", leave).on("error", onError);
  };
}
