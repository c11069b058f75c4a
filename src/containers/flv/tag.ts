import { ByteWriter } from "../../base/bytes.ts";
import type { CodecName } from "../../media/codec.ts";

/** Tag types of FLV, which are RTMP's message types too (Adobe FLV 10.1 annex E.4.1). */
export const tagType = { audio: 8, video: 9, script: 18 } as const;
/** A tag type that carries media or metadata. */
export type TagType = (typeof tagType)[keyof typeof tagType];

/** One tag. `timestampMs` is the raw 32 bits as a signed number; `body` is a view that is good until the next call. */
export type FlvTag = { readonly type: TagType; readonly timestampMs: number; readonly body: Uint8Array };

/** Bytes of a tag's header and of the size behind it. */
export const tagHeaderLength = 11;
export const tagTrailerLength = 4;

/** Packet types of enhanced RTMP's extended video header. */
export const videoPacketType = {
  sequenceStart: 0,
  codedFrames: 1,
  sequenceEnd: 2,
  codedFramesX: 3,
  metadata: 4,
  mpeg2tsSequenceStart: 5,
  multitrack: 6,
  modEx: 7,
} as const;

/** Packet types of enhanced RTMP's extended audio header. */
export const audioPacketType = {
  sequenceStart: 0,
  codedFrames: 1,
  sequenceEnd: 2,
  multichannelConfig: 4,
  multitrack: 5,
  modEx: 7,
} as const;

/** Codec ids of the legacy video header; 12 is not Adobe's but what Chinese CDNs and patched FFmpegs use. */
export const legacyVideo = { h264: 7, hevc: 12 } as const;
/** Sound formats of the legacy audio header; 14 is MP3 at 8 kHz, 9 announces the extended header. */
export const soundFormat = { mp3: 2, extended: 9, aac: 10, mp38k: 14 } as const;

/** The four-character codes of enhanced RTMP. */
export const fourCcs: Readonly<Record<CodecName, string>> = {
  h264: "avc1",
  hevc: "hvc1",
  av1: "av01",
  vp9: "vp09",
  vp8: "vp08",
  aac: "mp4a",
  mp3: ".mp3",
  opus: "Opus",
  ac3: "ac-3",
  flac: "fLaC",
};

/** FLV file header with the size of the tag before the first, which is none. */
export function fileHeader(hasVideo: boolean, hasAudio: boolean): Uint8Array {
  return new ByteWriter(13)
    .text("FLV")
    .u8(1)
    .u8((hasAudio ? 4 : 0) | (hasVideo ? 1 : 0))
    .u32(9)
    .u32(0)
    .take();
}

/** The pieces of a tag around its body; the body is not copied. `timestampMs` is cut to 32 bits. */
export function tagPieces(type: TagType, timestampMs: number, body: readonly Uint8Array[]): Uint8Array[] {
  let size = 0;
  for (const piece of body) size += piece.length;
  const time = (timestampMs % 2 ** 32) | 0;
  const head = Uint8Array.of(type, size >> 16, size >> 8, size, time >> 16, time >> 8, time, time >> 24, 0, 0, 0);
  const total = size + tagHeaderLength;
  const trailer = Uint8Array.of(total >> 24, total >> 16, total >> 8, total);
  return [head, ...body, trailer];
}
