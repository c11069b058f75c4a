import { connect, type Socket } from "node:net";
import { decodeAmf0, encodeAmf0 } from "../../src/containers/amf/amf0.ts";
import { ChunkReader } from "../../src/protocols/rtmp/wire/chunk-reader.ts";
import { writeMessage } from "../../src/protocols/rtmp/wire/chunk-writer.ts";
import { messageType, type RtmpMessage } from "../../src/protocols/rtmp/wire/message.ts";

/** A message to send; what is left out: chunk stream 3, time 0, message stream 1. */
export type Sent = { readonly type: number; readonly payload: Uint8Array; readonly timestamp?: number; readonly streamId?: number };

/** An RTMP client that does what a test says, message by message. */
export class RtmpClient implements AsyncDisposable {
  readonly socket: Socket;
  readonly received: RtmpMessage[] = [];
  /** Resolves when the server has closed. */
  readonly closed: Promise<void>;
  readonly #reader = new ChunkReader();
  readonly #listeners = new Set<() => void>();
  #handshakeLeft = 3073;
  #transaction = 0;

  constructor(port: number) {
    this.socket = connect({ port, host: "127.0.0.1" });
    this.socket.on("error", () => {});
    this.closed = new Promise((resolve) => this.socket.once("close", () => resolve()));
    this.socket.on("data", (bytes) => {
      const skip = Math.min(this.#handshakeLeft, bytes.length);
      this.#handshakeLeft -= skip;
      this.received.push(...this.#reader.feed(bytes.subarray(skip)));
      for (const listener of [...this.#listeners]) listener();
    });
    this.socket.once("close", () => {
      for (const listener of [...this.#listeners]) listener();
    });
    // C0, C1 and C2 at once: servers take it, and tests need no turn for it.
    this.socket.write(Uint8Array.of(3, ...new Uint8Array(3072)));
  }

  send(...messages: readonly Sent[]): void {
    const pieces = messages.flatMap(({ type, payload, timestamp = 0, streamId = 1 }) =>
      writeMessage(
        { chunkStreamId: type === messageType.video ? 6 : type === messageType.audio ? 4 : 3, type, timestamp, streamId },
        [payload],
        128,
      ),
    );
    this.socket.write(Buffer.concat(pieces));
  }

  /** Sends a command; gives its transaction number. */
  command(name: string, ...args: readonly unknown[]): number {
    this.#transaction += 1;
    this.send({
      type: messageType.commandAmf0,
      payload: encodeAmf0([name, this.#transaction, ...args]),
      streamId: name === "connect" ? 0 : 1,
    });
    return this.#transaction;
  }

  /** `connect` as encoders do it. */
  connect(app = "live", more: Readonly<Record<string, unknown>> = {}): void {
    this.command("connect", { app, tcUrl: `rtmp://example.test/${app}`, flashVer: "test/1", ...more });
  }

  /** Commands that came so far, decoded. */
  get commands(): unknown[][] {
    return this.received.filter(({ type }) => type === messageType.commandAmf0).map(({ payload }) => decodeAmf0(payload));
  }

  /** `onStatus` codes that came so far. */
  get codes(): string[] {
    return this.commands.filter(([name]) => name === "onStatus").map(([, , , info]) => (info as { code: string }).code);
  }

  /** Resolves with the first value that `find` gives; rejects when the connection closes before. */
  async until<T>(find: (client: RtmpClient) => T | undefined | false): Promise<T> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const found = find(this);
        if (found === undefined || found === false) {
          if (this.socket.destroyed) reject(new Error(`closed; got ${JSON.stringify(this.commands)}`));
          return;
        }
        this.#listeners.delete(look);
        resolve(found);
      };
      this.#listeners.add(look);
      look();
    });
  }

  /** Resolves with the information object of the first `onStatus` with this code. */
  status(code: string): Promise<{ readonly level: string; readonly description: string }> {
    return this.until((client) => {
      const found = client.commands.find(([name, , , info]) => name === "onStatus" && (info as { code: string }).code === code);
      return found && (found[3] as { level: string; description: string });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy();
    await this.closed;
  }
}
