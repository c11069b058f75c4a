import type { Seated } from "./session.ts";

/** Milliseconds for which a session that had to make room may not make others do so. */
const oustedMs = 30_000;
const mostOusted = 10_000;

/**
 * Sessions that were ended for a newer one. For 30 seconds they get in only where there is room: two players that both come back
 * by themselves would else throw each other out for ever. A client that carries no token has a new session each time; it is known
 * by its user, address, protocol and stream.
 */
export class Ousted {
  /** When it may again, monotonic milliseconds; in the order of time. */
  readonly #until = new Map<string, number>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  add(session: Seated): void {
    const key = keyOf(session);
    const now = this.#now();
    this.#until.delete(key);
    this.#until.set(key, now + oustedMs);
    for (const [other, until] of this.#until) {
      if (now < until && this.#until.size <= mostOusted) break;
      this.#until.delete(other);
    }
  }

  /** Milliseconds until this session may make others go; 0: it may. */
  waitOf(session: Seated): number {
    return Math.max(0, (this.#until.get(keyOf(session)) ?? 0) - this.#now());
  }

  get size(): number {
    return this.#until.size;
  }
}

/** Streams and users have no line breaks. */
function keyOf({ id, identity, user }: Seated): string {
  return identity.madeToken ? `${user}\n${identity.address}\n${identity.protocol}\n${identity.stream}` : id;
}
