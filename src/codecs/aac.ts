import { BitReader, BitWriter } from "../base/bits.ts";
import { SluiceError } from "../base/errors.ts";
import type { AudioTrack, TrackId } from "../media/track.ts";

/** samplingFrequencyIndex, ISO/IEC 14496-3 table 1.18. */
const rates: readonly number[] = [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350];
/** Channels of channelConfiguration, table 1.19 (0: written in the program config element). */
const channelCounts: readonly number[] = [0, 1, 2, 3, 4, 5, 6, 8, 0, 0, 0, 7, 8, 24, 8];
const sbr = 5;
const ps = 29;

/** AudioSpecificConfig, ISO/IEC 14496-3 clause 1.6.2.1. */
export type AacConfig = {
  /** Audio object type as it is signalled first: 2 AAC-LC, 5 HE-AAC, 29 HE-AAC v2. */
  readonly objectType: number;
  /** Object type of the core coder: 2 for all of the above. */
  readonly coreObjectType: number;
  /** Samples per second of the core coder. */
  readonly coreSampleRate: number;
  /** channelConfiguration as written; 0 means a program config element. */
  readonly channelConfiguration: number;
  /** Samples per second of the decoded sound: twice the core's with SBR. */
  readonly sampleRate: number;
  /** Channels of the decoded sound: 2 with parametric stereo. */
  readonly channels: number;
  /** Samples of the decoded sound in each packet, at `sampleRate`. */
  readonly samplesPerPacket: number;
};

/** Reads an AudioSpecificConfig, with SBR and PS in both ways of signalling. Throws "input.invalid" or "input.unsupported". */
export function parseAacConfig(config: Uint8Array): AacConfig {
  const bits = new BitReader(config, "AudioSpecificConfig");
  const objectType = readObjectType(bits);
  const coreSampleRate = readRate(bits);
  const channelConfiguration = bits.u(4);
  let coreObjectType = objectType;
  let sampleRate = coreSampleRate;
  let stereo = objectType === ps;
  if (objectType === sbr || objectType === ps) {
    sampleRate = readRate(bits);
    coreObjectType = readObjectType(bits);
  }
  if (coreObjectType === 0 || (coreObjectType > 4 && coreObjectType !== 23 && coreObjectType !== 39 && coreObjectType !== 42))
    throw new SluiceError("input.unsupported", `AudioSpecificConfig: audio object type ${coreObjectType}; AAC was expected`);
  let shortFrames = false;
  let channels = channelCounts[channelConfiguration] ?? 0;
  if (coreObjectType <= 4 && bits.remaining > 0) {
    shortFrames = bits.flag();
    if (bits.flag()) bits.skip(14);
    bits.skip(1);
    if (channelConfiguration === 0) channels = countElementChannels(bits);
    const extension = backwardCompatibleExtension(bits, sampleRate);
    sampleRate = extension.sampleRate;
    stereo ||= extension.stereo;
  }
  if (stereo) channels = 2;
  if (channels === 0)
    throw new SluiceError("input.invalid", `AudioSpecificConfig: channel configuration ${channelConfiguration} without channels`);
  const samplesPerPacket = ((shortFrames ? 960 : 1024) * sampleRate) / coreSampleRate;
  return { objectType, coreObjectType, coreSampleRate, channelConfiguration, sampleRate, channels, samplesPerPacket };
}

function readObjectType(bits: BitReader): number {
  const type = bits.u(5);
  return type === 31 ? 32 + bits.u(6) : type;
}

function readRate(bits: BitReader): number {
  const index = bits.u(4);
  const rate = index === 15 ? bits.u(24) : rates[index];
  if (!rate || rate > 192_000) throw new SluiceError("input.invalid", `AudioSpecificConfig: sampling frequency index ${index} has no rate`);
  return rate;
}

/** program_config_element, clause 4.4.1.1, as far as it counts channels. */
function countElementChannels(bits: BitReader): number {
  bits.skip(4 + 2 + 4);
  const front = bits.u(4);
  const side = bits.u(4);
  const back = bits.u(4);
  const lfe = bits.u(2);
  bits.skip(3 + 4);
  for (const size of [4, 4, 3]) if (bits.flag()) bits.skip(size);
  let channels = lfe;
  for (let i = 0; i < front + side + back; i++) {
    channels += bits.flag() ? 2 : 1;
    bits.skip(4);
  }
  return channels;
}

/** syncExtensionType 0x2b7 and 0x548 at the end of the record, clause 1.6.5. */
function backwardCompatibleExtension(bits: BitReader, sampleRate: number): { sampleRate: number; stereo: boolean } {
  const none = { sampleRate, stereo: false };
  if (bits.remaining < 16 || bits.u(11) !== 0x2b7 || readObjectType(bits) !== sbr) return none;
  if (bits.remaining < 1 || !bits.flag() || bits.remaining < 4) return none;
  const extended = readRate(bits);
  const stereo = bits.remaining >= 12 && bits.u(11) === 0x548 && bits.flag();
  return { sampleRate: extended, stereo };
}

/** The track of an AudioSpecificConfig, which the track keeps. Throws as `parseAacConfig`. */
export function aacTrack(id: TrackId, config: Uint8Array, language?: string): AudioTrack {
  const { objectType, sampleRate, channels } = parseAacConfig(config);
  const track: AudioTrack = { kind: "audio", id, codec: "aac", config, codecString: `mp4a.40.${objectType}`, sampleRate, channels };
  return language === undefined ? track : { ...track, language };
}

/** Makes a two-byte (or longer, for an odd rate) AudioSpecificConfig without SBR. */
export function makeAacConfig(objectType: number, sampleRate: number, channelConfiguration: number): Uint8Array {
  const index = rates.indexOf(sampleRate);
  const bits = new BitWriter().u(5, objectType).u(4, index < 0 ? 15 : index);
  if (index < 0) bits.u(24, sampleRate);
  return bits.u(4, channelConfiguration).u(3, 0).take();
}

/** A frame of an ADTS stream (ISO/IEC 13818-7 clause 6.2). */
export type AdtsHeader = {
  /** AudioSpecificConfig of the same sound. */
  readonly config: Uint8Array;
  readonly sampleRate: number;
  /** Bytes of header and check sum. */
  readonly headerLength: number;
  /** Bytes of the whole frame, header included. */
  readonly frameLength: number;
  /** 1024 for each raw data block. */
  readonly samples: number;
};

/** Reads the ADTS header at the start of `bytes`; undefined when there is none (no sync word, or fewer than 7 bytes). */
export function parseAdtsHeader(bytes: Uint8Array): AdtsHeader | undefined {
  if (bytes.length < 7 || bytes[0] !== 0xff || (bytes[1]! & 0xf6) !== 0xf0) return undefined;
  const bits = new BitReader(bytes.subarray(0, 7), "ADTS header");
  bits.skip(15);
  const headerLength = bits.flag() ? 7 : 9;
  const profile = bits.u(2);
  const sampleRate = rates[bits.u(4)];
  bits.skip(1);
  const channelConfiguration = bits.u(3);
  bits.skip(4);
  const frameLength = bits.u(13);
  bits.skip(11);
  const blocks = bits.u(2) + 1;
  if (sampleRate === undefined || frameLength < headerLength) return undefined;
  return {
    config: makeAacConfig(profile + 1, sampleRate, channelConfiguration),
    sampleRate,
    headerLength,
    frameLength,
    samples: 1024 * blocks,
  };
}

/**
 * The 7 bytes of ADTS header for a raw access unit of `length` bytes. ADTS knows the core coder only.
 * Throws "input.unsupported" for what ADTS cannot carry.
 */
export function adtsHeader(config: AacConfig, length: number): Uint8Array {
  const index = rates.indexOf(config.coreSampleRate);
  const frameLength = length + 7;
  if (index < 0 || config.coreObjectType > 4 || frameLength > 0x1fff)
    throw new SluiceError(
      "input.unsupported",
      `ADTS: cannot carry object type ${config.coreObjectType} at ${config.coreSampleRate} Hz with ${length} bytes in a packet`,
    );
  const channels = config.channelConfiguration & 7;
  return Uint8Array.of(
    0xff,
    0xf1,
    ((config.coreObjectType - 1) << 6) | (index << 2) | (channels >> 2),
    ((channels & 3) << 6) | (frameLength >> 11),
    (frameLength >> 3) & 0xff,
    ((frameLength & 7) << 5) | 0x1f,
    0xfc,
  );
}
