import type { StreamName } from "../../base/stream-name.ts";
import type { Identity } from "../session.ts";

/** What is kept of a refused viewer: enough to refuse again and to say why. */
export type Refusal = {
  readonly id: string;
  readonly stream: StreamName;
  readonly address: string;
  readonly protocol: string;
  readonly reason: string;
  /** Unix milliseconds. */
  readonly startedAt: number;
  /** Monotonic milliseconds. */
  readonly until: number;
};

/**
 * Remembers who was refused, so that a no is not asked for again. Cheap on purpose: a few fields each, no timer,
 * and a bounded number with the oldest forgotten first, so that random tokens cannot fill the memory.
 */
export class Refusals {
  readonly #kept = new Map<string, Refusal>();
  readonly #most: number;

  constructor(most = 50_000) {
    this.#most = most;
  }

  add(id: string, identity: Identity, reason: string, startedAt: number, until: number): void {
    this.#kept.delete(id);
    this.#kept.set(id, { id, stream: identity.stream, address: identity.address, protocol: identity.protocol, reason, startedAt, until });
    if (this.#kept.size > this.#most) for (const oldest of this.#kept.keys()) return void this.#kept.delete(oldest);
  }

  /** The refusal that still holds at `now` (monotonic ms). */
  get(id: string, now: number): Refusal | undefined {
    const kept = this.#kept.get(id);
    if (!kept || now < kept.until) return kept;
    this.#kept.delete(id);
    return undefined;
  }

  /** Drops what no longer holds, oldest first, until one is found that does; the rest waits for its turn or its `get`. */
  expire(now: number): void {
    for (const [id, kept] of this.#kept) {
      if (now < kept.until) return;
      this.#kept.delete(id);
    }
  }

  /** Forgets all refusals for these streams. Gives their number. */
  forget(streams: ReadonlySet<StreamName>): number {
    let forgotten = 0;
    for (const [id, kept] of this.#kept) if (streams.has(kept.stream) && this.#kept.delete(id)) forgotten++;
    return forgotten;
  }

  get size(): number {
    return this.#kept.size;
  }
}
