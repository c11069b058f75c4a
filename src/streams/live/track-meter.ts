import { Ring } from "../../base/ring.ts";
import type { Micros } from "../../base/time.ts";
import type { TrackStats } from "../../media/track-stats.ts";

/** Jitter is looked at over this many buckets of `bucketMs`. */
const buckets = 8;
const bucketMs = 2_500;
/** Rates are measured over this many ticks. */
const ticks = 10;
/** Before the first packet, and after time was closed up; -1 is the time before the stream's first group. */
const unknownGroup = -2;

/** One group of pictures of a track, or the packets of another track that came meanwhile. */
export type KeySpan = { readonly start: Micros; readonly duration: Micros; readonly frames: number };

/** Least and greatest of what MistServer calls `keys`, in ms and frames. */
export type KeyRange = {
  readonly ms_min: number;
  readonly ms_max: number;
  readonly frame_ms_min: number;
  readonly frame_ms_max: number;
  readonly frames_min: number;
  readonly frames_max: number;
};

/**
 * Counts a track's packets with integers as they pass; everything else is worked out when somebody asks.
 * Arrival times are monotonic milliseconds.
 */
export class TrackMeter {
  readonly #keys = new Ring<KeySpan>(32);
  readonly #late = new Float64Array(buckets).fill(Number.NEGATIVE_INFINITY);
  readonly #early = new Float64Array(buckets).fill(Number.POSITIVE_INFINITY);
  readonly #bytesAt = new Float64Array(ticks);
  readonly #framesAt = new Float64Array(ticks);
  readonly #timeAt = new Float64Array(ticks);
  #tick = 0;
  #bucket = -1;
  #bytes = 0;
  #frames = 0;
  #first: Micros = -1;
  #last: Micros = 0;
  #maxRate = 0;
  #bFrames = false;
  #group = unknownGroup;
  #keyWhole = false;
  #keyStart: Micros = 0;
  #keyFrames = 0;
  #rate = 0;
  #span: Micros = 0;
  #frameRate = 0;

  /** True once a packet has come. */
  get active(): boolean {
    return this.#frames > 0;
  }
  get lastTime(): Micros {
    return this.#last;
  }
  /** The rate of the last seconds; 0 while less than a second of media was measured. */
  get settledRate(): number {
    return this.#span >= 900_000 || this.#rate === 0 ? this.#rate : 0;
  }

  /**
   * A packet has passed. `group` names the stream's group that it came in, `starts` is true when it began it:
   * the track's keys are cut where the group changes.
   */
  packet(dts: Micros, pts: Micros, bytes: number, arrivedMs: number, group: number, starts: boolean): void {
    if (group !== this.#group) {
      this.#key(dts, starts || this.#group !== unknownGroup);
      this.#group = group;
    }
    if (this.#frames++ === 0) this.#first = this.#last = dts;
    if (pts !== dts) this.#bFrames = true;
    this.#last = dts;
    this.#bytes += bytes;
    this.#keyFrames++;
    const bucket = Math.floor(arrivedMs / bucketMs);
    const slot = ((bucket % buckets) + buckets) % buckets;
    if (bucket !== this.#bucket) {
      // Buckets in which nothing came are forgotten too.
      for (let old = Math.max(this.#bucket + 1, bucket - buckets + 1); old <= bucket; old++) {
        const at = ((old % buckets) + buckets) % buckets;
        this.#late[at] = Number.NEGATIVE_INFINITY;
        this.#early[at] = Number.POSITIVE_INFINITY;
      }
      this.#bucket = bucket;
    }
    const transit = arrivedMs - dts / 1000;
    if (transit > (this.#late[slot] ?? 0)) this.#late[slot] = transit;
    if (transit < (this.#early[slot] ?? 0)) this.#early[slot] = transit;
  }

  /** Time was closed up: the transit times before and after it cannot be compared. */
  restart(): void {
    this.#late.fill(Number.NEGATIVE_INFINITY);
    this.#early.fill(Number.POSITIVE_INFINITY);
    this.#keyWhole = false;
    this.#group = unknownGroup;
  }

  /** Called at the hub's tick. Keys that began before `oldest` are forgotten. */
  tick(oldest: Micros): void {
    while ((this.#keys.get(this.#keys.first)?.start ?? oldest) < oldest) this.#keys.drop();
    const slot = this.#tick % ticks;
    const full = this.#tick >= ticks;
    const from = full ? slot : 0;
    const span = this.#last - (this.#tick > 0 ? (this.#timeAt[from] ?? 0) : this.#first);
    const bytes = this.#bytes - (this.#tick > 0 ? (this.#bytesAt[from] ?? 0) : 0);
    const frames = this.#frames - (this.#tick > 0 ? (this.#framesAt[from] ?? 0) : 0);
    this.#span = span;
    this.#rate = span > 0 ? Math.round((bytes * 1e6) / span) : 0;
    this.#frameRate = span > 0 ? (frames * 1e6) / span : 0;
    if (this.#rate > this.#maxRate && span > 900_000) this.#maxRate = this.#rate;
    this.#bytesAt[slot] = this.#bytes;
    this.#framesAt[slot] = this.#frames;
    this.#timeAt[slot] = this.#last;
    if (this.#frames > 0) this.#tick++;
  }

  /** Greatest difference between the transit times of the last 20 seconds, ms. */
  get jitterMs(): number {
    let late = Number.NEGATIVE_INFINITY;
    let early = Number.POSITIVE_INFINITY;
    for (let at = 0; at < buckets; at++) {
      late = Math.max(late, this.#late[at] ?? late);
      early = Math.min(early, this.#early[at] ?? early);
    }
    return late > early ? Math.round(late - early) : 0;
  }

  /** `oldest` is the time of the oldest packet that the stream keeps. */
  stats(oldest: Micros): TrackStats {
    return {
      firstTime: Math.max(this.#first, Math.min(oldest, this.#last), 0),
      lastTime: this.#last,
      bytesPerSecond: this.#rate,
      maxBytesPerSecond: Math.max(this.#maxRate, this.#rate),
      jitterMs: this.jitterMs,
      frameRate: this.#frameRate,
      bFrames: this.#bFrames,
    };
  }

  /** Least and greatest of the complete keys; undefined before the first is complete. */
  keys(): KeyRange | undefined {
    if (this.#keys.length === 0) return undefined;
    let msMin = Number.POSITIVE_INFINITY;
    let msMax = 0;
    let frameMsMin = Number.POSITIVE_INFINITY;
    let frameMsMax = 0;
    let framesMin = Number.POSITIVE_INFINITY;
    let framesMax = 0;
    for (let at = this.#keys.first; at < this.#keys.end; at++) {
      const key = this.#keys.get(at);
      if (!key) continue;
      const ms = Math.round(key.duration / 1000);
      const frameMs = Math.round(ms / key.frames);
      msMin = Math.min(msMin, ms);
      msMax = Math.max(msMax, ms);
      frameMsMin = Math.min(frameMsMin, frameMs);
      frameMsMax = Math.max(frameMsMax, frameMs);
      framesMin = Math.min(framesMin, key.frames);
      framesMax = Math.max(framesMax, key.frames);
    }
    return {
      ms_min: msMin,
      ms_max: msMax,
      frame_ms_min: frameMsMin,
      frame_ms_max: frameMsMax,
      frames_min: framesMin,
      frames_max: framesMax,
    };
  }

  /** `whole`: this key begins with its group, and not somewhere in it. */
  #key(dts: Micros, whole: boolean): void {
    if (this.#keyWhole && this.#group >= 0 && this.#keyFrames > 0 && dts > this.#keyStart)
      this.#keys.push({ start: this.#keyStart, duration: dts - this.#keyStart, frames: this.#keyFrames });
    this.#keyWhole = whole;
    this.#keyStart = dts;
    this.#keyFrames = 0;
  }
}
