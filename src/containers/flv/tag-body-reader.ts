import { ByteReader } from "../../base/bytes.ts";
import { SluiceError } from "../../base/errors.ts";
import { type AudioCodec, audioCodecs, type VideoCodec, videoCodecs } from "../../media/codec.ts";
import { readExtended } from "./extended-header.ts";
import { audioPacketType, fourCcs, legacyVideo, soundFormat, videoPacketType } from "./tag.ts";

/** What a tag body says about one track. `data` is a view of the body. Times in integer milliseconds and nanoseconds. */
export type BodyPart<C> = {
  readonly kind: "config" | "frame";
  readonly codec: C;
  readonly trackIndex: number;
  readonly keyframe: boolean;
  readonly compositionMs: number;
  readonly nanoseconds: number;
  readonly data: Uint8Array;
};

const frameType = { key: 1, generatedKey: 4, command: 5 } as const;

/**
 * Reads the body of a video tag or RTMP video message: legacy AVC, codec id 12 for HEVC, Enhanced RTMP v1 and v2.
 * Commands, metadata, ends of sequence and what the standard reserves give nothing. Throws "input.invalid", "input.unsupported".
 */
export function readVideoBody(body: Uint8Array): BodyPart<VideoCodec>[] {
  if (body.length === 0) return [];
  const reader = new ByteReader(body, "FLV video tag");
  const first = reader.u8();
  if (first & 0x80) return readExtendedVideo(reader, first);
  const type = first >> 4;
  if (type === frameType.command) return [];
  const codec = legacyVideoCodec(first & 15);
  const packetType = reader.u8();
  const compositionMs = reader.i24();
  const data = reader.rest();
  const keyframe = type === frameType.key || type === frameType.generatedKey;
  const part = { codec, trackIndex: 0, keyframe, compositionMs, nanoseconds: 0, data };
  if (packetType === 0) return [{ ...part, kind: "config" }];
  return packetType === 1 ? [{ ...part, kind: "frame" }] : [];
}

function legacyVideoCodec(id: number): VideoCodec {
  if (id === legacyVideo.h264) return "h264";
  if (id === legacyVideo.hevc) return "hevc";
  throw new SluiceError(
    "input.unsupported",
    `FLV video tag: codec id ${id}; 7 (H.264), 12 (H.265) or an Enhanced RTMP FourCC was expected`,
  );
}

function readExtendedVideo(reader: ByteReader, first: number): BodyPart<VideoCodec>[] {
  const type = (first >> 4) & 7;
  const firstPacketType = first & 15;
  if (firstPacketType === videoPacketType.metadata) return [];
  if (type === frameType.command && firstPacketType !== videoPacketType.modEx) return [];
  const { packetType, nanoseconds, parts } = readExtended(reader, firstPacketType, videoPacketType);
  const coded = packetType === videoPacketType.codedFrames || packetType === videoPacketType.codedFramesX;
  if (type === frameType.command || (!coded && packetType !== videoPacketType.sequenceStart)) return [];
  const keyframe = type === frameType.key || type === frameType.generatedKey;
  return parts.map(({ fourCc, trackIndex, data }) => {
    const codec = codecOf(fourCc, videoCodecs, "video");
    const part = { codec, trackIndex, keyframe, nanoseconds };
    if (!coded) return { ...part, kind: "config", compositionMs: 0, data };
    if (packetType === videoPacketType.codedFramesX || (codec !== "h264" && codec !== "hevc"))
      return { ...part, kind: "frame", compositionMs: 0, data };
    const frame = new ByteReader(data, "FLV video tag: CodedFrames");
    return { ...part, kind: "frame", compositionMs: frame.i24(), data: frame.rest() };
  });
}

/** Reads the body of an audio tag or RTMP audio message: AAC, MP3, Enhanced RTMP v1 and v2. As `readVideoBody`. */
export function readAudioBody(body: Uint8Array): BodyPart<AudioCodec>[] {
  if (body.length === 0) return [];
  const reader = new ByteReader(body, "FLV audio tag");
  const first = reader.u8();
  const format = first >> 4;
  const part = { trackIndex: 0, keyframe: true, compositionMs: 0, nanoseconds: 0 };
  if (format === soundFormat.extended) return readExtendedAudio(reader, first & 15);
  if (format === soundFormat.mp3 || format === soundFormat.mp38k) return [{ ...part, kind: "frame", codec: "mp3", data: reader.rest() }];
  if (format !== soundFormat.aac)
    throw new SluiceError(
      "input.unsupported",
      `FLV audio tag: sound format ${format}; 10 (AAC), 2 or 14 (MP3) or an Enhanced RTMP FourCC was expected`,
    );
  if (reader.remaining === 0) return [];
  const kind = reader.u8() === 0 ? "config" : "frame";
  return [{ ...part, kind, codec: "aac", data: reader.rest() }];
}

function readExtendedAudio(reader: ByteReader, firstPacketType: number): BodyPart<AudioCodec>[] {
  const { packetType, nanoseconds, parts } = readExtended(reader, firstPacketType, audioPacketType);
  if (packetType !== audioPacketType.sequenceStart && packetType !== audioPacketType.codedFrames) return [];
  const kind = packetType === audioPacketType.sequenceStart ? "config" : "frame";
  return parts.map(({ fourCc, trackIndex, data }) => {
    const codec = codecOf(fourCc, audioCodecs, "audio");
    return { kind, codec, trackIndex, keyframe: true, compositionMs: 0, nanoseconds, data };
  });
}

function codecOf<C extends VideoCodec | AudioCodec>(fourCc: string, codecs: readonly C[], what: string): C {
  const codec = codecs.find((name) => fourCcs[name] === fourCc);
  if (codec) return codec;
  const known = codecs.map((name) => fourCcs[name]).join(", ");
  throw new SluiceError("input.unsupported", `FLV ${what} tag: FourCC ${JSON.stringify(fourCc)}; one of ${known} was expected`);
}
