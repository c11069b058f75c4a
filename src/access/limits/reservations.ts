/** Rates are measured over so many whole seconds. */
const window = 5;
/** A promise is needed from the second in which it was made until the window has passed it; measurements are up to 2 seconds behind. */
const slots = 8;

/**
 * Bits per second that were promised to those who have just come in, and that the measurement over the last 5 seconds does not
 * show yet. Each second that it covers takes over a fifth. Negative: who was ended will be in the measurement a while longer.
 *
 *     promised in second s; the newest second that was measured:   s-1 -> 1    s -> 1    s+1 -> 4/5   ...   s+5 -> 0
 */
export class Reservations {
  readonly #bits = new Float64Array(slots);
  readonly #seconds = new Float64Array(slots).fill(-slots);

  /** Promises `bits` in second `second`; what is so long ago that it was measured does not count. */
  add(second: number, bits: number): void {
    const slot = second % slots;
    const known = this.#seconds[slot] ?? 0;
    if (known > second) return;
    if (known !== second) {
      this.#seconds[slot] = second;
      this.#bits[slot] = 0;
    }
    this.#bits[slot] = (this.#bits[slot] ?? 0) + bits;
  }

  /** What is still to be expected when `measured` is the newest second in the measurement. */
  at(measured: number): number {
    let sum = 0;
    for (let slot = 0; slot < slots; slot++) sum += (this.#bits[slot] ?? 0) * shareLeft(this.#seconds[slot] ?? 0, measured);
    return sum;
  }
}

/** The part of what began in `second` that a measurement up to `measured` does not have: 1 to 0. */
export function shareLeft(second: number, measured: number): number {
  return 1 - Math.min(window, Math.max(0, measured - second)) / window;
}
