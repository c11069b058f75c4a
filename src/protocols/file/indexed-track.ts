import { EncodedPacketSink, type InputAudioTrack, type InputTrack, type InputVideoTrack } from "mediabunny";
import type { Micros } from "../../base/time.ts";
import { aacTrack } from "../../codecs/aac.ts";
import { ac3Track } from "../../codecs/ac3.ts";
import { av1Track, av1TrackWithKeyframe, canonicalAv1, isAv1Keyframe } from "../../codecs/av1.ts";
import { canonicalFlacConfig, flacTrack } from "../../codecs/flac.ts";
import { canonicalH264, canonicalH264Config, h264Track, isH264Keyframe, parseH264Config } from "../../codecs/h264.ts";
import { canonicalHevc, canonicalHevcConfig, hevcTrack, isHevcKeyframe, parseHevcConfig } from "../../codecs/hevc.ts";
import { mp3Track } from "../../codecs/mp3.ts";
import { makeOpusHead, opusTrack } from "../../codecs/opus.ts";
import { parseVp8Keyframe, vp8Track } from "../../codecs/vp8.ts";
import { canonicalVp9Config, makeVp9Config, parseVp9Keyframe, vp9Track } from "../../codecs/vp9.ts";
import type { Track, TrackId, VideoTrack } from "../../media/track.ts";

/** A track of a file: ours, and how to get at its packets in our byte form. */
export type IndexedTrack = {
  readonly track: Track;
  readonly sink: EncodedPacketSink;
  /** The canonical form of a packet's bytes. */
  readonly canonical: (data: Uint8Array) => Uint8Array;
  /** Whether a decoder can start, which containers sometimes tell wrongly. */
  readonly isKeyframe: (data: Uint8Array, marked: boolean) => boolean;
};

const same = (data: Uint8Array): Uint8Array => data;
const asMarked = (_data: Uint8Array, marked: boolean): boolean => marked;

/** Makes our track of the library's; undefined for a codec that Sluice does not have, and for a track without packets. */
export async function indexedTrack(input: InputTrack, id: TrackId): Promise<IndexedTrack | undefined> {
  const sink = new EncodedPacketSink(input);
  const first = await sink.getFirstPacket();
  if (!first) return undefined;
  if (input.isVideoTrack()) return videoTrack(input, id, sink, first.data);
  if (input.isAudioTrack()) return audioTrack(input, id, sink, first.data);
  return undefined;
}

async function videoTrack(
  input: InputVideoTrack,
  id: TrackId,
  sink: EncodedPacketSink,
  first: Uint8Array,
): Promise<IndexedTrack | undefined> {
  const record = bytesOf((await input.getDecoderConfig())?.description);
  const size = { width: await input.getCodedWidth(), height: await input.getCodedHeight() };
  const rate = await input.computePacketStats(100);
  const frameRate = rate.averagePacketRate > 0 ? Math.round(rate.averagePacketRate * 100) / 100 : undefined;
  const made = (track: VideoTrack): VideoTrack => ({
    ...track,
    width: track.width || size.width,
    height: track.height || size.height,
    ...(track.frameRate === undefined && frameRate !== undefined ? { frameRate } : {}),
  });
  switch (await input.getCodec()) {
    case "avc": {
      if (!record) return undefined;
      const { lengthSize } = parseH264Config(record);
      const track = made(h264Track(id, canonicalH264Config(record)));
      return {
        track,
        sink,
        canonical: (data) => canonicalH264(data, lengthSize),
        isKeyframe: (data, marked) => marked || isH264Keyframe(data),
      };
    }
    case "hevc": {
      if (!record) return undefined;
      const { lengthSize } = parseHevcConfig(record);
      const track = made(hevcTrack(id, canonicalHevcConfig(record)));
      return {
        track,
        sink,
        canonical: (data) => canonicalHevc(data, lengthSize),
        isKeyframe: (data, marked) => marked || isHevcKeyframe(data),
      };
    }
    case "av1": {
      const track = av1TrackWithKeyframe(id, first) ?? (record && av1Track(id, record));
      return track && { track: made(track), sink, canonical: canonicalAv1, isKeyframe: (data, marked) => marked || isAv1Keyframe(data) };
    }
    case "vp9": {
      const frame = parseVp9Keyframe(first);
      const config = record ? canonicalVp9Config(record) : frame && makeVp9Config(frame);
      return config && { track: made(vp9Track(id, config, frame ?? size)), sink, canonical: same, isKeyframe: asMarked };
    }
    case "vp8":
      return { track: made(vp8Track(id, parseVp8Keyframe(first))), sink, canonical: same, isKeyframe: asMarked };
    default:
      return undefined;
  }
}

async function audioTrack(
  input: InputAudioTrack,
  id: TrackId,
  sink: EncodedPacketSink,
  first: Uint8Array,
): Promise<IndexedTrack | undefined> {
  const record = bytesOf((await input.getDecoderConfig())?.description);
  const code = await input.getLanguageCode();
  const language = code && code !== "und" ? code : undefined;
  const made = (track: Track): IndexedTrack => ({ track, sink, canonical: same, isKeyframe: () => true });
  switch (await input.getCodec()) {
    case "aac":
      return record && made(aacTrack(id, record, language));
    case "mp3":
      return made(mp3Track(id, first));
    case "opus":
      return made(opusTrack(id, record ?? makeOpusHead(await input.getNumberOfChannels()), language));
    case "ac3":
      return made(ac3Track(id, first));
    case "flac":
      return record && made(flacTrack(id, canonicalFlacConfig(record)));
    default:
      return undefined;
  }
}

/** A copy: the library may hand out a view into its cache. */
function bytesOf(description: AudioDecoderConfig["description"]): Uint8Array | undefined {
  if (!description) return undefined;
  if (ArrayBuffer.isView(description)) return new Uint8Array(description.buffer, description.byteOffset, description.byteLength).slice();
  return new Uint8Array(description).slice();
}

/** The library counts seconds. */
export function microsOfSeconds(seconds: number): Micros {
  return Math.round(seconds * 1e6);
}
