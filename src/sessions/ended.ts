import type { SessionEnd } from "./session.ts";

/** Ended sessions stay visible this long, in milliseconds. */
const memoryMs = 600_000;
const mostEnded = 20_000;

/** What is remembered of sessions that have ended: bounded in time and number, the oldest goes first. */
export class Ended {
  /** Those before `#first` are forgotten already. */
  #kept: { readonly at: number; readonly end: SessionEnd }[] = [];
  #first = 0;

  /** `at`: monotonic milliseconds, never less than the time before. */
  add(end: SessionEnd, at: number): void {
    this.#kept.push({ at, end });
    if (this.size > mostEnded) this.#forget(1);
  }

  /** The newest end of a session with this id. */
  find(id: string): SessionEnd | undefined {
    for (let index = this.#kept.length - 1; index >= this.#first; index--) {
      const end = this.#kept[index]?.end;
      if (end?.id === id) return end;
    }
    return undefined;
  }

  /** Oldest first. */
  list(): readonly SessionEnd[] {
    return this.#kept.slice(this.#first).map(({ end }) => end);
  }

  expire(now: number): void {
    let old = 0;
    while (old < this.size && now - (this.#kept[this.#first + old]?.at ?? now) >= memoryMs) old++;
    this.#forget(old);
  }

  get size(): number {
    return this.#kept.length - this.#first;
  }

  /** The list is made shorter when half of it is over: to move all of it each time would cost more than to end a session. */
  #forget(count: number): void {
    this.#first += count;
    if (this.#first * 2 <= this.#kept.length) return;
    this.#kept = this.#kept.slice(this.#first);
    this.#first = 0;
  }
}
