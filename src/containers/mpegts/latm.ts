import { BitReader, BitWriter } from "../../base/bits.ts";
import { isSluiceError, SluiceError } from "../../base/errors.ts";
import { parseAacConfig } from "../../codecs/aac.ts";
import type { FrameAt } from "./audio-frames.ts";

/** What a StreamMuxConfig says, as far as one program with one layer goes. */
type MuxConfig = {
  /** AudioSpecificConfig, from a byte border. */
  readonly config: Uint8Array;
  /** Microseconds of one access unit. */
  readonly duration: number;
};

/**
 * Reads AAC in LOAS/LATM (ISO/IEC 14496-3 1.7), the form of DVB: AudioSyncStream, one program, one layer, one access
 * unit in each element. The function it gives remembers the configuration, which need not stand in every element.
 */
export function latmFrames(): (bytes: Uint8Array) => FrameAt {
  let known: MuxConfig | undefined;
  return (bytes) => {
    if (bytes.length < 3) return bytes.length === 0 || bytes[0] === 0x56 ? "more" : "none";
    // syncword 0x2b7, audioMuxLengthBytes of 13 bits.
    if (bytes[0] !== 0x56 || (bytes[1]! & 0xe0) !== 0xe0) return "none";
    const end = 3 + (((bytes[1]! & 0x1f) << 8) | bytes[2]!);
    if (bytes.length < end) return "more";
    try {
      const bits = new BitReader(bytes.subarray(3, end), "LATM");
      if (!bits.flag()) known = readMuxConfig(bits);
      if (!known) return "none";
      const data = readPayload(bits);
      return { begin: 3, end, duration: known.duration, config: known.config, data };
    } catch (error) {
      if (isSluiceError(error)) return "none";
      throw error;
    }
  };
}

function readMuxConfig(bits: BitReader): MuxConfig {
  const version = bits.u(1);
  if (version === 1 && bits.flag()) throw unsupported("audioMuxVersionA 1");
  if (version === 1) readValue(bits);
  bits.skip(1);
  if (bits.u(6) !== 0 || bits.u(4) !== 0 || bits.u(3) !== 0) throw unsupported("several sub-frames, programs or layers");
  const config = version === 1 ? readSized(bits) : readUnsized(bits);
  if (bits.u(3) !== 0) throw unsupported("frames of constant length");
  bits.skip(8);
  if (bits.flag()) {
    if (version === 1) readValue(bits);
    else for (let more = true; more; bits.skip(8)) more = bits.flag();
  }
  if (bits.flag()) bits.skip(8);
  const { samplesPerPacket, sampleRate } = parseAacConfig(config);
  return { config, duration: (samplesPerPacket * 1e6) / sampleRate };
}

/** An AudioSpecificConfig whose length is written before it, in bits. */
function readSized(bits: BitReader): Uint8Array {
  const length = readValue(bits);
  if (length > 8 * 64) throw unsupported(`an AudioSpecificConfig of ${length} bits`);
  return copyBits(bits, length);
}

/** One without: its fields have to be read to find its end (1.6.2.1, GASpecificConfig 4.4.1). */
function readUnsized(bits: BitReader): Uint8Array {
  const out = new BitWriter();
  const copy = (count: number): number => {
    const value = bits.u(count);
    out.u(count, value);
    return value;
  };
  let type = copy(5);
  if (copy(4) === 15) copy(24);
  if (copy(4) === 0) throw unsupported("a program config element");
  if (type === 5 || type === 29) {
    if (copy(4) === 15) copy(24);
    type = copy(5);
  }
  if (type < 1 || type > 4) throw unsupported(`audio object type ${type}`);
  copy(1);
  if (copy(1) === 1) copy(14);
  if (copy(1) === 1) throw unsupported("an extended GASpecificConfig");
  return out.take();
}

/** PayloadLengthInfo and PayloadMux: the access unit, which need not begin at a byte border. */
function readPayload(bits: BitReader): Uint8Array {
  let length = 0;
  let part: number;
  do {
    part = bits.u(8);
    length += part;
  } while (part === 255);
  if (length * 8 > bits.remaining) throw new SluiceError("input.invalid", `LATM: a payload of ${length} bytes is longer than its element`);
  const data = new Uint8Array(length);
  for (let at = 0; at < length; at++) data[at] = bits.u(8);
  return data;
}

/** LatmGetValue: one to four bytes, their number before them. */
function readValue(bits: BitReader): number {
  return bits.u(8 * (bits.u(2) + 1));
}

function copyBits(bits: BitReader, count: number): Uint8Array {
  const out = new BitWriter();
  for (let left = count; left > 0; left -= 8) {
    const size = Math.min(8, left);
    out.u(size, bits.u(size));
  }
  return out.take();
}

function unsupported(what: string): SluiceError {
  return new SluiceError("input.unsupported", `LATM: ${what}; one program, one layer and one AAC access unit was expected`);
}
