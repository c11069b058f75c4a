import { ascii, ByteReader, ByteWriter } from "../base/bytes.ts";
import { SluiceError } from "../base/errors.ts";
import type { Micros } from "../base/time.ts";
import type { AudioTrack, TrackId } from "../media/track.ts";

/** The identification header, RFC 7845 section 5.1. */
export type OpusHead = {
  readonly channels: number;
  /** Samples at 48 kHz that the decoder drops at the start. */
  readonly preSkip: number;
  /** Rate of the sound before it was encoded; says nothing about the packets. */
  readonly inputSampleRate: number;
  /** Gain in 1/256 dB. */
  readonly outputGain: number;
  readonly mappingFamily: number;
};

/** Reads an OpusHead. Throws "input.invalid". */
export function parseOpusHead(config: Uint8Array): OpusHead {
  const reader = new ByteReader(config, "OpusHead");
  const magic = reader.text(8);
  if (magic !== "OpusHead") throw new SluiceError("input.invalid", "OpusHead: the record does not start with the mark OpusHead");
  const version = reader.u8();
  if (version > 15) throw new SluiceError("input.invalid", `OpusHead: version is ${version}; 1 was expected`);
  const channels = reader.u8();
  if (channels === 0) throw new SluiceError("input.invalid", "OpusHead: no channels");
  const preSkip = reader.u16le();
  const inputSampleRate = reader.u32le();
  const outputGain = (reader.u16le() << 16) >> 16;
  const mappingFamily = reader.u8();
  if (mappingFamily === 0 && channels > 2)
    throw new SluiceError("input.invalid", `OpusHead: ${channels} channels in mapping family 0, which has 1 or 2`);
  if (mappingFamily > 0) reader.skip(2 + channels);
  return { channels, preSkip, inputSampleRate, outputGain, mappingFamily };
}

/** Makes an OpusHead of mapping family 0 (one or two channels). */
export function makeOpusHead(channels: number, preSkip = 312, inputSampleRate = 48_000): Uint8Array {
  return new ByteWriter(19).bytes(ascii("OpusHead")).u8(1).u8(channels).u16le(preSkip).u32le(inputSampleRate).u16le(0).u8(0).take();
}

/** The track of an OpusHead, which the track keeps. The rate is always 48 kHz: that is Opus's clock. Throws "input.invalid". */
export function opusTrack(id: TrackId, config: Uint8Array, language?: string): AudioTrack {
  const { channels } = parseOpusHead(config);
  const track: AudioTrack = { kind: "audio", id, codec: "opus", config, codecString: "opus", sampleRate: 48_000, channels };
  return language === undefined ? track : { ...track, language };
}

/** Microseconds of one frame by the configuration number of the table of contents byte, RFC 6716 table 2. */
const frameMicros: readonly Micros[] = [
  ...Array.from({ length: 3 }, () => [10_000, 20_000, 40_000, 60_000]).flat(),
  ...Array.from({ length: 2 }, () => [10_000, 20_000]).flat(),
  ...Array.from({ length: 4 }, () => [2500, 5000, 10_000, 20_000]).flat(),
];

/** Duration of a packet in microseconds, from its first bytes (RFC 6716 section 3.1); 0 for an empty packet. */
export function opusDuration(packet: Uint8Array): Micros {
  const toc = packet[0];
  if (toc === undefined) return 0;
  const code = toc & 3;
  const frames = code === 0 ? 1 : code < 3 ? 2 : (packet[1] ?? 0) & 0x3f;
  return Math.min(frames * frameMicros[toc >> 3]!, 120_000);
}
