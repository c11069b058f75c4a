import type { RtmpMessage } from "./message.ts";

/** Chunk size in force on every connection before Set Chunk Size. */
export const defaultChunkSize = 128;

/**
 * A message as chunks of at most `chunkSize` bytes, in pieces that belong one behind the other; pieces of the payload are
 * views. The header is always of type 0, so that a reader may begin with any message. A time of 0xFFFFFF or more goes
 * into the extended timestamp, which is repeated in each chunk as everybody does (specification 1.0, section 5.3.1).
 */
export function writeMessage(message: Omit<RtmpMessage, "payload">, payload: readonly Uint8Array[], chunkSize: number): Uint8Array[] {
  const time = message.timestamp >>> 0;
  const extended = time >= 0xffffff;
  const length = payload.reduce((sum, piece) => sum + piece.length, 0);
  const basic = basicHeader(message.chunkStreamId, 0);
  const header = new Uint8Array(basic.length + 11 + (extended ? 4 : 0));
  const view = new DataView(header.buffer);
  header.set(basic);
  const at = basic.length;
  const field = extended ? 0xffffff : time;
  view.setUint16(at, field >> 8);
  view.setUint8(at + 2, field);
  view.setUint16(at + 3, length >> 8);
  view.setUint8(at + 5, length);
  view.setUint8(at + 6, message.type);
  view.setUint32(at + 7, message.streamId, true);
  if (extended) view.setUint32(at + 11, time);

  const pieces: Uint8Array[] = [header];
  let room = chunkSize;
  let next: Uint8Array | undefined;
  for (const piece of payload) {
    let from = 0;
    while (from < piece.length) {
      if (room === 0) {
        next ??= continuation(message.chunkStreamId, extended ? time : undefined);
        pieces.push(next);
        room = chunkSize;
      }
      const take = Math.min(room, piece.length - from);
      pieces.push(piece.subarray(from, from + take));
      from += take;
      room -= take;
    }
  }
  return pieces;
}

/** The header of each chunk of a message but the first: type 3. */
function continuation(chunkStreamId: number, extendedTime: number | undefined): Uint8Array {
  const basic = basicHeader(chunkStreamId, 3);
  if (extendedTime === undefined) return basic;
  const header = new Uint8Array(basic.length + 4);
  header.set(basic);
  new DataView(header.buffer).setUint32(basic.length, extendedTime);
  return header;
}

/** One byte for ids 2 to 63, two up to 319, three up to 65599. */
function basicHeader(id: number, format: number): Uint8Array {
  const top = format << 6;
  if (id < 64) return Uint8Array.of(top | id);
  if (id < 320) return Uint8Array.of(top, id - 64);
  return Uint8Array.of(top | 1, (id - 64) & 0xff, (id - 64) >> 8);
}
