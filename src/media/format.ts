import type { Micros } from "../base/time.ts";
import type { CodecName } from "./codec.ts";
import type { Packet } from "./packet.ts";
import type { Track } from "./track.ts";

/** What viewers of one format get in one write: the muxed bytes of the packets of one flush interval. */
export type Chunk = {
  readonly bytes: Uint8Array;
  /** True when a viewer can start with this chunk (after the header). */
  readonly keyframe: boolean;
  /** Decode time of the first packet. */
  readonly dts: Micros;
};

/** A way to turn packets into bytes that is shared by all viewers of the same format. `name` is the key of the sharing. */
export type Format = {
  readonly name: string;
  /** Codecs that the container can carry; tracks with others are left out by the muxer. */
  readonly codecs: readonly CodecName[];
  createMuxer(tracks: readonly Track[]): Muxer;
};

/** Pieces that a muxer returns are concatenated by the caller; packet data may be among them without a copy. */
export interface Muxer {
  /** All that a new viewer needs before its first keyframe: file header, codec headers. */
  readonly header: Uint8Array;
  /** The bytes of one packet; empty for a packet of a track that the format leaves out. */
  add(packet: Packet): readonly Uint8Array[];
  /** The tracks have changed: gives what those who already watch need to go on, where the next packet is at `dts`; `header` fits the new tracks from then on. */
  retrack(tracks: readonly Track[], dts?: Micros): readonly Uint8Array[];
  /** The bytes that end the stream in an orderly way (may be empty). */
  end(): readonly Uint8Array[];
}

/** What a demuxer gives: packets in canonical form, and the whole list of tracks whenever it has changed. */
export type DemuxerOutput = Packet | { readonly tracks: readonly Track[] };

/** Bytes of a container in, packets out. Times are raw container times in microseconds, already unwrapped. */
export interface Demuxer {
  /** Takes bytes that the caller may reuse afterwards: what the demuxer gives is copied. Throws `SluiceError` "input.*". */
  feed(bytes: Uint8Array): Iterable<DemuxerOutput>;
  /** Gives what was held back; call once at the end of the input. */
  flush(): Iterable<DemuxerOutput>;
}

/** Tells the two kinds of demuxer output apart. */
export function isTrackList(output: DemuxerOutput): output is { readonly tracks: readonly Track[] } {
  return "tracks" in output;
}
