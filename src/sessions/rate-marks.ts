/** Rates are averages over this many seconds. */
const rateSeconds = 5;
/** Ticks that are remembered. */
export const rateMarks = rateSeconds + 1;
/** Of one session: its marks of what went up, and of what came down. */
const width = 2 * rateMarks;
/** Sessions of one block. */
const blockSessions = 1024;

/**
 * Where the counters of sessions stood at the last ticks, for their rates. One session has a slot while anything moves; who
 * watches nothing needs none. The slots of all sessions lie in blocks of fixed size, which are never given back.
 *
 *     slot:   [ up at tick 0 .. 5 | down at tick 0 .. 5 ]     tick t stands at t mod 6
 */
export class RateMarks {
  readonly #blocks: Float64Array[] = [];
  readonly #free: number[] = [];
  #next = 0;

  /** A slot in which the counters have stood still so far. */
  take(up: number, down: number): number {
    const slot = this.#free.pop() ?? this.#next++;
    if (slot % blockSessions === 0 && this.#blocks.length <= slot / blockSessions)
      this.#blocks.push(new Float64Array(blockSessions * width));
    const from = (slot % blockSessions) * width;
    this.#block(slot)
      .fill(up, from, from + rateMarks)
      .fill(down, from + rateMarks, from + width);
    return slot;
  }

  free(slot: number): void {
    this.#free.push(slot);
  }

  /** Notes the counters at tick number `tick`. True if they have not moved within the ticks that are remembered. */
  note(slot: number, tick: number, up: number, down: number): boolean {
    const block = this.#block(slot);
    const from = (slot % blockSessions) * width;
    block[from + (tick % rateMarks)] = up;
    block[from + rateMarks + (tick % rateMarks)] = down;
    const oldest = (tick + 1) % rateMarks;
    return block[from + oldest] === up && block[from + rateMarks + oldest] === down;
  }

  /** Bytes per second between the newest tick and the one 5 seconds before; `ticks`: how many there were. */
  up(slot: number, ticks: number): number {
    return this.#rate(slot, ticks, 0);
  }

  down(slot: number, ticks: number): number {
    return this.#rate(slot, ticks, rateMarks);
  }

  #rate(slot: number, ticks: number, of: number): number {
    const block = this.#block(slot);
    const from = (slot % blockSessions) * width + of;
    const newest = block[from + ((ticks - 1) % rateMarks)] ?? 0;
    if (ticks < rateMarks) return Math.round(newest / ticks);
    return Math.round((newest - (block[from + (ticks % rateMarks)] ?? 0)) / rateSeconds);
  }

  #block(slot: number): Float64Array {
    return this.#blocks[Math.floor(slot / blockSessions)] ?? new Float64Array(0);
  }
}
