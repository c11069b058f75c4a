import { ByteReader, ByteWriter } from "../base/bytes.ts";
import { SluiceError } from "../base/errors.ts";
import type { TrackId, VideoTrack } from "../media/track.ts";
import { type HevcSps, parseHevcSps } from "./hevc-sps.ts";
import { annexBPieces, annexBUnits, checkLengthPrefixed, lengthPrefixedUnits, toAnnexB, toLengthPrefixed } from "./nal.ts";

/** nal_unit_type, ISO/IEC 23008-2 table 7-1. 16 to 21 are the pictures at which decoding can start (IRAP). */
const nal = { firstIrap: 16, lastIrap: 21, vps: 32, sps: 33, pps: 34, aud: 35, endOfSequence: 36, endOfBitstream: 37, filler: 38 } as const;
const audUnit = Uint8Array.of(nal.aud << 1, 1, 0x50);

/** HEVCDecoderConfigurationRecord (ISO/IEC 14496-15 clause 8.3.3.1): hvcC. Units are views of the record. */
export type HevcConfig = {
  /** Bytes of each NAL unit's length: 1, 2 or 4. Canonical is 4. */
  readonly lengthSize: number;
  readonly vps: readonly Uint8Array[];
  readonly sps: readonly Uint8Array[];
  readonly pps: readonly Uint8Array[];
};

const typeOf = (unit: Uint8Array): number => (unit[0]! >> 1) & 0x3f;

/** Reads an hvcC. Throws "input.invalid". */
export function parseHevcConfig(record: Uint8Array): HevcConfig {
  const reader = new ByteReader(record, "hvcC");
  const version = reader.u8();
  // Encoders of the time before the standard was final wrote 0; the layout is the same.
  if (version > 1) throw new SluiceError("input.invalid", `hvcC: version is ${version}; 1 was expected`);
  reader.skip(20);
  const lengthSize = (reader.u8() & 3) + 1;
  if (lengthSize === 3) throw new SluiceError("input.invalid", "hvcC: NAL unit length of 3 bytes; 1, 2 or 4 was expected");
  const vps: Uint8Array[] = [];
  const sps: Uint8Array[] = [];
  const pps: Uint8Array[] = [];
  for (let arrays = reader.u8(); arrays > 0; arrays--) {
    const type = reader.u8() & 0x3f;
    for (let count = reader.u16(); count > 0; count--) {
      const unit = reader.bytes(reader.u16());
      if (unit.length < 2) continue;
      if (type === nal.vps) vps.push(unit);
      else if (type === nal.sps) sps.push(unit);
      else if (type === nal.pps) pps.push(unit);
    }
  }
  return { lengthSize, vps, sps, pps };
}

/** Makes the canonical hvcC of parameter sets found in-band. New memory. Throws "input.invalid" when the SPS is wrong. */
export function makeHevcConfig(vps: readonly Uint8Array[], sps: readonly Uint8Array[], pps: readonly Uint8Array[]): Uint8Array {
  const info = firstSps(sps);
  const writer = new ByteWriter().u8(1).bytes(info.profileTierLevel);
  writer
    .u16(0xf000)
    .u8(0xfc)
    .u8(0xfc | info.chromaFormat);
  writer
    .u8(0xf8 | (info.bitDepthLuma - 8))
    .u8(0xf8 | (info.bitDepthChroma - 8))
    .u16(0);
  writer.u8((info.temporalLayers << 3) | (info.temporalIdNested ? 4 : 0) | 3);
  const arrays = [
    { type: nal.vps, units: vps },
    { type: nal.sps, units: sps },
    { type: nal.pps, units: pps },
  ].filter(({ units }) => units.length > 0);
  writer.u8(arrays.length);
  for (const { type, units } of arrays) {
    writer.u8(0x80 | type).u16(units.length);
    for (const unit of units) writer.u16(unit.length).bytes(unit);
  }
  return writer.take();
}

function firstSps(sps: readonly Uint8Array[]): HevcSps {
  const unit = sps[0];
  if (!unit) throw new SluiceError("input.invalid", "H.265 configuration: no SPS; at least one was expected");
  return parseHevcSps(unit);
}

/** The record with four-byte lengths, in new memory: what `VideoTrack.config` holds. Does not look at the parameter sets. */
export function canonicalHevcConfig(record: Uint8Array): Uint8Array {
  const config = record.slice();
  config[0] = 1;
  config[21] = (config[21] ?? 0) | 3;
  return config;
}

/** The track of a canonical hvcC, which the track keeps. Throws "input.invalid". */
export function hevcTrack(id: TrackId, config: Uint8Array): VideoTrack {
  const info = firstSps(parseHevcConfig(config).sps);
  const { width, height, frameRate } = info;
  return {
    kind: "video",
    id,
    codec: "hevc",
    config,
    codecString: hevcCodecString(info.profileTierLevel),
    width,
    height,
    ...(frameRate === undefined ? {} : { frameRate }),
  };
}

/** ISO/IEC 14496-15 Annex E.3: `hvc1.1.6.L93.B0`. */
function hevcCodecString(profileTierLevel: Uint8Array): string {
  const reader = new ByteReader(profileTierLevel, "H.265 profile, tier and level");
  const first = reader.u8();
  const space = ["", "A", "B", "C"][first >> 6]!;
  let flags = reader.u32();
  let reversed = 0;
  for (let i = 0; i < 32; i++) {
    reversed = reversed * 2 + (flags & 1);
    flags >>>= 1;
  }
  const constraints = [...reader.bytes(6)];
  while (constraints.at(-1) === 0) constraints.pop();
  const level = reader.u8();
  const parts = ["hvc1", `${space}${first & 0x1f}`, reversed.toString(16).toUpperCase(), `${first & 0x20 ? "H" : "L"}${level}`];
  return [...parts, ...constraints.map((byte) => byte.toString(16).toUpperCase())].join(".");
}

/** Checks a length-prefixed access unit and gives it with four-byte lengths, the same bytes if they are so already. Throws "input.invalid". */
export function canonicalHevc(data: Uint8Array, lengthSize: number): Uint8Array {
  if (lengthSize !== 4) return toLengthPrefixed(lengthPrefixedUnits(data, lengthSize));
  checkLengthPrefixed(data);
  return data;
}

/** What was in an Annex B access unit. Parameter sets are views of the input; `data` is new memory. */
export type HevcAccessUnit = {
  readonly data: Uint8Array;
  readonly keyframe: boolean;
  readonly vps: readonly Uint8Array[];
  readonly sps: readonly Uint8Array[];
  readonly pps: readonly Uint8Array[];
};

/** Annex B to canonical: delimiters, filler and parameter sets are taken out. */
export function hevcFromAnnexB(accessUnit: Uint8Array): HevcAccessUnit {
  const vps: Uint8Array[] = [];
  const sps: Uint8Array[] = [];
  const pps: Uint8Array[] = [];
  const rest: Uint8Array[] = [];
  for (const unit of annexBUnits(accessUnit)) {
    const type = typeOf(unit);
    if (unit.length < 2) continue;
    if (type === nal.vps) vps.push(unit);
    else if (type === nal.sps) sps.push(unit);
    else if (type === nal.pps) pps.push(unit);
    else if (type < nal.aud || type > nal.filler) rest.push(unit);
  }
  return { data: toLengthPrefixed(rest), keyframe: rest.some(isIrap), vps, sps, pps };
}

/** True when a decoder can start at this canonical packet: it has an IDR, CRA or BLA picture. Throws "input.invalid". */
export function isHevcKeyframe(data: Uint8Array): boolean {
  return lengthPrefixedUnits(data).some(isIrap);
}

function isIrap(unit: Uint8Array): boolean {
  const type = typeOf(unit);
  return type >= nal.firstIrap && type <= nal.lastIrap;
}

/** The parameter sets of a canonical hvcC with start codes, for `hevcToAnnexB`. Make it once for each track. */
export function hevcAnnexBHeader(config: Uint8Array): Uint8Array {
  const { vps, sps, pps } = parseHevcConfig(config);
  return toAnnexB([...vps, ...sps, ...pps]);
}

/** A canonical packet as Annex B pieces, as `h264ToAnnexB`. */
export function hevcToAnnexB(data: Uint8Array, keyframe: boolean, header: Uint8Array): Uint8Array[] {
  const units = lengthPrefixedUnits(data).filter((unit) => typeOf(unit) !== nal.aud);
  const pieces = annexBPieces([audUnit]);
  if (keyframe && !units.some((unit) => typeOf(unit) === nal.sps)) pieces.push(header);
  pieces.push(...annexBPieces(units));
  return pieces;
}
