import { concat } from "../../base/bytes.ts";
import type { TcpConnection } from "../protocol.ts";
import { commandMessage, type Status, statusMessage } from "./command.ts";
import { defaultChunkSize, writeMessage } from "./wire/chunk-writer.ts";
import { setChunkSize } from "./wire/control.ts";
import type { RtmpMessage } from "./wire/message.ts";

/** The sending side of one connection. */
export class RtmpPeer {
  readonly #tcp: TcpConnection;
  #chunkSize = defaultChunkSize;
  /** Bytes of handshake, answers and statuses; media for viewers goes another way. */
  bytesSent = 0;

  constructor(tcp: TcpConnection) {
    this.#tcp = tcp;
  }

  /** Sends bytes as they are: the handshake. */
  raw(bytes: Uint8Array): void {
    this.bytesSent += bytes.length;
    this.#tcp.sink.write(bytes);
  }

  /** Sends messages in one write. */
  send(...messages: readonly RtmpMessage[]): void {
    this.raw(concat(messages.flatMap((message) => writeMessage(message, [message.payload], this.#chunkSize))));
  }

  /** Sends what can be left out: a client that asks much and reads nothing must not make us keep the answers. */
  offer(message: RtmpMessage): void {
    if (!this.#tcp.sink.congested) this.send(message);
  }

  /** Announces and uses longer chunks from now on. */
  useChunkSize(size: number): void {
    this.send(setChunkSize(size));
    this.#chunkSize = size;
  }

  /** Answers a call; a call with transaction 0 wants no answer. */
  result(transaction: number, ...values: readonly unknown[]): void {
    if (transaction !== 0) this.send(commandMessage(0, ["_result", transaction, ...values]));
  }

  /** Sends `onStatus`. */
  status(streamId: number, level: Status["level"], code: string, description: string): void {
    this.send(statusMessage(streamId, { level, code, description }));
  }
}
