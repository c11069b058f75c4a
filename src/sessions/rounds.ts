import type { Clock } from "../base/time.ts";

/** Items that are visited in one go: a millisecond of work or so. */
const sliceSize = 1024;

/** Visits each of very many items once in a round, and lets others have their turns in between. */
export class Rounds<T> {
  readonly #clock: Clock;
  #left: Iterator<T> | undefined;
  #visit: (item: T) => void = () => {};
  #next: Disposable | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Begins a round; what is left of the one before is done first. What comes and goes on the way may or may not be visited. */
  begin(items: Iterator<T>, visit: (item: T) => void): void {
    this.#run(Number.POSITIVE_INFINITY);
    this.#left = items;
    this.#visit = visit;
    this.#run(sliceSize);
  }

  [Symbol.dispose](): void {
    this.#next?.[Symbol.dispose]();
    this.#left = undefined;
  }

  #run(most: number): void {
    this.#next?.[Symbol.dispose]();
    this.#next = undefined;
    for (let count = 0; this.#left && count < most; count++) {
      const { done, value } = this.#left.next();
      if (done) this.#left = undefined;
      else this.#visit(value);
    }
    if (this.#left) this.#next = this.#clock.after(0, () => this.#run(sliceSize));
  }
}
