import type { Micros } from "../base/time.ts";

/** What the hub measures of a track while it plays. */
export type TrackStats = {
  readonly firstTime: Micros;
  readonly lastTime: Micros;
  /** Bytes per second over the last seconds, and the most that was seen. */
  readonly bytesPerSecond: number;
  readonly maxBytesPerSecond: number;
  /** Greatest deviation between arrival and media time in the last seconds, ms. */
  readonly jitterMs: number;
  /** Measured frames per second (video). */
  readonly frameRate: number;
  /** True when presentation order differs from decode order. */
  readonly bFrames: boolean;
};
