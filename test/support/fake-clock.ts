import type { Clock } from "../../src/base/time.ts";

type Timer = { due: number; readonly run: () => void; readonly every: number | undefined };

/** A clock that stands still until a test moves it. Timers run in order of their time, inside `advance`. */
export class FakeClock implements Clock {
  #elapsed = 0;
  readonly #start: number;
  readonly #timers = new Set<Timer>();

  /** `start`: Unix milliseconds. */
  constructor(start = 1_795_361_000_000) {
    this.#start = start;
  }

  now(): number {
    return this.#start + this.#elapsed;
  }

  monotonic(): number {
    return this.#elapsed;
  }

  after(ms: number, run: () => void): Disposable {
    return this.#add({ due: this.#elapsed + ms, run, every: undefined });
  }

  every(ms: number, run: () => void): Disposable {
    return this.#add({ due: this.#elapsed + ms, run, every: ms });
  }

  /** Moves on by `ms`; promises that timers resolve get their turn between timers. */
  async advance(ms: number): Promise<void> {
    const until = this.#elapsed + ms;
    for (let next = this.#next(until); next; next = this.#next(until)) {
      this.#elapsed = Math.max(this.#elapsed, next.due);
      if (next.every === undefined) this.#timers.delete(next);
      else next.due += next.every;
      next.run();
      await settle();
    }
    this.#elapsed = until;
    await settle();
  }

  #add(timer: Timer): Disposable {
    this.#timers.add(timer);
    return { [Symbol.dispose]: () => void this.#timers.delete(timer) };
  }

  #next(until: number): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers) if (timer.due <= until && (!first || timer.due < first.due)) first = timer;
    return first;
  }
}

/** Lets everything that waits for resolved promises run. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
