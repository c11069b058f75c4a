import { BitReader } from "../base/bits.ts";
import { SluiceError } from "../base/errors.ts";
import { unescapeNal } from "./nal.ts";
import { type PictureInfo, pictureInfo } from "./picture.ts";

/** What a sequence parameter set says (ISO/IEC 14496-10 clause 7.3.2.1.1). */
export type H264Sps = PictureInfo & {
  readonly profile: number;
  /** The byte of constraint_set flags. */
  readonly compatibility: number;
  readonly level: number;
  /** chroma_format_idc; 1 where the profile has no such field. */
  readonly chromaFormat: number;
  readonly bitDepthLuma: number;
  readonly bitDepthChroma: number;
};

/** Profiles whose SPS has chroma format, bit depths and scaling lists. */
const highProfiles: readonly number[] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/** True for the profiles that have the chroma fields in SPS and avcC. */
export function hasChromaFields(profile: number): boolean {
  return highProfiles.includes(profile);
}

/** Reads an SPS NAL unit (with its NAL header, emulation prevention still in). Throws "input.invalid". */
export function parseH264Sps(unit: Uint8Array): H264Sps {
  const bits = new BitReader(unescapeNal(unit), "H.264 SPS");
  bits.skip(8);
  const profile = bits.u(8);
  const compatibility = bits.u(8);
  const level = bits.u(8);
  bits.ue();
  let chromaFormat = 1;
  let bitDepthLuma = 8;
  let bitDepthChroma = 8;
  let separatePlanes = false;
  if (hasChromaFields(profile)) {
    chromaFormat = bits.ue();
    if (chromaFormat > 3) throw new SluiceError("input.invalid", `H.264 SPS: chroma_format_idc is ${chromaFormat}; 0 to 3 was expected`);
    if (chromaFormat === 3) separatePlanes = bits.flag();
    bitDepthLuma = 8 + bits.ue();
    bitDepthChroma = 8 + bits.ue();
    bits.skip(1);
    if (bits.flag()) for (let i = 0; i < (chromaFormat === 3 ? 12 : 8); i++) if (bits.flag()) skipScalingList(bits, i < 6 ? 16 : 64);
  }
  bits.ue();
  const orderType = bits.ue();
  if (orderType === 0) bits.ue();
  else if (orderType === 1) {
    bits.skip(1);
    bits.se();
    bits.se();
    const cycle = bits.ue();
    if (cycle > 255) throw new SluiceError("input.invalid", `H.264 SPS: num_ref_frames_in_pic_order_cnt_cycle is ${cycle}; at most 255`);
    for (let i = 0; i < cycle; i++) bits.se();
  }
  bits.ue();
  bits.skip(1);
  const widthMbs = bits.ue() + 1;
  const heightUnits = bits.ue() + 1;
  const framesOnly = bits.flag();
  if (!framesOnly) bits.skip(1);
  bits.skip(1);
  let width = widthMbs * 16;
  let height = heightUnits * 16 * (framesOnly ? 1 : 2);
  if (bits.flag()) {
    const monochrome = chromaFormat === 0 || separatePlanes;
    const unitX = monochrome || chromaFormat === 3 ? 1 : 2;
    const unitY = (monochrome || chromaFormat !== 1 ? 1 : 2) * (framesOnly ? 1 : 2);
    width -= unitX * (bits.ue() + bits.ue());
    height -= unitY * (bits.ue() + bits.ue());
  }
  const picture = pictureInfo("H.264 SPS", width, height, vuiFrameRate(bits));
  return { ...picture, profile, compatibility, level, chromaFormat, bitDepthLuma, bitDepthChroma };
}

function skipScalingList(bits: BitReader, size: number): void {
  let last = 8;
  for (let i = 0; i < size; i++) {
    const next = (last + bits.se() + 256) % 256;
    if (next === 0) return;
    last = next;
  }
}

/** Annex E.1.1. A cut VUI is common and hurts nobody, so it only means that the frame rate is not known. */
function vuiFrameRate(bits: BitReader): number | undefined {
  try {
    if (!bits.flag()) return undefined;
    skipVuiColour(bits);
    if (!bits.flag()) return undefined;
    const unitsInTick = bits.u(32);
    const timeScale = bits.u(32);
    return unitsInTick > 0 ? timeScale / (2 * unitsInTick) : undefined;
  } catch {
    return undefined;
  }
}

/** Aspect ratio, overscan, signal type and chroma location: the same first fields in H.264 and H.265. */
export function skipVuiColour(bits: BitReader): void {
  if (bits.flag() && bits.u(8) === 255) bits.skip(32);
  if (bits.flag()) bits.skip(1);
  if (bits.flag()) {
    bits.skip(4);
    if (bits.flag()) bits.skip(24);
  }
  if (bits.flag()) {
    bits.ue();
    bits.ue();
  }
}
