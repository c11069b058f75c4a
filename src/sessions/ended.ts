import type { SessionEnd } from "./session.ts";

/** Ended sessions stay visible this long, in milliseconds. */
const memoryMs = 600_000;
const mostEnded = 20_000;

/** What is remembered of sessions that have ended: bounded in time and number, the oldest goes first. */
export class Ended {
  #kept: { readonly at: number; readonly end: SessionEnd }[] = [];

  /** `at`: monotonic milliseconds, never less than the time before. */
  add(end: SessionEnd, at: number): void {
    this.#kept.push({ at, end });
    if (this.#kept.length > mostEnded) this.#kept.shift();
  }

  /** The newest end of a session with this id. */
  find(id: string): SessionEnd | undefined {
    return this.#kept.findLast(({ end }) => end.id === id)?.end;
  }

  /** Oldest first. */
  list(): readonly SessionEnd[] {
    return this.#kept.map(({ end }) => end);
  }

  expire(now: number): void {
    const young = this.#kept.findIndex(({ at }) => now - at < memoryMs);
    if (young !== 0) this.#kept = young < 0 ? [] : this.#kept.slice(young);
  }

  get size(): number {
    return this.#kept.length;
  }
}
