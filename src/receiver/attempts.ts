import type { Clock } from "../base/time.ts";

/** How long an answer is known for further attempts of the same question; MistServer gives up after 25 s. */
const keptMs = 60_000;
/** Questions that are known at once. */
const mostKept = 10_000;

/**
 * A MistServer that waits for more than 5 s asks the same question again, up to five times. Here it is asked once: all attempts
 * get the one answer, so that a token with one use is not used up by its own retries.
 */
export class Attempts<T> {
  readonly #clock: Clock;
  readonly #known = new Map<string, { readonly answer: Promise<T>; readonly until: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The answer to the question with this key; `ask` gets it if it is not known. A question that failed is forgotten. */
  once(key: string, ask: () => Promise<T>): Promise<T> {
    const now = this.#clock.monotonic();
    this.#forget(now);
    const known = this.#known.get(key);
    if (known) return known.answer;
    const answer = ask();
    this.#known.set(key, { answer, until: now + keptMs });
    answer.catch(() => this.#known.delete(key));
    return answer;
  }

  /** They stand in the order in which they end. */
  #forget(now: number): void {
    for (const [key, { until }] of this.#known) {
      if (until > now && this.#known.size < mostKept) return;
      this.#known.delete(key);
    }
  }
}
