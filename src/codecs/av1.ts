import { BitReader } from "../base/bits.ts";
import { ByteWriter, concat } from "../base/bytes.ts";
import { SluiceError } from "../base/errors.ts";
import type { TrackId, VideoTrack } from "../media/track.ts";
import { type Av1Sequence, parseAv1Sequence } from "./av1-sequence.ts";

/** obu_type, AV1 specification section 6.2.2. */
const obuType = { sequenceHeader: 1, temporalDelimiter: 2, frameHeader: 3, frame: 6, tileList: 8, padding: 15 } as const;

/** One open bitstream unit; `bytes` is all of it, `payload` what is behind header and size. Both are views. */
export type Obu = { readonly type: number; readonly bytes: Uint8Array; readonly payload: Uint8Array; readonly hasSize: boolean };

/** The OBUs of a temporal unit in low-overhead form; the last may lack its size. Throws "input.invalid". */
export function obus(data: Uint8Array): Obu[] {
  const found: Obu[] = [];
  let at = 0;
  while (at < data.length) {
    const header = data[at]!;
    if (header & 0x80) throw new SluiceError("input.invalid", `AV1: at byte ${at} of ${data.length}: no OBU header (forbidden bit is set)`);
    const hasSize = (header & 2) !== 0;
    let begin = at + (header & 4 ? 2 : 1);
    let size = data.length - begin;
    if (hasSize) {
      const field = leb128(data, begin);
      begin += field.length;
      size = field.value;
    }
    if (size < 0 || size > data.length - begin)
      throw new SluiceError("input.invalid", `AV1: at byte ${at} of ${data.length}: OBU of ${size} bytes, ${data.length - begin} are left`);
    found.push({ type: (header >> 3) & 15, bytes: data.subarray(at, begin + size), payload: data.subarray(begin, begin + size), hasSize });
    at = begin + size;
  }
  return found;
}

function leb128(data: Uint8Array, at: number): { value: number; length: number } {
  let value = 0;
  for (let i = 0; i < 5; i++) {
    const byte = data[at + i];
    if (byte === undefined) break;
    value += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return { value, length: i + 1 };
  }
  throw new SluiceError("input.invalid", `AV1: at byte ${at} of ${data.length}: OBU size without an end within 5 bytes`);
}

/** The OBU with its size field, the same view when it has one. */
function sized(obu: Obu): Uint8Array {
  if (obu.hasSize) return obu.bytes;
  const headerLength = obu.bytes.length - obu.payload.length;
  const writer = new ByteWriter(obu.bytes.length + 5).u8(obu.bytes[0]! | 2).bytes(obu.bytes.subarray(1, headerLength));
  let size = obu.payload.length;
  while (size > 0x7f) {
    writer.u8((size & 0x7f) | 0x80);
    size >>>= 7;
  }
  return writer.u8(size).bytes(obu.payload).take();
}

/**
 * Checks a temporal unit and takes out temporal delimiters, tile lists and padding (as ISO BMFF wants it); each OBU has a size.
 * Gives the same bytes when they are canonical already, else new memory. Throws "input.invalid".
 */
export function canonicalAv1(data: Uint8Array): Uint8Array {
  const all = obus(data);
  const kept = all.filter(({ type }) => type !== obuType.temporalDelimiter && type !== obuType.tileList && type !== obuType.padding);
  if (kept.length === all.length && all.every(({ hasSize }) => hasSize)) return data;
  return concat(kept.map(sized));
}

/** The sequence header OBU of a temporal unit or of an av1C's configOBUs, as a view. Throws "input.invalid". */
export function av1SequenceObu(data: Uint8Array): Obu | undefined {
  return obus(data).find(({ type }) => type === obuType.sequenceHeader);
}

/** True when a decoder can start at this canonical packet: a shown key frame with its sequence header. Throws "input.invalid". */
export function isAv1Keyframe(data: Uint8Array): boolean {
  let sequence = false;
  for (const { type, payload } of obus(data)) {
    if (type === obuType.sequenceHeader) {
      sequence = true;
      if (parseAv1Sequence(payload).reducedStillPicture) return true;
    } else if (type === obuType.frame || type === obuType.frameHeader) {
      const bits = new BitReader(payload, "AV1 frame header");
      return sequence && !bits.flag() && bits.u(2) === 0 && bits.flag();
    }
  }
  return false;
}

/** Makes an av1C (AV1 in ISO BMFF section 2.3) of the sequence header found in-band. New memory. Throws "input.invalid". */
export function makeAv1Config(sequenceObu: Obu): Uint8Array {
  const s = parseAv1Sequence(sequenceObu.payload);
  const flags =
    (s.tier << 7) |
    (s.bitDepth > 8 ? 0x40 : 0) |
    (s.bitDepth === 12 ? 0x20 : 0) |
    (s.monochrome ? 0x10 : 0) |
    (s.subsamplingX << 3) |
    (s.subsamplingY << 2) |
    s.chromaSamplePosition;
  return concat([Uint8Array.of(0x81, (s.profile << 5) | s.level, flags, 0), sized(sequenceObu)]);
}

/**
 * The track of an av1C, which the track keeps. Width and height are 0 when the record has no sequence header: then the first
 * keyframe tells (`av1TrackWithKeyframe`). Throws "input.invalid".
 */
export function av1Track(id: TrackId, config: Uint8Array): VideoTrack {
  if (config.length < 4 || config[0] !== 0x81)
    throw new SluiceError(
      "input.invalid",
      `av1C: ${config.length} bytes that start with ${config[0] ?? "nothing"}; at least 4 with 129 first were expected`,
    );
  const obu = av1SequenceObu(config.subarray(4));
  if (obu) return track(id, config, parseAv1Sequence(obu.payload));
  const flags = config[2]!;
  const bitDepth = flags & 0x20 ? 12 : flags & 0x40 ? 10 : 8;
  const codecString = av1CodecString({ profile: config[1]! >> 5, level: config[1]! & 31, tier: flags >> 7, bitDepth });
  return { kind: "video", id, codec: "av1", config, codecString, width: 0, height: 0 };
}

/** The track with what the sequence header of a keyframe says, and with that header in its configuration; undefined without one. */
export function av1TrackWithKeyframe(id: TrackId, data: Uint8Array): VideoTrack | undefined {
  const obu = av1SequenceObu(data);
  return obu && track(id, makeAv1Config(obu), parseAv1Sequence(obu.payload));
}

function track(id: TrackId, config: Uint8Array, sequence: Av1Sequence): VideoTrack {
  const { width, height, frameRate } = sequence;
  const base: VideoTrack = { kind: "video", id, codec: "av1", config, codecString: av1CodecString(sequence), width, height };
  return frameRate === undefined ? base : { ...base, frameRate };
}

function av1CodecString({ profile, level, tier, bitDepth }: Pick<Av1Sequence, "profile" | "level" | "tier" | "bitDepth">): string {
  return `av01.${profile}.${String(level).padStart(2, "0")}${tier ? "H" : "M"}.${String(bitDepth).padStart(2, "0")}`;
}
