import type { TrackMeter } from "./track-meter.ts";

/** The incoming bandwidth is told at most this often. */
const tellMs = 1_000;

/** What all tracks of a publisher bring in together, told when it has changed. */
export class Bandwidth {
  #told = 0;
  #at = Number.NEGATIVE_INFINITY;

  /** Bytes per second that are to be told now; undefined when there is no news, or it is too early. */
  news(meters: Iterable<TrackMeter>, now: number): number | undefined {
    if (now - this.#at < tellMs) return undefined;
    let bytesPerSecond = 0;
    for (const meter of meters) bytesPerSecond += meter.settledRate;
    if (bytesPerSecond === this.#told) return undefined;
    this.#told = bytesPerSecond;
    this.#at = now;
    return bytesPerSecond;
  }
}
