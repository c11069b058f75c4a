import type { ByteReader } from "../../base/bytes.ts";

/** What follows the first byte of an extended video or audio header (Enhanced RTMP v2). */
export type ExtendedMessage = {
  readonly packetType: number;
  /** Sub-millisecond part of the timestamp, from ModEx. */
  readonly nanoseconds: number;
  readonly parts: readonly ExtendedPart[];
};

/** The share of one track; `trackIndex` is 0 outside of multitrack messages. `data` is a view. */
export type ExtendedPart = { readonly trackIndex: number; readonly fourCc: string; readonly data: Uint8Array };

/** The packet types that audio and video number differently, and the ones whose body is not read at all. */
export type ExtendedTypes = { readonly modEx: number; readonly multitrack: number };

const multitrackType = { oneTrack: 0, manyTracks: 1, manyTracksManyCodecs: 2 } as const;
const timestampOffsetNano = 0;

/** Reads ModEx, multitrack and FourCC fields; `packetType` is the low nibble of the first byte. Throws "input.invalid". */
export function readExtended(reader: ByteReader, packetType: number, types: ExtendedTypes): ExtendedMessage {
  let type = packetType;
  let nanoseconds = 0;
  while (type === types.modEx) {
    let size = reader.u8() + 1;
    if (size === 256) size = reader.u16() + 1;
    const data = reader.bytes(size);
    const next = reader.u8();
    if (next >> 4 === timestampOffsetNano && size >= 3) nanoseconds = Math.min((data[0]! << 16) | (data[1]! << 8) | data[2]!, 999_999);
    type = next & 15;
  }
  if (type !== types.multitrack) {
    const fourCc = reader.text(4);
    return { packetType: type, nanoseconds, parts: [{ trackIndex: 0, fourCc, data: reader.rest() }] };
  }
  const kinds = reader.u8();
  const kind = kinds >> 4;
  type = kinds & 15;
  const common = kind === multitrackType.manyTracksManyCodecs ? undefined : reader.text(4);
  const parts: ExtendedPart[] = [];
  do {
    const fourCc = common ?? reader.text(4);
    const trackIndex = reader.u8();
    const data = kind === multitrackType.oneTrack ? reader.rest() : reader.bytes(reader.u24());
    parts.push({ trackIndex, fourCc, data });
  } while (reader.remaining > 0);
  return { packetType: type, nanoseconds, parts };
}
