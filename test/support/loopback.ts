import { connect, type Socket } from "node:net";
import type { LogEntry } from "../../src/base/log.ts";
import { createClock } from "../../src/host/clock.ts";
import { createHost, type HostOptions, type RunningHost } from "../../src/host/host.ts";
import { createLog } from "../../src/host/log.ts";

/** A real host on a free loopback port, and what it logged. The doors throw unless a test hands in its own. */
export function loopbackHost(options: Partial<HostOptions> = {}): {
  readonly host: RunningHost;
  readonly lines: () => readonly LogEntry[];
} {
  const clock = options.clock ?? createClock();
  const log = createLog({ level: "HIGH", write: () => {}, clock });
  const nobody = (): never => {
    throw new Error("this test has no gate");
  };
  const host = createHost({
    listenAddress: "127.0.0.1",
    httpPort: 0,
    trustedProxies: () => [],
    publish: nobody,
    play: nobody,
    watchAddresses: () => [],
    clock,
    log,
    ...options,
  });
  return { host, lines: () => log.entries() };
}

/** A client socket that collects what it gets. */
export type RawClient = {
  readonly socket: Socket;
  readonly bytes: () => Buffer;
  /** Resolves as soon as the collected bytes satisfy `when`; rejects when the socket closes before. */
  until(when: (bytes: Buffer) => boolean): Promise<Buffer>;
  /** Resolves when the connection is over, with all that came. */
  readonly closed: Promise<Buffer>;
};

/** Connects to loopback and sends `first`. */
export function rawClient(port: number, first: string | Uint8Array = ""): RawClient {
  const socket = connect({ port, host: "127.0.0.1" });
  let parts: Buffer[] = [];
  const bytes = (): Buffer => {
    if (parts.length > 1) parts = [Buffer.concat(parts)];
    return parts[0] ?? Buffer.alloc(0);
  };
  socket.on("data", (part) => parts.push(part));
  socket.on("error", () => {});
  if (first.length > 0) socket.write(first);
  const closed = new Promise<Buffer>((resolve) => socket.once("close", () => resolve(bytes())));
  return {
    socket,
    bytes,
    closed,
    until: (when) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (!when(bytes())) return;
          socket.off("data", look);
          resolve(bytes());
        };
        socket.on("data", look);
        socket.once("close", () => reject(new Error(`closed after ${bytes().length} bytes: ${bytes().toString("latin1").slice(0, 300)}`)));
        look();
      }),
  };
}
