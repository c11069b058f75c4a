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
    proxyProtocol: () => false,
    publish: nobody,
    play: nobody,
    renew: nobody,
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
  /** How many bytes have come; cheaper than `bytes`. */
  readonly length: () => number;
  /** Resolves as soon as the collected bytes satisfy `when`; rejects when the socket closes before. */
  until(when: (bytes: Buffer) => boolean): Promise<Buffer>;
  /** Resolves as soon as so many bytes have come; rejects when the socket closes before. */
  atLeast(count: number): Promise<void>;
  /** Resolves when the connection is over, with all that came. */
  readonly closed: Promise<Buffer>;
};

/** Connects to loopback and sends `first`. */
export function rawClient(port: number, first: string | Uint8Array = ""): RawClient {
  const socket = connect({ port, host: "127.0.0.1" });
  const looks = new Set<() => void>();
  let parts: Buffer[] = [];
  let length = 0;
  const bytes = (): Buffer => {
    if (parts.length > 1) parts = [Buffer.concat(parts)];
    return parts[0] ?? Buffer.alloc(0);
  };
  const closed = new Promise<Buffer>((resolve) => socket.once("close", () => resolve(bytes())));
  socket.on("data", (part) => {
    parts.push(part);
    length += part.length;
    for (const look of looks) look();
  });
  socket.on("error", () => {});
  if (first.length > 0) socket.write(first);
  const wait = (when: () => boolean): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (!when()) return;
        looks.delete(look);
        resolve();
      };
      looks.add(look);
      void closed.then((all) => reject(new Error(`closed after ${all.length} bytes: ${all.toString("latin1").slice(0, 300)}`)));
      look();
    });
  return {
    socket,
    bytes,
    length: () => length,
    closed,
    until: async (when) => {
      await wait(() => when(bytes()));
      return bytes();
    },
    atLeast: (count) => wait(() => length >= count),
  };
}
