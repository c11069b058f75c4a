import { SluiceError } from "../base/errors.ts";

/** What a video bitstream says of its pictures. */
export type PictureInfo = {
  readonly width: number;
  readonly height: number;
  /** Frames per second, if the bitstream tells. */
  readonly frameRate?: number;
};

const maxSide = 32_768;

/** Checks the size and leaves out a frame rate that no sender means. Throws "input.invalid". */
export function pictureInfo(what: string, width: number, height: number, frameRate?: number): PictureInfo {
  if (!(width > 0 && height > 0 && width <= maxSide && height <= maxSide))
    throw new SluiceError("input.invalid", `${what}: picture of ${width}x${height}; 1x1 to ${maxSide}x${maxSide} was expected`);
  if (frameRate !== undefined && frameRate > 0 && frameRate <= 1000)
    return { width, height, frameRate: Math.round(frameRate * 1000) / 1000 };
  return { width, height };
}

/** Two hexadecimal digits, lower case. */
export function hex2(value: number): string {
  return value.toString(16).padStart(2, "0");
}
