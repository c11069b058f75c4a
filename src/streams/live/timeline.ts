import type { Micros } from "../../base/time.ts";
import type { TrackId } from "../../media/track.ts";

/** A track may step back this far and is nudged; further is a jump. */
const maxStepBack: Micros = 500_000;
/** A track may run ahead of the stream this far; further is a jump. */
const maxStepAhead: Micros = 5_000_000;
/** What a nudged packet lies after its forerunner: one tick of the coarsest container clock. */
const nudge: Micros = 1_000;
/** A publisher that starts within this keeps its times, so that the start of its tracks stays exact. */
const keptStart: Micros = 1_000_000;
/** So far before the newest time of all tracks the first one may go on. */
const maxOverlap: Micros = 150_000;
/** Between the last packet before a jump and the first after it, when nothing better is known. */
const defaultStep: Micros = 20_000;

type TrackTime = { offset: Micros; last: Micros; step: Micros };

/**
 * Maps one publisher's times onto the stream's timeline. Decode times rise in each track. A jump (more than half a second
 * back or five seconds ahead) is closed up: time goes on where it was, and `jumps` counts it.
 *
 * Each track keeps its own offset until it jumps itself, since tracks do not jump at the same packet:
 *
 *     video raw   10.0 10.1 | 0.0  0.1             offset 0, then +10.2
 *     audio raw   10.0   10.1 | 0.0                takes over +10.2 as soon as that fits it better
 *     stream      10.0 10.1   10.2 10.3
 */
export class Timeline {
  readonly #tracks = new Map<TrackId, TrackTime>();
  #offset: Micros | undefined;
  #newest: Micros;
  /** Where the past of each track ends. */
  readonly #past: ReadonlyMap<TrackId, Micros>;
  readonly #continues: boolean;
  #jumps = 0;

  /**
   * `continueAfter` is the newest time of a stream that goes on with another publisher; undefined for a new stream. `past`: that of
   * its tracks. The first track to come goes on where it was, so that no picture is missed because there was more sound.
   */
  constructor(continueAfter?: Micros, past: ReadonlyMap<TrackId, Micros> = new Map()) {
    this.#continues = continueAfter !== undefined;
    this.#newest = continueAfter ?? 0;
    this.#past = past;
  }

  /** How often time was closed up so far. */
  get jumps(): number {
    return this.#jumps;
  }

  /**
   * The stream time for a packet's decode time, or undefined for one that lies before the stream's start. Call once for each packet.
   * `needed`: later ones cannot be decoded without it, so that it is moved rather than left out where it overlaps the past.
   */
  map(trackId: TrackId, dts: Micros, needed = true): Micros | undefined {
    this.#offset ??= this.#firstOffset(trackId, dts);
    let track = this.#tracks.get(trackId);
    if (!track) {
      track = { offset: this.#offset, last: Number.NEGATIVE_INFINITY, step: defaultStep };
      this.#tracks.set(trackId, track);
    }
    let time = dts + track.offset;
    if (track.offset !== this.#offset) {
      const other = dts + this.#offset;
      if (Math.abs(other - this.#newest) < Math.abs(time - this.#newest)) {
        track.offset = this.#offset;
        time = other;
      }
    }
    // A track that is new, or of which all was left out so far, is measured by the others.
    const least = track.last === Number.NEGATIVE_INFINITY ? this.#newest - maxStepAhead : track.last - maxStepBack;
    if (time < least || time > this.#newest + maxStepAhead) {
      track.offset = this.#jump(dts, track);
      time = dts + track.offset;
    }
    const floor = track.last === Number.NEGATIVE_INFINITY ? this.#past.get(trackId) : undefined;
    if (floor !== undefined && time <= floor) {
      if (!needed) return undefined;
      time = floor + nudge;
    }
    if (time <= track.last) time = track.last + nudge;
    if (time < 0) return undefined;
    if (track.last !== Number.NEGATIVE_INFINITY) track.step = Math.min(time - track.last, maxStepAhead);
    track.last = time;
    if (time > this.#newest) this.#newest = time;
    return time;
  }

  #firstOffset(trackId: TrackId, dts: Micros): Micros {
    if (this.#continues) return Math.max(this.#past.get(trackId) ?? this.#newest, this.#newest - maxOverlap) + defaultStep - dts;
    return dts >= 0 && dts < keptStart ? 0 : -dts;
  }

  #jump(dts: Micros, track: TrackTime): Micros {
    this.#jumps++;
    this.#offset = this.#newest + track.step - dts;
    return this.#offset;
  }
}
