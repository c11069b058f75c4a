import { ByteReader, ByteWriter } from "../../../base/bytes.ts";
import { messageType, type RtmpMessage } from "./message.ts";

/** Events of User Control messages (specification 1.0, section 7.1.7). */
export const userEvent = {
  streamBegin: 0,
  streamEof: 1,
  streamDry: 2,
  setBufferLength: 3,
  streamIsRecorded: 4,
  pingRequest: 6,
  pingResponse: 7,
} as const;

/** Protocol control messages travel on chunk stream 2, message stream 0, at time 0. */
function control(type: number, payload: Uint8Array): RtmpMessage {
  return { chunkStreamId: 2, type, timestamp: 0, streamId: 0, payload };
}

/** How long our chunks are from now on. */
export const setChunkSize = (size: number): RtmpMessage => control(messageType.setChunkSize, new ByteWriter().u32(size).take());

/** How many bytes have come so far; wraps at 32 bits. */
export const acknowledgement = (received: number): RtmpMessage =>
  control(messageType.acknowledgement, new ByteWriter().u32(received % 2 ** 32).take());

/** After how many of our bytes we would like an acknowledgement. */
export const windowAckSize = (size: number): RtmpMessage => control(messageType.windowAckSize, new ByteWriter().u32(size).take());

/** How much the peer may have under way; limit type 2 is "dynamic". */
export const setPeerBandwidth = (size: number): RtmpMessage =>
  control(messageType.setPeerBandwidth, new ByteWriter().u32(size).u8(2).take());

/** A user control event about a message stream, or with a ping's time. */
export const userControl = (event: number, value: number): RtmpMessage =>
  control(messageType.userControl, new ByteWriter().u16(event).u32(value).take());

/** The number in Acknowledgement, Window Acknowledgement Size and the like. Throws "input.invalid" when it is cut off. */
export function readNumber(message: RtmpMessage): number {
  return new ByteReader(message.payload, `RTMP control message of type ${message.type}`).u32();
}

/** A user control event; `value` is 0 for events that come without one. Throws "input.invalid" when it is cut off. */
export function readUserControl(message: RtmpMessage): { readonly event: number; readonly value: number } {
  const reader = new ByteReader(message.payload, "RTMP User Control message");
  return { event: reader.u16(), value: reader.remaining >= 4 ? reader.u32() : 0 };
}

/**
 * Counts what comes in and says when it must be acknowledged: after each window that the peer announced
 * (2,500,000 bytes until it does, as Flash Media Server).
 */
export class ReceivedBytes {
  #total = 0;
  #acknowledged = 0;
  #window = 2_500_000;

  get total(): number {
    return this.#total;
  }

  /** The peer's Window Acknowledgement Size; tiny windows are not followed below 4 KiB. */
  setWindow(size: number): void {
    this.#window = Math.max(size, 4096);
  }

  /** Gives the acknowledgement that is due, if any. */
  add(bytes: number): RtmpMessage | undefined {
    this.#total += bytes;
    if (this.#total - this.#acknowledged < this.#window) return undefined;
    this.#acknowledged = this.#total;
    return acknowledgement(this.#total);
  }
}
