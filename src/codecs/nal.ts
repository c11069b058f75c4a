import { ByteWriter, concat } from "../base/bytes.ts";
import { SluiceError } from "../base/errors.ts";

const startCode = Uint8Array.of(0, 0, 0, 1);

/**
 * The NAL units of an Annex B byte stream (ISO/IEC 14496-10 Annex B) as views, without start codes, trailing zeros and
 * empty units. Bytes before the first start code are not looked at.
 */
export function annexBUnits(bytes: Uint8Array): Uint8Array[] {
  const units: Uint8Array[] = [];
  let begin = -1;
  let at = 0;
  while ((at = bytes.indexOf(1, at)) >= 0) {
    if (at >= 2 && bytes[at - 1] === 0 && bytes[at - 2] === 0) {
      if (begin >= 0) pushTrimmed(units, bytes, begin, at - 2);
      begin = at + 1;
    }
    at++;
  }
  if (begin >= 0) pushTrimmed(units, bytes, begin, bytes.length);
  return units;
}

function pushTrimmed(units: Uint8Array[], bytes: Uint8Array, begin: number, end: number): void {
  let last = end;
  while (last > begin && bytes[last - 1] === 0) last--;
  if (last > begin) units.push(bytes.subarray(begin, last));
}

/**
 * The NAL units of a length-prefixed access unit (ISO/IEC 14496-15) as views; empty units are left out.
 * Throws "input.invalid" when a length points over the end.
 */
export function lengthPrefixedUnits(data: Uint8Array, lengthSize = 4): Uint8Array[] {
  const units: Uint8Array[] = [];
  let at = 0;
  while (at < data.length) {
    if (data.length - at < lengthSize) throw badLength(data, at, lengthSize);
    let length = 0;
    for (let i = 0; i < lengthSize; i++) length = length * 256 + data[at + i]!;
    at += lengthSize;
    if (length > data.length - at) throw badLength(data, at, length);
    if (length > 0) units.push(data.subarray(at, at + length));
    at += length;
  }
  return units;
}

/** Walks over a canonical access unit without making anything. Throws "input.invalid" when a length points over the end. */
export function checkLengthPrefixed(data: Uint8Array): void {
  let at = 0;
  while (at < data.length) {
    if (data.length - at < 4) throw badLength(data, at, 4);
    const length = ((data[at]! << 24) | (data[at + 1]! << 16) | (data[at + 2]! << 8) | data[at + 3]!) >>> 0;
    at += 4;
    if (length > data.length - at) throw badLength(data, at, length);
    at += length;
  }
}

function badLength(data: Uint8Array, at: number, length: number): SluiceError {
  return new SluiceError(
    "input.invalid",
    `NAL units: at byte ${at} of ${data.length}: needs ${length} bytes, ${data.length - at} are left; length-prefixed NAL units were expected`,
  );
}

/** Units with a length of 32 bits before each: the canonical form of H.264 and H.265. New memory. */
export function toLengthPrefixed(units: readonly Uint8Array[]): Uint8Array {
  let size = 0;
  for (const unit of units) size += 4 + unit.length;
  const writer = new ByteWriter(size);
  for (const unit of units) writer.u32(unit.length).bytes(unit);
  return writer.take();
}

/** Units with a four-byte start code before each. New memory. */
export function toAnnexB(units: readonly Uint8Array[]): Uint8Array {
  return concat(units.flatMap((unit) => [startCode, unit]));
}

/** Start code and unit in turn, without a copy of the units: for muxers that concatenate later. */
export function annexBPieces(units: readonly Uint8Array[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (const unit of units) pieces.push(startCode, unit);
  return pieces;
}

/** The raw byte sequence payload of a NAL unit: emulation prevention bytes (00 00 03) are taken out. New memory. */
export function unescapeNal(unit: Uint8Array): Uint8Array {
  const out = new Uint8Array(unit.length);
  let length = 0;
  let zeros = 0;
  for (const byte of unit) {
    if (zeros >= 2 && byte === 3) {
      zeros = 0;
      continue;
    }
    zeros = byte === 0 ? zeros + 1 : 0;
    out[length++] = byte;
  }
  return out.subarray(0, length);
}
