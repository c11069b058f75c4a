import { BitReader } from "../base/bits.ts";
import { SluiceError } from "../base/errors.ts";
import { skipVuiColour } from "./h264-sps.ts";
import { unescapeNal } from "./nal.ts";
import { type PictureInfo, pictureInfo } from "./picture.ts";

/** What a sequence parameter set says (ISO/IEC 23008-2 clause 7.3.2.2). */
export type HevcSps = PictureInfo & {
  /** The 12 bytes of general profile, tier and level as they stand in the SPS and in hvcC. */
  readonly profileTierLevel: Uint8Array;
  readonly chromaFormat: number;
  readonly bitDepthLuma: number;
  readonly bitDepthChroma: number;
  readonly temporalLayers: number;
  readonly temporalIdNested: boolean;
};

/** Reads an SPS NAL unit (with its two header bytes, emulation prevention still in). Throws "input.invalid". */
export function parseHevcSps(unit: Uint8Array): HevcSps {
  const payload = unescapeNal(unit);
  const bits = new BitReader(payload, "H.265 SPS");
  bits.skip(16 + 4);
  const subLayers = bits.u(3);
  const temporalIdNested = bits.flag();
  if (subLayers > 6) throw new SluiceError("input.invalid", `H.265 SPS: sps_max_sub_layers_minus1 is ${subLayers}; at most 6`);
  bits.skip(96);
  const profileTierLevel = payload.slice(3, 15);
  skipSubLayers(bits, subLayers);
  bits.ue();
  const chromaFormat = bits.ue();
  if (chromaFormat > 3) throw new SluiceError("input.invalid", `H.265 SPS: chroma_format_idc is ${chromaFormat}; 0 to 3 was expected`);
  const separatePlanes = chromaFormat === 3 && bits.flag();
  let width = bits.ue();
  let height = bits.ue();
  if (bits.flag()) {
    const monochrome = chromaFormat === 0 || separatePlanes;
    const unitX = !monochrome && chromaFormat !== 3 ? 2 : 1;
    const unitY = !monochrome && chromaFormat === 1 ? 2 : 1;
    width -= unitX * (bits.ue() + bits.ue());
    height -= unitY * (bits.ue() + bits.ue());
  }
  const bitDepthLuma = 8 + bits.ue();
  const bitDepthChroma = 8 + bits.ue();
  const picture = pictureInfo("H.265 SPS", width, height, frameRate(bits, subLayers));
  return { ...picture, profileTierLevel, chromaFormat, bitDepthLuma, bitDepthChroma, temporalLayers: subLayers + 1, temporalIdNested };
}

/** Clause 7.3.3: profile and level of each sub-layer. */
function skipSubLayers(bits: BitReader, subLayers: number): void {
  if (subLayers === 0) return;
  const present: { profile: boolean; level: boolean }[] = [];
  for (let i = 0; i < subLayers; i++) present.push({ profile: bits.flag(), level: bits.flag() });
  bits.skip(2 * (8 - subLayers));
  for (const { profile, level } of present) bits.skip((profile ? 88 : 0) + (level ? 8 : 0));
}

/** All from log2_max_pic_order_cnt_lsb_minus4 to vui_timing_info. What cannot be read means: not known. */
function frameRate(bits: BitReader, subLayers: number): number | undefined {
  try {
    const orderBits = bits.ue() + 4;
    const all = bits.flag();
    for (let i = all ? 0 : subLayers; i <= subLayers; i++) skipUes(bits, 3);
    skipUes(bits, 6);
    if (bits.flag() && bits.flag()) skipScalingLists(bits);
    bits.skip(2);
    if (bits.flag()) {
      bits.skip(8);
      skipUes(bits, 2);
      bits.skip(1);
    }
    if (!skipShortTermSets(bits)) return undefined;
    if (bits.flag()) {
      const count = bits.ue();
      if (count > 32) return undefined;
      bits.skip(count * (orderBits + 1));
    }
    bits.skip(2);
    if (!bits.flag()) return undefined;
    skipVuiColour(bits);
    bits.skip(3);
    if (bits.flag()) skipUes(bits, 4);
    if (!bits.flag()) return undefined;
    const unitsInTick = bits.u(32);
    const timeScale = bits.u(32);
    return unitsInTick > 0 ? timeScale / unitsInTick : undefined;
  } catch {
    return undefined;
  }
}

function skipUes(bits: BitReader, count: number): void {
  for (let i = 0; i < count; i++) bits.ue();
}

/** Clause 7.3.4. */
function skipScalingLists(bits: BitReader): void {
  for (let size = 0; size < 4; size++) {
    for (let matrix = 0; matrix < 6; matrix += size === 3 ? 3 : 1) {
      if (!bits.flag()) {
        bits.ue();
        continue;
      }
      if (size > 1) bits.se();
      const coefficients = Math.min(64, 1 << (4 + (size << 1)));
      for (let i = 0; i < coefficients; i++) bits.se();
    }
  }
}

/** Clause 7.3.7; false when there are more sets or pictures than the standard allows. */
function skipShortTermSets(bits: BitReader): boolean {
  const sets = bits.ue();
  if (sets > 64) return false;
  let pictures = 0;
  for (let i = 0; i < sets; i++) {
    if (i > 0 && bits.flag()) {
      bits.skip(1);
      bits.ue();
      let kept = 0;
      for (let j = 0; j <= pictures; j++) if (bits.flag() || bits.flag()) kept++;
      pictures = kept;
    } else {
      const negative = bits.ue();
      const positive = bits.ue();
      pictures = negative + positive;
      if (pictures > 32) return false;
      for (let j = 0; j < pictures; j++) {
        bits.ue();
        bits.skip(1);
      }
    }
  }
  return true;
}
