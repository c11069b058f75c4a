import { ByteReader, ByteWriter } from "../base/bytes.ts";
import { SluiceError } from "../base/errors.ts";
import type { TrackId, VideoTrack } from "../media/track.ts";
import { type H264Sps, hasChromaFields, parseH264Sps } from "./h264-sps.ts";
import { annexBPieces, annexBUnits, checkLengthPrefixed, lengthPrefixedUnits, toAnnexB, toLengthPrefixed } from "./nal.ts";
import { hex2 } from "./picture.ts";

/** nal_unit_type, ISO/IEC 14496-10 table 7-1. */
const nal = { slice: 1, idr: 5, sei: 6, sps: 7, pps: 8, aud: 9, endOfSequence: 10, endOfStream: 11, filler: 12, spsExtension: 13 } as const;
const audUnit = Uint8Array.of(nal.aud, 0xf0);

/** AVCDecoderConfigurationRecord (ISO/IEC 14496-15 clause 5.3.3.1): avcC. Units are views of the record. */
export type H264Config = {
  /** Bytes of each NAL unit's length: 1, 2 or 4. Canonical is 4. */
  readonly lengthSize: number;
  readonly sps: readonly Uint8Array[];
  readonly pps: readonly Uint8Array[];
};

/** Reads an avcC. Throws "input.invalid". */
export function parseH264Config(record: Uint8Array): H264Config {
  const reader = new ByteReader(record, "avcC");
  const version = reader.u8();
  if (version !== 1) throw new SluiceError("input.invalid", `avcC: version is ${version}; 1 was expected`);
  reader.skip(3);
  const lengthSize = (reader.u8() & 3) + 1;
  if (lengthSize === 3) throw new SluiceError("input.invalid", "avcC: NAL unit length of 3 bytes; 1, 2 or 4 was expected");
  const sps = readUnits(reader, reader.u8() & 0x1f);
  const pps = readUnits(reader, reader.u8());
  return { lengthSize, sps, pps };
}

function readUnits(reader: ByteReader, count: number): Uint8Array[] {
  const units: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    const unit = reader.bytes(reader.u16());
    if (unit.length > 0) units.push(unit);
  }
  return units;
}

/** Makes the canonical avcC of parameter sets found in-band. New memory. Throws "input.invalid" when the SPS is wrong. */
export function makeH264Config(sps: readonly Uint8Array[], pps: readonly Uint8Array[]): Uint8Array {
  const info = firstSps(sps);
  const writer = new ByteWriter().u8(1).u8(info.profile).u8(info.compatibility).u8(info.level).u8(0xff);
  writer.u8(0xe0 | Math.min(sps.length, 31));
  for (const unit of sps.slice(0, 31)) writer.u16(unit.length).bytes(unit);
  writer.u8(Math.min(pps.length, 255));
  for (const unit of pps.slice(0, 255)) writer.u16(unit.length).bytes(unit);
  if (hasChromaFields(info.profile))
    writer
      .u8(0xfc | info.chromaFormat)
      .u8(0xf8 | (info.bitDepthLuma - 8))
      .u8(0xf8 | (info.bitDepthChroma - 8))
      .u8(0);
  return writer.take();
}

function firstSps(sps: readonly Uint8Array[]): H264Sps {
  const unit = sps[0];
  if (!unit) throw new SluiceError("input.invalid", "H.264 configuration: no SPS; at least one was expected");
  return parseH264Sps(unit);
}

/** The record with four-byte lengths, in new memory: what `VideoTrack.config` holds. Does not look at the parameter sets. */
export function canonicalH264Config(record: Uint8Array): Uint8Array {
  const config = record.slice();
  config[4] = 0xff;
  return config;
}

/** The track of a canonical avcC, which the track keeps. Throws "input.invalid". */
export function h264Track(id: TrackId, config: Uint8Array): VideoTrack {
  const info = firstSps(parseH264Config(config).sps);
  const { width, height, frameRate } = info;
  return {
    kind: "video",
    id,
    codec: "h264",
    config,
    codecString: `avc1.${hex2(info.profile)}${hex2(info.compatibility)}${hex2(info.level)}`,
    width,
    height,
    ...(frameRate === undefined ? {} : { frameRate }),
  };
}

/**
 * Checks a length-prefixed access unit and gives it with four-byte lengths: the same bytes when they are canonical already,
 * else new memory. Throws "input.invalid".
 */
export function canonicalH264(data: Uint8Array, lengthSize: number): Uint8Array {
  if (lengthSize !== 4) return toLengthPrefixed(lengthPrefixedUnits(data, lengthSize));
  checkLengthPrefixed(data);
  return data;
}

/** What was in an Annex B access unit. Parameter sets are views of the input; `data` is new memory, empty when no slice was there. */
export type H264AccessUnit = {
  readonly data: Uint8Array;
  readonly keyframe: boolean;
  readonly sps: readonly Uint8Array[];
  readonly pps: readonly Uint8Array[];
};

/** Annex B to canonical: delimiters, filler and parameter sets are taken out. */
export function h264FromAnnexB(accessUnit: Uint8Array): H264AccessUnit {
  const sps: Uint8Array[] = [];
  const pps: Uint8Array[] = [];
  const rest: Uint8Array[] = [];
  let keyframe = false;
  for (const unit of annexBUnits(accessUnit)) {
    const type = unit[0]! & 0x1f;
    if (type === nal.sps) sps.push(unit);
    else if (type === nal.pps) pps.push(unit);
    else if (type === nal.aud || type === nal.endOfSequence || type === nal.endOfStream || type === nal.filler) continue;
    else {
      if (startsDecoding(unit, type)) keyframe = true;
      rest.push(unit);
    }
  }
  return { data: toLengthPrefixed(rest), keyframe, sps, pps };
}

/** True when a decoder can start at this canonical packet: it has an IDR slice or a recovery point. Throws "input.invalid". */
export function isH264Keyframe(data: Uint8Array): boolean {
  return lengthPrefixedUnits(data).some((unit) => startsDecoding(unit, unit[0]! & 0x1f));
}

function startsDecoding(unit: Uint8Array, type: number): boolean {
  return type === nal.idr || (type === nal.sei && hasExactRecoveryPoint(unit));
}

/** A recovery point SEI (payload type 6) with recovery_frame_cnt 0: an open group of pictures starts here. */
function hasExactRecoveryPoint(unit: Uint8Array): boolean {
  let at = 1;
  while (at + 2 < unit.length) {
    let type = 0;
    while (unit[at] === 255) {
      type += 255;
      at++;
    }
    type += unit[at++] ?? 0;
    let size = 0;
    while (unit[at] === 255) {
      size += 255;
      at++;
    }
    size += unit[at++] ?? 0;
    if (type === 6) return ((unit[at] ?? 0) & 0x80) !== 0;
    at += size;
  }
  return false;
}

/** The parameter sets of a canonical avcC with start codes, for `h264ToAnnexB`. Make it once for each track. */
export function h264AnnexBHeader(config: Uint8Array): Uint8Array {
  const { sps, pps } = parseH264Config(config);
  return toAnnexB([...sps, ...pps]);
}

/**
 * A canonical packet as Annex B pieces, without a copy of the data: delimiter first, `header` before a keyframe that has no
 * SPS of its own. Throws "input.invalid" for data that no demuxer of ours gives.
 */
export function h264ToAnnexB(data: Uint8Array, keyframe: boolean, header: Uint8Array): Uint8Array[] {
  const units = lengthPrefixedUnits(data).filter((unit) => (unit[0]! & 0x1f) !== nal.aud);
  const pieces = annexBPieces([audUnit]);
  if (keyframe && !units.some((unit) => (unit[0]! & 0x1f) === nal.sps)) pieces.push(header);
  pieces.push(...annexBPieces(units));
  return pieces;
}
