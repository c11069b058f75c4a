import type { ErrorDetails } from "../base/errors.ts";
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
  /** When it may again, monotonic milliseconds, and what it had watched; in the order of time. */
  readonly #kept = new Map<string, { readonly until: number; readonly watchedMs: number | undefined }>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  add(session: Seated): void {
    const key = keyOf(session);
    const now = this.#now();
    this.#kept.delete(key);
    this.#kept.set(key, { until: now + oustedMs, watchedMs: session.positionMs });
    for (const [other, { until }] of this.#kept) {
      if (now < until && this.#kept.size <= mostOusted) break;
      this.#kept.delete(other);
    }
  }

  /** What a refusal says when this session may not make others go yet; undefined: it may. Its player can end in order with that. */
  detailsOf(session: Seated): ErrorDetails | undefined {
    const kept = this.#kept.get(keyOf(session));
    const retryAfterMs = kept ? kept.until - this.#now() : 0;
    if (!kept || retryAfterMs <= 0) return undefined;
    return { retryAfterMs, ...(kept.watchedMs !== undefined && { watchedMs: kept.watchedMs }) };
  }

  get size(): number {
    return this.#kept.size;
  }
}

/** Streams and users have no line breaks. */
function keyOf({ id, identity, user }: Seated): string {
  return identity.madeToken ? `${user}\n${identity.address}\n${identity.protocol}\n${identity.stream}` : id;
}
