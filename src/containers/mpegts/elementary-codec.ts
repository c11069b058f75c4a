import type { CodecName } from "../../media/codec.ts";

/**
 * What can be carried, with the stream_type of ISO/IEC 13818-1 table 2-34. Opus has none of its own: it is private
 * data (0x06) with a registration descriptor.
 */
export const tsCodecs = ["h264", "hevc", "aac", "mp3", "opus"] as const satisfies readonly CodecName[];
export type TsCodec = (typeof tsCodecs)[number];

/** stream_type values, as written and as read. */
export const streamType = { mpeg1Audio: 0x03, mpeg2Audio: 0x04, private: 0x06, adts: 0x0f, latm: 0x11, h264: 0x1b, hevc: 0x24 } as const;

/** An elementary stream of a program as its PMT declares it. */
export type ElementaryStream = {
  readonly pid: number;
  readonly streamType: number;
  /** ES_info: descriptors one after the other, each tag, length, body. */
  readonly descriptors: Uint8Array;
};

/** True when a track of this codec can be carried. */
export function isTsCodec(codec: string): codec is TsCodec {
  return (tsCodecs as readonly string[]).includes(codec);
}
