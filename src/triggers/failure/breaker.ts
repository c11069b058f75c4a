import {
  type CircuitBreakerPolicy,
  CircuitState,
  ConsecutiveBreaker,
  CountBreaker,
  circuitBreaker,
  handleWhen,
  type IBackoff,
} from "cockatiel";
import type { Clock } from "../../base/time.ts";
import { HandlerFailure } from "../answer.ts";

/** When a handler is left alone, and for how long. */
export type BreakerOptions = {
  /** Failures one after the other that open it. */
  readonly failures: number;
  /** It opens, too, when more than this part (above 0, below 1) of the last 100 calls failed, but not before 20 calls. */
  readonly rate: number;
  /** Milliseconds before it is tried again; doubled each time that the try fails, up to `maxPauseMs`. */
  readonly pauseMs: number;
  readonly maxPauseMs: number;
};

/** Short enough for a handler that is restarted, long enough to spare one that is overloaded. */
export const defaultBreaker: BreakerOptions = { failures: 5, rate: 0.5, pauseMs: 5000, maxPauseMs: 30_000 };

/** "closed": calls pass; "open": none does; "half-open": one does, and what becomes of it decides. */
export type BreakerStatus = {
  readonly state: "closed" | "open" | "half-open";
  /** Unix milliseconds of the last change; undefined if there was none. */
  readonly since: number | undefined;
  /** Failures since the last success. */
  readonly failures: number;
};

export type BreakerEvents = {
  /** It has opened: it will not be asked for `pauseMs`. */
  readonly onOpen: (pauseMs: number, failures: number, error: unknown) => void;
  readonly onClose: () => void;
};

/**
 * Leaves a handler alone that fails again and again. The states are cockatiel's; the time is our clock's, so that neither
 * tests nor a clock that is set back disturb it, and who is refused costs neither a promise nor an error object.
 */
export class Breaker {
  readonly #clock: Clock;
  readonly #policy: CircuitBreakerPolicy;
  readonly #row: ConsecutiveBreaker;
  /** Monotonic milliseconds from which on a try is allowed. */
  #until = 0;
  #since: number | undefined;
  #failures = 0;
  /** Made once: it is what everybody gets while it is open. */
  readonly refusal = new HandlerFailure("it is left alone for a while, as it has failed again and again", { sort: "open" });

  constructor(options: BreakerOptions, clock: Clock, events: BreakerEvents) {
    this.#clock = clock;
    this.#row = new ConsecutiveBreaker(options.failures);
    const part = new CountBreaker({ threshold: options.rate, size: 100, minimumNumberOfCalls: 20 });
    let pauseMs = 0;
    // Cockatiel asks `Date.now() - opened < duration`; with this duration each call that we let through is a try.
    const pause = (ms: number): IBackoff<unknown> => {
      pauseMs = ms;
      this.#until = clock.monotonic() + ms;
      return { duration: Number.NEGATIVE_INFINITY, next: () => pause(Math.min(ms * 2, options.maxPauseMs)) };
    };
    const closed = (): boolean => this.#policy.state === CircuitState.Closed;
    this.#policy = circuitBreaker(
      // A try whose question became moot has proved nothing: then it counts, and the pause is held once more.
      handleWhen((error) => !closed() || countsAsFailure(error)),
      {
        halfOpenAfter: { next: () => pause(options.pauseMs) },
        breaker: {
          state: undefined,
          success: (state) => {
            this.#failures = 0;
            this.#row.success();
            part.success(state);
          },
          failure: (state) => {
            this.#failures++;
            const opens = [this.#row.failure(), part.failure(state)].includes(true);
            // Calls that began before it opened and fail now must not end the pause of a try.
            return opens && (state !== CircuitState.Closed || closed());
          },
        },
      },
    );
    this.#policy.onStateChange((state) => {
      this.#since = clock.now();
      if (state === CircuitState.Open) {
        const failure = this.#policy.lastFailure;
        events.onOpen(pauseMs, this.#failures, failure && "error" in failure ? failure.error : undefined);
      } else if (state === CircuitState.Closed) {
        events.onClose();
      }
    });
  }

  /** True while the handler is not to be asked. */
  get refuses(): boolean {
    const { state } = this.#policy;
    if (state === CircuitState.Closed) return false;
    return state !== CircuitState.Open || this.#clock.monotonic() < this.#until;
  }

  /** Runs a call and counts what becomes of it. Only while `refuses` is false. */
  run<T>(call: () => Promise<T>): Promise<T> {
    return this.#policy.execute(call);
  }

  status(): BreakerStatus {
    const { state } = this.#policy;
    const name = state === CircuitState.Closed ? "closed" : state === CircuitState.HalfOpen ? "half-open" : "open";
    return { state: name, since: this.#since, failures: this.#failures };
  }
}

/** The end of the server and a question that nobody has any more say nothing about the handler. */
function countsAsFailure(error: unknown): boolean {
  return !(error instanceof HandlerFailure && error.sort === "busy");
}
