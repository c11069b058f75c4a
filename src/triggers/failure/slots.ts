import type { Clock } from "../../base/time.ts";
import { HandlerFailure } from "../answer.ts";

export type SlotOptions = {
  /** Calls in flight at most. */
  readonly maxCalls: number;
  /** Milliseconds that a call waits for a free place. */
  readonly maxWaitMs: number;
};

/** More calls than this do not wait: who comes then has no chance to be served within the wait. */
const maxWaiting = 16_384;

type Waiter = { readonly go: () => void; readonly fail: (error: unknown) => void };

/** Places for calls in flight to one handler. Who finds none waits in line, first come, first served. */
export class Slots {
  readonly #options: SlotOptions;
  readonly #clock: Clock;
  /** In order of arrival; a set, so that who gives up leaves from the middle at no cost. */
  readonly #line = new Set<Waiter>();
  #inFlight = 0;

  constructor(options: SlotOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get waiting(): number {
    return this.#line.size;
  }

  /**
   * Takes a place; undefined when one was free, else a promise. `release` gives it back. Rejects with a `HandlerFailure`
   * "busy" when the wait is over or the line is too long, and with the reason of a signal that is aborted meanwhile.
   */
  take(signals: readonly AbortSignal[]): Promise<void> | undefined {
    if (this.#inFlight < this.#options.maxCalls) {
      this.#inFlight++;
      return undefined;
    }
    return new Promise((resolve, reject) => {
      if (this.#line.size >= maxWaiting) return reject(this.#busy(`${maxWaiting} others waited already`));
      const gone = signals.find((signal) => signal.aborted);
      if (gone) return reject(gone.reason);
      const leave = (): void => {
        this.#line.delete(waiter);
        timer[Symbol.dispose]();
        for (const signal of signals) signal.removeEventListener("abort", onAbort);
      };
      const waiter: Waiter = {
        go: () => {
          leave();
          resolve();
        },
        fail: (error) => {
          leave();
          reject(error);
        },
      };
      const onAbort = (event: Event): void => waiter.fail((event.target as AbortSignal).reason);
      const timer = this.#clock.after(this.#options.maxWaitMs, () =>
        waiter.fail(this.#busy(`no place was free within ${this.#options.maxWaitMs} ms`)),
      );
      for (const signal of signals) signal.addEventListener("abort", onAbort, { once: true });
      this.#line.add(waiter);
    });
  }

  /** Gives a place to the next in line. */
  release(): void {
    const [next] = this.#line;
    if (next) next.go();
    else this.#inFlight--;
  }

  #busy(why: string): HandlerFailure {
    return new HandlerFailure(`${this.#options.maxCalls} calls were in flight and ${why}`, { sort: "busy" });
  }
}
