import type { Micros } from "../base/time.ts";
import type { TrackId } from "./track.ts";

/** One access unit in its codec's canonical byte form (docs/packet-formats). Nobody changes `data` after it was made. */
export type Packet = {
  readonly trackId: TrackId;
  readonly dts: Micros;
  readonly pts: Micros;
  /** True when a decoder can start here. Always true for audio and data. */
  readonly keyframe: boolean;
  readonly data: Uint8Array;
};
