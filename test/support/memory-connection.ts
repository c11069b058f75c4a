import type { TcpConnection } from "../../src/protocols/protocol.ts";

/** A TCP connection without a network: a test feeds bytes and reads what was written. */
export type MemoryConnection = {
  readonly connection: TcpConnection;
  /** What was written so far. */
  readonly written: readonly Uint8Array[];
  /** Gives bytes to the protocol, which may keep none of them. */
  feed(bytes: Uint8Array): void;
  /** The peer closes. */
  end(): void;
};

export function createMemoryConnection(): MemoryConnection {
  const controller = new AbortController();
  const written: Uint8Array[] = [];
  let run: (bytes: Uint8Array) => void = () => {};
  const end = (): void => controller.abort();
  const connection: TcpConnection = {
    id: 1,
    signal: controller.signal,
    address: "127.0.0.1",
    port: 40_000,
    localAddress: "127.0.0.1",
    localPort: 1935,
    sink: {
      write: (bytes) => void written.push(bytes),
      congested: false,
      onDrained: () => ({ [Symbol.dispose]: () => {} }),
      end,
      signal: controller.signal,
    },
    onBytes: (handle) => {
      run = handle;
    },
    close: end,
  };
  return {
    connection,
    written,
    feed(bytes) {
      if (controller.signal.aborted) return;
      const pooled = Uint8Array.from(bytes);
      run(pooled);
      pooled.fill(0xee);
    },
    end,
  };
}
