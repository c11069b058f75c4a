import { SluiceError } from "../../../base/errors.ts";
import { messageType, type RtmpMessage } from "./message.ts";

/** No honest message is longer: a key frame of 16 MiB would be 4 Gbit/s at 30 frames per second. */
const maxMessage = 16 * 1024 * 1024;
/** What all unfinished messages of a connection may need together. */
const maxUnfinished = 24 * 1024 * 1024;
/** Encoders use three to eight chunk streams. */
const maxChunkStreams = 64;
/** Up to here a message's memory is taken in one piece; longer ones grow, so that announcing costs the announcer bytes. */
const firstPiece = 1024 * 1024;
const extended = 0xffffff;
const nothing = new Uint8Array(0);

/** What a chunk stream remembers of its last message header, for the shorter header types. */
type ChunkStream = {
  readonly id: number;
  /** As sent: absolute after header type 0, else a difference. */
  field: number;
  hasExtended: boolean;
  timestamp: number;
  length: number;
  type: number;
  streamId: number;
  payload: Uint8Array;
  /** Bytes of `payload` that have come, or -1 between messages. */
  filled: number;
};

/**
 * Chunks in, messages out (specification 1.0, section 5.3); takes pieces of any size.
 *
 *     basic header 1-3 | message header 11, 7, 3 or 0 | extended timestamp 0 or 4 | up to `chunk size` bytes of a message
 *
 * Set Chunk Size and Abort take effect here, and are given out like other messages. Each payload is copied once, into
 * memory of its own. All is bounded; throws `SluiceError` "input.*" and is of no use afterwards.
 */
export class ChunkReader {
  readonly #streams = new Map<number, ChunkStream>();
  /** The header that is being collected: 3 + 11 + 4 bytes at most. */
  readonly #header = new Uint8Array(18);
  #headerFilled = 0;
  #chunkSize = 128;
  #unfinished = 0;
  /** The chunk whose bytes are being read, and how many are missing. */
  #stream: ChunkStream | undefined;
  #chunkLeft = 0;

  /** Gives the messages that `bytes` complete, in order. */
  feed(bytes: Uint8Array): RtmpMessage[] {
    const messages: RtmpMessage[] = [];
    this.#read(bytes, messages);
    return messages;
  }

  #read(bytes: Uint8Array, messages: RtmpMessage[]): void {
    let at = 0;
    while (at < bytes.length) {
      if (this.#stream) {
        const take = Math.min(this.#chunkLeft, bytes.length - at);
        append(this.#stream, bytes.subarray(at, at + take));
        at += take;
        this.#chunkLeft -= take;
        if (this.#chunkLeft === 0) this.#endChunk(messages);
        continue;
      }
      this.#header[this.#headerFilled] = bytes[at] ?? 0;
      this.#headerFilled += 1;
      at += 1;
      const surplus = this.#tryHeader();
      if (surplus === undefined) continue;
      if (this.#stream && this.#chunkLeft === 0) this.#endChunk(messages); // an empty message
      if (surplus.length > 0) this.#read(surplus, messages);
    }
  }

  /**
   * Begins a chunk if the collected header is whole. Gives undefined if more is needed, else the collected bytes that turn
   * out to be behind the header.
   */
  #tryHeader(): Uint8Array | undefined {
    const header = this.#header;
    const have = this.#headerFilled;
    const first = header[0] ?? 0;
    const format = first >> 6;
    const low = first & 0x3f;
    const basic = low === 0 ? 2 : low === 1 ? 3 : 1;
    if (have < basic) return undefined;
    const id = low > 1 ? low : 64 + (header[1] ?? 0) + (low === 1 ? (header[2] ?? 0) * 256 : 0);
    const message = messageHeaderLength(format);
    if (have < basic + message) return undefined;

    const stream = this.#streamOf(id, format);
    if (format === 3) {
      if (!stream.hasExtended) return this.#begin(stream, format, stream.field, 0);
      const match = matchExtended(stream, header.subarray(basic, have));
      if (match === "unknown") return undefined;
      if (match === "yes") return this.#begin(stream, format, stream.field, 0);
      return this.#begin(stream, format, stream.field, have - basic);
    }
    const field = u24(header, basic);
    const hasExtended = field === extended;
    const whole = basic + message + (hasExtended ? 4 : 0);
    if (have < whole) return undefined;
    if (stream.filled >= 0) this.#abandon(stream);
    stream.hasExtended = hasExtended;
    if (message >= 7) {
      stream.length = u24(header, basic + 3);
      stream.type = header[basic + 6] ?? 0;
    }
    if (message === 11) stream.streamId = u32le(header, basic + 7);
    return this.#begin(stream, format, hasExtended ? u32(header, whole - 4) : field, 0);
  }

  #streamOf(id: number, format: number): ChunkStream {
    const known = this.#streams.get(id);
    if (known) return known;
    if (format > 1)
      throw new SluiceError("input.invalid", `RTMP chunk stream ${id} begins with header type ${format}, which refers to nothing`);
    if (this.#streams.size >= maxChunkStreams)
      throw new SluiceError("input.oversized", `more than ${maxChunkStreams} RTMP chunk streams on one connection`);
    const stream = { id, field: 0, hasExtended: false, timestamp: 0, length: 0, type: 0, streamId: 0, payload: nothing, filled: -1 };
    this.#streams.set(id, stream);
    return stream;
  }

  /** Starts reading a chunk's bytes; `surplus` bytes at the end of the collected header belong behind it. */
  #begin(stream: ChunkStream, format: number, field: number, surplus: number): Uint8Array {
    if (stream.filled < 0) {
      // Header type 3 for a new message repeats the last field as difference, also one that was absolute (5.3.1.2.4).
      stream.timestamp = format === 0 ? field : (stream.timestamp + field) >>> 0;
      stream.field = field;
      if (stream.length > maxMessage)
        throw new SluiceError("input.oversized", `RTMP message of ${stream.length} bytes; at most ${maxMessage} are accepted`);
      this.#unfinished += stream.length;
      if (this.#unfinished > maxUnfinished)
        throw new SluiceError(
          "input.oversized",
          `unfinished RTMP messages announce ${this.#unfinished} bytes; at most ${maxUnfinished} are accepted`,
        );
      stream.payload = new Uint8Array(Math.min(stream.length, firstPiece));
      stream.filled = 0;
    }
    this.#stream = stream;
    this.#chunkLeft = Math.min(this.#chunkSize, stream.length - stream.filled);
    const behind = surplus > 0 ? this.#header.slice(this.#headerFilled - surplus, this.#headerFilled) : nothing;
    this.#headerFilled = 0;
    return behind;
  }

  #endChunk(messages: RtmpMessage[]): void {
    const stream = this.#stream;
    this.#stream = undefined;
    if (!stream || stream.filled < stream.length) return;
    const { id, type, timestamp, streamId, payload } = stream;
    this.#abandon(stream);
    if (type === messageType.setChunkSize) this.#setChunkSize(payload);
    else if (type === messageType.abort) this.#abort(payload);
    messages.push({ chunkStreamId: id, type, timestamp, streamId, payload });
  }

  #setChunkSize(payload: Uint8Array): void {
    const size = payload.length < 4 ? 0 : u32(payload, 0);
    if (size < 1 || size > 0x7fffffff)
      throw new SluiceError("input.invalid", `RTMP Set Chunk Size says ${size}; 1 to 2147483647 are allowed`);
    this.#chunkSize = size;
  }

  #abort(payload: Uint8Array): void {
    if (payload.length < 4) throw new SluiceError("input.invalid", "RTMP Abort message without a chunk stream id");
    const stream = this.#streams.get(u32(payload, 0));
    if (stream && stream.filled >= 0) this.#abandon(stream);
  }

  /** Lets go of the message that the stream holds. */
  #abandon(stream: ChunkStream): void {
    this.#unfinished -= stream.length;
    stream.payload = nothing;
    stream.filled = -1;
  }
}

function messageHeaderLength(format: number): number {
  return format === 0 ? 11 : format === 1 ? 7 : format === 2 ? 3 : 0;
}

/**
 * Whether the bytes behind a header of type 3 repeat the extended timestamp. Most senders repeat the field of the last
 * header, some write the absolute time, a few leave it out against the specification: then the bytes are the message's.
 */
function matchExtended(stream: ChunkStream, bytes: Uint8Array): "yes" | "no" | "unknown" {
  const matches = (value: number): boolean => bytes.every((byte, index) => byte === ((value >>> (24 - 8 * index)) & 0xff));
  if (!matches(stream.field) && !matches(stream.timestamp)) return "no";
  return bytes.length < 4 ? "unknown" : "yes";
}

function append(stream: ChunkStream, bytes: Uint8Array): void {
  const end = stream.filled + bytes.length;
  if (end > stream.payload.length) {
    const grown = new Uint8Array(Math.min(stream.length, Math.max(end, stream.payload.length * 2)));
    grown.set(stream.payload.subarray(0, stream.filled));
    stream.payload = grown;
  }
  stream.payload.set(bytes, stream.filled);
  stream.filled = end;
}

function u24(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
}

function u32(bytes: Uint8Array, at: number): number {
  return (u24(bytes, at) * 256 + (bytes[at + 3] ?? 0)) >>> 0;
}

function u32le(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24)) >>> 0;
}
