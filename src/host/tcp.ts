import { createServer } from "node:net";
import { messageOf, isSluiceError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Clock } from "../base/time.ts";
import type { Listener, TcpConnection } from "../protocols/protocol.ts";
import type { Peers, Stage } from "./arrival.ts";
import { listen } from "./listen.ts";
import { plainAddress } from "./peer-address.ts";
import { createSocketSink } from "./socket-sink.ts";

export type TcpOptions = {
  /** For the log and for the name of the port's option. */
  readonly protocol: string;
  readonly port: number;
  readonly address: string;
  readonly log: Log;
  readonly clock: Clock;
  /** Gives the number of a new connection. */
  readonly nextId: () => number;
  readonly peers: Peers;
  readonly stages: readonly Stage[];
};

/** Milliseconds of silence after which the kernel asks whether a peer still lives. */
export const keepAliveMs = 30_000;

/**
 * Listens for raw connections. What `serve` rejects with, or the `onBytes` callback throws, is logged once and closes
 * that one connection; a refusal ("access.*") was already told by the gate and is not logged again.
 */
export function listenTcp(options: TcpOptions, serve: (connection: TcpConnection) => Promise<void>): Promise<Listener> {
  const { protocol, log, clock } = options;
  const server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveMs }, (socket) => {
    const { address, port } = options.peers.of(socket);
    const controller = new AbortController();
    const sink = createSocketSink(socket, clock);
    let failed = false;
    const fail = (error: unknown): void => {
      if (failed) return;
      failed = true;
      if (!isSluiceError(error) || !error.code.startsWith("access.")) {
        const kind = isSluiceError(error) ? "WARN" : "ERROR";
        log.write(kind, `${protocol} connection closed: ${messageOf(error)}`, {
          address,
          at: isSluiceError(error) ? undefined : origin(error),
        });
      }
      sink.end();
    };
    // Resets and timeouts are how networks end connections; "close" follows.
    socket.on("error", () => {});
    socket.once("close", () => controller.abort());
    const connection: TcpConnection = {
      id: options.nextId(),
      signal: controller.signal,
      address,
      port,
      localAddress: plainAddress(socket.localAddress),
      localPort: socket.localPort ?? 0,
      sink,
      onBytes(run) {
        socket.on("data", (bytes) => {
          if (failed || sink.signal.aborted) return;
          try {
            run(bytes);
          } catch (error) {
            fail(error);
          }
        });
      },
      close: () => sink.end(),
    };
    void serveSafely(serve, connection).catch(fail);
  });
  const option = `--${protocol.toLowerCase()}-port`;
  return listen(server, { port: options.port, address: options.address, option, log, stages: options.stages });
}

/** Turns a synchronous throw into a rejection. */
async function serveSafely(serve: (connection: TcpConnection) => Promise<void>, connection: TcpConnection): Promise<void> {
  await serve(connection);
}

/** Where in the code an unexpected error arose, for the one line that tells of it. */
export function origin(error: unknown): string | undefined {
  const frame = error instanceof Error ? error.stack?.split("\n").find((line) => line.trimStart().startsWith("at ")) : undefined;
  return frame
    ?.trim()
    .replace(/^at /, "")
    .replace(/\(?file:\/\/\S*\/(src|test)\//, "$1/")
    .replace(/\)$/, "");
}
