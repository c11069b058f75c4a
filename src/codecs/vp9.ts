import { BitReader } from "../base/bits.ts";
import { SluiceError } from "../base/errors.ts";
import type { TrackId, VideoTrack } from "../media/track.ts";
import { type PictureInfo, pictureInfo } from "./picture.ts";

/** What the uncompressed header of a key frame says (VP9 bitstream specification section 6.2). */
export type Vp9Keyframe = PictureInfo & {
  readonly profile: number;
  readonly bitDepth: number;
  /** color_space. */
  readonly colourSpace: number;
  readonly fullRange: boolean;
  /** chromaSubsampling of the configuration record: 1 is 4:2:0, 2 is 4:2:2, 3 is 4:4:4. */
  readonly chroma: number;
};

const notKey = { key: false } as const;

/** Reads the head of a frame (or of a superframe's first frame). Undefined when it is no key frame. Throws "input.invalid". */
export function parseVp9Keyframe(data: Uint8Array): Vp9Keyframe | undefined {
  const bits = new BitReader(data, "VP9 frame header");
  const start = frameStart(bits);
  if (!start.key) return undefined;
  const { profile } = start;
  bits.skip(2);
  const sync = bits.u(24);
  if (sync !== 0x498342) throw new SluiceError("input.invalid", `VP9 frame header: sync code is ${sync.toString(16)}; 498342 was expected`);
  const bitDepth = profile >= 2 ? (bits.flag() ? 12 : 10) : 8;
  const colourSpace = bits.u(3);
  let fullRange = true;
  let chroma = 1;
  if (colourSpace === 7) {
    chroma = 3;
    if (profile % 2 === 1) bits.skip(1);
  } else {
    fullRange = bits.flag();
    if (profile % 2 === 1) {
      const x = bits.u(1);
      bits.skip(2);
      chroma = x === 1 ? 2 : 3;
    }
  }
  const width = bits.u(16) + 1;
  return { ...pictureInfo("VP9 frame header", width, bits.u(16) + 1), profile, bitDepth, colourSpace, fullRange, chroma };
}

function frameStart(bits: BitReader): { readonly key: true; readonly profile: number } | typeof notKey {
  if (bits.u(2) !== 2) throw new SluiceError("input.invalid", "VP9 frame header: the frame marker is missing");
  const profile = bits.u(1) + 2 * bits.u(1);
  if (profile === 3) bits.skip(1);
  if (bits.flag()) return notKey;
  return bits.flag() ? notKey : { key: true, profile };
}

/** True when a decoder can start at this packet. Throws "input.invalid". */
export function isVp9Keyframe(data: Uint8Array): boolean {
  return data.length > 0 && frameStart(new BitReader(data, "VP9 frame header")).key;
}

/**
 * The VPCodecConfigurationRecord (VP9 in ISO BMFF) in its canonical form: 8 bytes, without version and flags of the box.
 * Takes the record with or without them; a copy. Throws "input.invalid".
 */
export function canonicalVp9Config(record: Uint8Array): Uint8Array {
  const boxed = record.length >= 12 && record[0] === 1 && record[1] === 0 && record[2] === 0 && record[3] === 0;
  const config = record.slice(boxed ? 4 : 0, boxed ? 12 : 8);
  if (config.length < 8) throw new SluiceError("input.invalid", `vpcC: ${record.length} bytes; at least 8 were expected`);
  config[6] = 0;
  config[7] = 0;
  return config;
}

/** Largest picture size in luma samples of each level, with the level in tenths. */
const levels: readonly (readonly [number, number])[] = [
  [36_864, 10],
  [73_728, 11],
  [122_880, 20],
  [245_760, 21],
  [552_960, 30],
  [983_040, 31],
  [2_228_224, 40],
  [8_912_896, 50],
  [35_651_584, 60],
];

/** Makes the record of a key frame; the level is the least that has room for the picture. */
export function makeVp9Config(frame: Vp9Keyframe): Uint8Array {
  const level = levels.find(([size]) => frame.width * frame.height <= size)?.[1] ?? 62;
  const bits = (frame.bitDepth << 4) | (frame.chroma << 1) | (frame.fullRange ? 1 : 0);
  return Uint8Array.of(frame.profile, level, bits, 2, 2, 2, 0, 0);
}

/**
 * The track of a canonical record, which the track keeps. The record has no size: give it from the key frame
 * (`parseVp9Keyframe`) or from the container. Throws "input.invalid".
 */
export function vp9Track(id: TrackId, config: Uint8Array, picture: Pick<PictureInfo, "width" | "height"> | undefined): VideoTrack {
  if (config.length < 8) throw new SluiceError("input.invalid", `vpcC: ${config.length} bytes; 8 were expected`);
  const codecString = `vp09.${[config[0]!, config[1]!, config[2]! >> 4].map((n) => String(n).padStart(2, "0")).join(".")}`;
  const { width, height } = picture ?? { width: 0, height: 0 };
  return { kind: "video", id, codec: "vp9", config, codecString, width, height };
}
