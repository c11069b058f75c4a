import type { Server, Socket } from "node:net";
import { messageOf, SluiceError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Listener } from "../protocols/protocol.ts";
import type { Stage } from "./arrival.ts";

export type ListenOptions = {
  readonly port: number;
  /** Address to listen on; `::` and `0.0.0.0` mean all. */
  readonly address: string;
  /** The command line option that chooses the port, for the message: `--rtmp-port`. */
  readonly option: string;
  readonly log: Log;
  /** What connections go through before the server gets them, in this order. */
  readonly stages?: readonly Stage[];
};

/** Milliseconds that open connections have to end when the listener is closed. */
const farewellMs = 1000;

/**
 * Opens a server's port. Rejects with "listen.failed" and words that say what to do.
 * Disposing the listener takes no more connections, ends those that are open and resolves when all are gone.
 */
export async function listen(server: Server, { port, address, option, log, stages = [] }: ListenOptions): Promise<Listener> {
  const sockets = new Set<Socket>();
  const track = (socket: Socket): void => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  };
  if (stages.length === 0) server.on("connection", track);
  else putBefore(server, stages, { track, forget: (socket) => sockets.delete(socket) });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(listenError(error, { port, address, option })));
    server.listen({ port, host: address }, resolve);
  });
  // Failing to accept one connection (out of file descriptors) must not end the process.
  server.on("error", (error) => log.write("ERROR", `port ${port}: ${error.message}`));
  const bound = server.address();
  return {
    port: typeof bound === "object" && bound !== null ? bound.port : port,
    stopListening: () => void server.close(),
    async [Symbol.asyncDispose]() {
      const gone = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.end();
      const timer = setTimeout(() => {
        for (const socket of sockets) socket.destroy();
      }, farewellMs);
      await gone;
      // The server counts a socket out before it says "close": who waits here wants those who listen for that to have heard it.
      await Promise.all([...sockets].map((socket) => new Promise((resolve) => socket.once("close", resolve))));
      clearTimeout(timer);
    },
  };
}

/** Each stage hands its socket to the next one, the last one to the server's own listeners. The socket that is in use is the tracked one. */
function putBefore(
  server: Server,
  stages: readonly Stage[],
  { track, forget }: { readonly track: (socket: Socket) => void; readonly forget: (socket: Socket) => void },
): void {
  const listeners = server.listeners("connection");
  server.removeAllListeners("connection");
  const pass = (socket: Socket, at: number): void => {
    const stage = stages[at];
    if (stage) {
      return stage(socket, (following) => {
        if (following !== socket) {
          forget(socket);
          track(following);
        }
        pass(following, at + 1);
      });
    }
    for (const listener of listeners) listener.call(server, socket);
  };
  server.on("connection", (socket) => {
    track(socket);
    pass(socket, 0);
  });
}

/** Words for what the operating system says about a port that could not be opened. */
export function listenError(error: unknown, { port, address, option }: Pick<ListenOptions, "port" | "address" | "option">): SluiceError {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  const text =
    code === "EADDRINUSE"
      ? `port ${port} is in use; choose another with ${option} N, or end the program that has it`
      : code === "EACCES"
        ? `port ${port} may not be opened by this user; choose one above 1023 with ${option} N`
        : code === "EADDRNOTAVAIL" || code === "ENOTFOUND"
          ? `"${address}" is no address of this machine; choose another with --host ADDR`
          : `port ${port} on ${address} could not be opened: ${messageOf(error)}; choose another with ${option} N`;
  return new SluiceError("listen.failed", text, { cause: error });
}
