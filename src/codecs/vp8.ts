import { SluiceError } from "../base/errors.ts";
import type { TrackId, VideoTrack } from "../media/track.ts";
import { type PictureInfo, pictureInfo } from "./picture.ts";

/** True when a decoder can start at this packet (RFC 6386 section 9.1). */
export function isVp8Keyframe(data: Uint8Array): boolean {
  return data.length > 0 && (data[0]! & 1) === 0;
}

/** Picture size of a key frame, undefined for other frames. Throws "input.invalid". */
export function parseVp8Keyframe(data: Uint8Array): PictureInfo | undefined {
  if (!isVp8Keyframe(data)) return undefined;
  if (data.length < 10 || data[3] !== 0x9d || data[4] !== 0x01 || data[5] !== 0x2a)
    throw new SluiceError("input.invalid", "VP8 key frame: start code 9d 01 2a is missing");
  return pictureInfo("VP8 key frame", (data[6]! | (data[7]! << 8)) & 0x3fff, (data[8]! | (data[9]! << 8)) & 0x3fff);
}

/** The track; VP8 has no configuration, its size is in each key frame. */
export function vp8Track(id: TrackId, picture: PictureInfo | undefined): VideoTrack {
  return { kind: "video", id, codec: "vp8", config: new Uint8Array(0), codecString: "vp8", width: 0, height: 0, ...picture };
}
