import { ascii, concat } from "../../base/bytes.ts";
import { isSluiceError } from "../../base/errors.ts";
import type { Micros } from "../../base/time.ts";
import { adtsHeader, parseAacConfig } from "../../codecs/aac.ts";
import { h264AnnexBHeader, h264ToAnnexB } from "../../codecs/h264.ts";
import { hevcAnnexBHeader, hevcToAnnexB } from "../../codecs/hevc.ts";
import { parseMp3Header } from "../../codecs/mp3.ts";
import { opusDuration } from "../../codecs/opus.ts";
import type { Packet } from "../../media/packet.ts";
import type { AudioTrack, Track } from "../../media/track.ts";
import { type ElementaryStream, isTsCodec, streamType } from "./elementary-codec.ts";
import { streamId } from "./pes.ts";

/** Turns a track's canonical packets into the form that they have in MPEG-TS. */
export type ElementaryWriter = {
  readonly streamType: number;
  readonly descriptors: Uint8Array;
  readonly streamId: number;
  /** The bytes of a packet in pieces, packet data among them without a copy; none for a packet that cannot be carried. */
  pieces(packet: Packet): readonly Uint8Array[];
  /** How long an audio packet lasts; 0 for video. */
  duration(packet: Packet): Micros;
};

/** Largest audio packet: PES_packet_length has 16 bits, and only video may leave it open. */
const maxAudio = 65_000;

/** The writer for a track, or undefined for one that MPEG-TS as we write it cannot carry. */
export function elementaryWriter(track: Track): ElementaryWriter | undefined {
  if (track.kind === "data" || !isTsCodec(track.codec)) return undefined;
  try {
    return track.kind === "video" ? videoWriter(track.codec === "h264", track.config) : audioWriter(track);
  } catch (error) {
    // A configuration that its codec does not understand leaves this track out and hurts no other one.
    if (isSluiceError(error)) return undefined;
    throw error;
  }
}

/** The PMT entry of a writer. */
export function elementaryStream(writer: ElementaryWriter, pid: number): ElementaryStream {
  return { pid, streamType: writer.streamType, descriptors: writer.descriptors };
}

function videoWriter(h264: boolean, config: Uint8Array): ElementaryWriter {
  const header = h264 ? h264AnnexBHeader(config) : hevcAnnexBHeader(config);
  const toAnnexB = h264 ? h264ToAnnexB : hevcToAnnexB;
  return {
    streamType: h264 ? streamType.h264 : streamType.hevc,
    descriptors: h264 ? new Uint8Array(0) : registration("HEVC"),
    streamId: streamId.video,
    pieces: (packet) => toAnnexB(packet.data, packet.keyframe, header),
    duration: () => 0,
  };
}

function audioWriter(track: AudioTrack): ElementaryWriter {
  const language =
    track.language?.length === 3 ? concat([Uint8Array.of(0x0a, 4), ascii(track.language), Uint8Array.of(0)]) : new Uint8Array(0);
  if (track.codec === "aac") {
    const config = parseAacConfig(track.config);
    // Throws for what ADTS cannot say, before the track is declared.
    adtsHeader(config, 0);
    const duration = (config.samplesPerPacket * 1e6) / config.sampleRate;
    return {
      streamType: streamType.adts,
      descriptors: language,
      streamId: streamId.audio,
      pieces: ({ data }) => (data.length > 0x1fff - 7 ? [] : [adtsHeader(config, data.length), data]),
      duration: () => duration,
    };
  }
  if (track.codec === "mp3") {
    return {
      streamType: track.sampleRate < 32_000 ? streamType.mpeg2Audio : streamType.mpeg1Audio,
      descriptors: language,
      streamId: streamId.audio,
      pieces: ({ data }) => (data.length > maxAudio ? [] : [data]),
      duration: ({ data }) => {
        const header = parseMp3Header(data);
        return header ? (header.samples * 1e6) / header.sampleRate : 0;
      },
    };
  }
  return {
    streamType: streamType.private,
    // The extension descriptor (0x7f) with tag 0x80 says how the channels are coded.
    descriptors: concat([registration("Opus"), Uint8Array.of(0x7f, 2, 0x80, track.channels), language]),
    streamId: streamId.private,
    pieces: ({ data }) => (data.length > maxAudio ? [] : [opusControlHeader(data.length), data]),
    duration: ({ data }) => opusDuration(data),
  };
}

/** opus_control_header without trims ("Opus in MPEG-TS", ETSI TS 103 491 annex and xiph's draft): prefix 0x3ff, then the size in runs of 255. */
function opusControlHeader(size: number): Uint8Array {
  const header = new Uint8Array(3 + Math.floor(size / 255)).fill(0xff);
  header[0] = 0x7f;
  header[1] = 0xe0;
  header[header.length - 1] = size % 255;
  return header;
}

/** registration_descriptor (ISO/IEC 13818-1 2.6.8). */
function registration(format: string): Uint8Array {
  return concat([Uint8Array.of(0x05, 4), ascii(format)]);
}
