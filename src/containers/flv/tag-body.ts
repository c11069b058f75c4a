import { ascii, concat } from "../../base/bytes.ts";
import type { CodecName } from "../../media/codec.ts";
import type { Packet } from "../../media/packet.ts";
import type { AudioTrack, Track, VideoTrack } from "../../media/track.ts";
import { audioPacketType, fourCcs, legacyVideo, soundFormat, videoPacketType } from "./tag.ts";

const keyFrame = 1;
const interFrame = 2;
const extended = 0x80;
/** 44 kHz, 16 bits, stereo: what AAC always says, whatever it is (FLV 10.1 annex E.4.2.1). */
const aacFlags = (soundFormat.aac << 4) | 0x0f;

/** Version and flags of the vpcC box: FFmpeg writes them before the record, and most readers expect it so. */
const vpcBoxHeader = Uint8Array.of(1, 0, 0, 0);

/** Milliseconds of a packet's tag, rounded. */
export function tagTime(packet: Packet): number {
  return Math.round(packet.dts / 1000);
}

/** The body of a video tag or RTMP message as pieces; the packet's data is among them, not copied. H.264 in legacy form. */
export function videoTagBody(track: VideoTrack, packet: Packet): Uint8Array[] {
  const frame = packet.keyframe ? keyFrame : interFrame;
  const composition = Math.round(packet.pts / 1000) - tagTime(packet);
  if (track.codec === "h264")
    return [Uint8Array.of((frame << 4) | legacyVideo.h264, 1, composition >> 16, composition >> 8, composition), packet.data];
  if (track.codec === "hevc" && composition !== 0) {
    const first = extended | (frame << 4) | videoPacketType.codedFrames;
    return [Uint8Array.of(first, ...ascii(fourCcs.hevc), composition >> 16, composition >> 8, composition), packet.data];
  }
  const packetType = track.codec === "hevc" ? videoPacketType.codedFramesX : videoPacketType.codedFrames;
  return [extendedHead(extended | (frame << 4) | packetType, track.codec), packet.data];
}

/** The body of an audio tag or RTMP message as pieces; the packet's data is among them, not copied. AAC and MP3 in legacy form. */
export function audioTagBody(track: AudioTrack, packet: Packet): Uint8Array[] {
  if (track.codec === "aac") return [Uint8Array.of(aacFlags, 1), packet.data];
  if (track.codec === "mp3") return [Uint8Array.of(mp3Flags(track)), packet.data];
  return [extendedHead((soundFormat.extended << 4) | audioPacketType.codedFrames, track.codec), packet.data];
}

/** The body of the tag that has a track's decoder configuration; undefined for codecs that have none and for data tracks. */
export function configTagBody(track: Track): Uint8Array | undefined {
  const videoStart = extended | (keyFrame << 4) | videoPacketType.sequenceStart;
  const audioStart = (soundFormat.extended << 4) | audioPacketType.sequenceStart;
  switch (track.codec) {
    case "h264":
      return concat([Uint8Array.of((keyFrame << 4) | legacyVideo.h264, 0, 0, 0, 0), track.config]);
    case "vp9":
      return concat([extendedHead(videoStart, track.codec), vpcBoxHeader, track.config]);
    case "hevc":
    case "av1":
      return concat([extendedHead(videoStart, track.codec), track.config]);
    case "vp8":
      return concat([extendedHead(videoStart, track.codec), vpcBoxHeader, Uint8Array.of(0, 10, 0x82, 2, 2, 2, 0, 0)]);
    case "aac":
      return concat([Uint8Array.of(aacFlags, 0), track.config]);
    case "opus":
      return concat([extendedHead(audioStart, track.codec), track.config]);
    case "flac":
      return concat([extendedHead(audioStart, track.codec), ascii("fLaC"), Uint8Array.of(0x80, 0, 0, track.config.length), track.config]);
    case "mp3":
    case "ac3":
    case "json":
      return undefined;
  }
}

/** NAL units "end of sequence" with their length before them: H.264 type 10, H.265 type 36 (ITU-T H.264 and H.265 clause 7.3.1). */
const sequenceEnds: Partial<Readonly<Record<CodecName, Uint8Array>>> = {
  h264: Uint8Array.of(0, 0, 0, 1, 0x0a),
  hevc: Uint8Array.of(0, 0, 0, 2, 0x48, 0x01),
};

/**
 * The video tags to send before pictures of another configuration, for times between the last picture, at `lastMs`, and the next, at
 * `dts`; none when none are needed. mpegts.js holds back the last sample of those that come together, and a sample that comes alone,
 * and appends it behind the new configuration: a keyframe there ends the player. So two follow the last picture that are none.
 */
export function sequenceEndTags(
  before: VideoTrack | undefined,
  after: VideoTrack | undefined,
  lastMs: number | undefined,
  dts = 0,
): readonly { readonly time: number; readonly body: Uint8Array[] }[] {
  const data = before && sequenceEnds[before.codec];
  if (!data || !after || lastMs === undefined || sameConfig(before, after)) return [];
  const first = Math.max(lastMs + 1, Math.min(Math.round(dts / 1000) - 2, lastMs + 18));
  return [first, first + 1].map((time) => ({
    time,
    body: videoTagBody(before, { trackId: before.id, dts: time * 1000, pts: time * 1000, keyframe: false, data }),
  }));
}

function sameConfig(a: VideoTrack, b: VideoTrack): boolean {
  return a.codec === b.codec && a.config.length === b.config.length && a.config.every((byte, at) => byte === b.config[at]);
}

/** The body of the tag that says that no more video follows (end of sequence). */
export function endTagBody(track: VideoTrack): Uint8Array {
  if (track.codec === "h264") return Uint8Array.of((keyFrame << 4) | legacyVideo.h264, 2, 0, 0, 0);
  return extendedHead(extended | (keyFrame << 4) | videoPacketType.sequenceEnd, track.codec);
}

function extendedHead(first: number, codec: CodecName): Uint8Array {
  return Uint8Array.of(first, ...ascii(fourCcs[codec]));
}

/** Decoders read the rate from the frame; 44 kHz stands for all that the two bits cannot say, as FFmpeg does for 48 kHz. */
function mp3Flags({ sampleRate, channels }: AudioTrack): number {
  const stereo = channels > 1 ? 1 : 0;
  if (sampleRate === 8000) return (soundFormat.mp38k << 4) | 2 | stereo;
  const rate = sampleRate === 11_025 ? 1 : sampleRate === 22_050 ? 2 : 3;
  return (soundFormat.mp3 << 4) | (rate << 2) | 2 | stereo;
}
