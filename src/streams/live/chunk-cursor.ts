import type { Cursor } from "../../base/cursor.ts";
import type { Chunk } from "../../media/format.ts";
import type { ChunkEpoch, ChunkRing } from "./chunk-ring.ts";
import { Waiting } from "./readers.ts";
import type { StartAt } from "../stream.ts";

/** A viewer's place in a chunk ring: first the header, then chunks from a keyframe on. */
export class ChunkCursor implements Cursor<Chunk> {
  readonly #ring: ChunkRing;
  readonly #start: StartAt;
  readonly #microtask: (run: () => void) => void;
  readonly #waiting = new Waiting();
  /** Number of the next chunk; -1 until there is a keyframe to start with. */
  #at = -1;
  #epoch: ChunkEpoch | undefined;
  #skips = 0;
  #closed = false;

  constructor(ring: ChunkRing, start: StartAt, microtask: (run: () => void) => void) {
    this.#ring = ring;
    this.#start = start;
    this.#microtask = microtask;
    ring.join();
  }

  get skips(): number {
    return this.#skips;
  }

  get ended(): boolean {
    return this.#closed || (this.#ring.finished && !this.#readable());
  }

  next(): Chunk | undefined {
    const ring = this.#ring;
    if (this.#closed) return undefined;
    if (this.#at < ring.first) {
      const keyframe = this.#at < 0 && this.#start === "oldest" ? ring.oldestKeyframe : ring.newestKeyframe;
      if (keyframe < 0) {
        if (this.#at >= 0) {
          this.#skips++;
          this.#at = -1;
        }
        return undefined;
      }
      if (this.#at >= 0) this.#skips++;
      this.#at = keyframe;
    }
    const slot = ring.slot(this.#at);
    if (!slot) return undefined;
    if (slot.epoch !== this.#epoch) {
      const known = this.#epoch;
      this.#epoch = slot.epoch;
      if (!known) return slot.epoch.header;
      if (slot.epoch.inBand && slot.epoch.inBand !== slot.chunk) return slot.epoch.inBand;
    }
    this.#at++;
    return slot.chunk;
  }

  onReadable(run: () => void): Disposable {
    if (this.ended || this.#readable()) {
      this.#waiting.run = run;
      this.#microtask(() => {
        const wake = this.#waiting.run;
        this.#waiting.run = undefined;
        wake?.();
      });
    } else {
      this.#ring.readers.wait(this.#waiting, run);
    }
    return this.#waiting;
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#waiting.run = undefined;
    this.#ring.leave();
  }

  #readable(): boolean {
    return this.#at < this.#ring.first ? this.#ring.newestKeyframe >= 0 : this.#at < this.#ring.end;
  }
}
