import { BitReader } from "../base/bits.ts";
import { type PictureInfo, pictureInfo } from "./picture.ts";

/** What a sequence header OBU says (AV1 specification section 5.5). */
export type Av1Sequence = PictureInfo & {
  readonly profile: number;
  /** seq_level_idx[0]. */
  readonly level: number;
  /** seq_tier[0]: 0 main, 1 high. */
  readonly tier: number;
  readonly bitDepth: number;
  readonly monochrome: boolean;
  readonly subsamplingX: number;
  readonly subsamplingY: number;
  readonly chromaSamplePosition: number;
  /** Frame headers are in the short form of still pictures. */
  readonly reducedStillPicture: boolean;
};

/** Reads the payload of a sequence header OBU (without OBU header). Throws "input.invalid". */
export function parseAv1Sequence(payload: Uint8Array): Av1Sequence {
  const bits = new BitReader(payload, "AV1 sequence header");
  const profile = bits.u(3);
  bits.skip(1);
  const reducedStillPicture = bits.flag();
  const { level, tier, frameRate } = reducedStillPicture ? { level: bits.u(5), tier: 0, frameRate: undefined } : operatingPoints(bits);
  const widthBits = bits.u(4) + 1;
  const heightBits = bits.u(4) + 1;
  const picture = pictureInfo("AV1 sequence header", bits.u(widthBits) + 1, bits.u(heightBits) + 1, frameRate);
  if (!reducedStillPicture && bits.flag()) bits.skip(7);
  bits.skip(3);
  if (!reducedStillPicture) skipTools(bits);
  bits.skip(3);
  return { ...picture, profile, level, tier, reducedStillPicture, ...colour(bits, profile) };
}

function operatingPoints(bits: BitReader): { level: number; tier: number; frameRate: number | undefined } {
  let frameRate: number | undefined;
  let delayBits = 0;
  if (bits.flag()) {
    const unitsInTick = bits.u(32);
    const timeScale = bits.u(32);
    const equalInterval = bits.flag();
    const ticks = equalInterval ? bits.ue() + 1 : 1;
    if (equalInterval && unitsInTick > 0) frameRate = timeScale / (unitsInTick * ticks);
    if (bits.flag()) {
      delayBits = bits.u(5) + 1;
      bits.skip(32 + 5 + 5);
    }
  }
  const displayDelays = bits.flag();
  const count = bits.u(5) + 1;
  let level = 0;
  let tier = 0;
  for (let i = 0; i < count; i++) {
    bits.skip(12);
    const pointLevel = bits.u(5);
    const pointTier = pointLevel > 7 ? bits.u(1) : 0;
    if (delayBits > 0 && bits.flag()) bits.skip(2 * delayBits + 1);
    if (displayDelays && bits.flag()) bits.skip(4);
    if (i === 0) {
      level = pointLevel;
      tier = pointTier;
    }
  }
  return { level, tier, frameRate };
}

function skipTools(bits: BitReader): void {
  bits.skip(4);
  const orderHint = bits.flag();
  if (orderHint) bits.skip(2);
  const screenContent = bits.flag() ? 2 : bits.u(1);
  if (screenContent > 0 && !bits.flag()) bits.skip(1);
  if (orderHint) bits.skip(3);
}

/** color_config, section 5.5.2. */
function colour(bits: BitReader, profile: number) {
  const highBitDepth = bits.flag();
  const bitDepth = profile === 2 && highBitDepth ? (bits.flag() ? 12 : 10) : highBitDepth ? 10 : 8;
  const monochrome = profile !== 1 && bits.flag();
  const described = bits.flag();
  const primaries = described ? bits.u(8) : 2;
  const transfer = described ? bits.u(8) : 2;
  const matrix = described ? bits.u(8) : 2;
  let subsamplingX = 1;
  let subsamplingY = 1;
  if (!monochrome && primaries === 1 && transfer === 13 && matrix === 0) {
    subsamplingX = 0;
    subsamplingY = 0;
  } else {
    bits.skip(1);
    if (!monochrome && profile === 1) {
      subsamplingX = 0;
      subsamplingY = 0;
    } else if (!monochrome && profile === 2) {
      subsamplingX = bitDepth === 12 ? bits.u(1) : 1;
      subsamplingY = bitDepth === 12 && subsamplingX === 1 ? bits.u(1) : 0;
    }
  }
  const chromaSamplePosition = !monochrome && subsamplingX === 1 && subsamplingY === 1 ? bits.u(2) : 0;
  return { bitDepth, monochrome, subsamplingX, subsamplingY, chromaSamplePosition };
}
