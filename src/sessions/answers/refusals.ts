import { hash } from "node:crypto";
import { type ErrorDetails, SluiceError } from "../../base/errors.ts";
import type { StreamName } from "../../base/stream-name.ts";
import type { Traits } from "../pick.ts";
import type { Identity } from "../session.ts";

/** What is kept of a refused viewer: enough to refuse again, to say why and to be picked. */
export type Refusal = {
  /** The session's. It may be kept under other names of the session, too. */
  readonly id: string;
  readonly stream: StreamName;
  readonly address: string;
  readonly protocol: string;
  /** Not the token itself: tokens may be long. */
  readonly tokenMark: string;
  readonly user: string;
  readonly reason: string;
  /** Unix milliseconds. */
  readonly startedAt: number;
  /** Monotonic milliseconds. */
  readonly until: number;
  /** Monotonic milliseconds at which the client was told to try again. */
  readonly retryAt: number | undefined;
};

/** How a refused session had been watching. */
type Watched = { readonly positionMs: number; readonly until: number };

/** Milliseconds for which a client that was cut off is told so, that its player can end in order. */
const watchedMs = 30_000;

/**
 * Remembers who was refused, so that a no is not asked for again. Cheap on purpose: a few fields each, no timer,
 * and a bounded number with the oldest forgotten first, so that random tokens cannot fill the memory.
 */
export class Refusals {
  readonly #kept = new Map<string, Refusal>();
  readonly #watched = new Map<string, Watched>();
  readonly #most: number;

  constructor(most = 50_000) {
    this.#most = most;
  }

  /** `names`: the session's id, and other ids that lead to it. */
  add(names: readonly string[], identity: Identity, what: Omit<Refusal, "stream" | "address" | "protocol" | "tokenMark">): void {
    const { stream, address, protocol, token } = identity;
    const refusal = { ...what, stream, address, protocol, tokenMark: markOf(token) };
    for (const name of names) put(this.#kept, name, refusal, this.#most);
  }

  /** Remembers that a session had been let in before it was refused at `now` (monotonic ms). */
  cut(names: readonly string[], positionMs: number, now: number): void {
    for (const name of names) put(this.#watched, name, { positionMs, until: now + watchedMs }, this.#most);
  }

  /** The refusal that still holds at `now` (monotonic ms). */
  get(name: string, now: number): Refusal | undefined {
    return living(this.#kept, name, now);
  }

  /** What somebody is told who comes while a refusal holds. */
  errorOf(name: string, { reason, until, retryAt }: Refusal, now: number): SluiceError {
    const retryAfterMs = retryAt === undefined ? undefined : (retryAt > now ? retryAt : until) - now;
    return this.error(name, reason, retryAfterMs, now);
  }

  /** A no, with the end of what the client had been watching until shortly before. */
  error(name: string, reason: string, retryAfterMs: number | undefined, now: number): SluiceError {
    const watched = living(this.#watched, name, now);
    const details: ErrorDetails = {
      ...(retryAfterMs !== undefined && { retryAfterMs }),
      ...(watched && { watchedMs: watched.positionMs }),
    };
    return new SluiceError("access.denied", reason, details);
  }

  /** Drops what no longer holds, oldest first, until one is found that does; the rest waits for its turn or its `get`. */
  expire(now: number): void {
    expire(this.#kept, now);
    expire(this.#watched, now);
  }

  /** Forgets all refusals of who is picked. Gives the number of sessions. */
  forget(picked: (traits: Traits) => boolean): number {
    const sessions = new Set<Refusal>();
    for (const [name, kept] of this.#kept) {
      const { id, stream, address, user } = kept;
      if (!picked({ ids: [id, name], streams: [stream], addresses: [address], users: [user], tokens: [kept.tokenMark], tags: [] }))
        continue;
      this.#kept.delete(name);
      sessions.add(kept);
    }
    return sessions.size;
  }

  get size(): number {
    return this.#kept.size;
  }
}

/** By what the tokens of refused sessions are picked. */
export function markOf(token: string): string {
  return token === "" ? "" : hash("sha256", token, "base64url").slice(0, 16);
}

function put<T>(map: Map<string, T>, name: string, value: T, most: number): void {
  map.delete(name);
  map.set(name, value);
  if (map.size > most) for (const oldest of map.keys()) return void map.delete(oldest);
}

function living<T extends { readonly until: number }>(map: Map<string, T>, name: string, now: number): T | undefined {
  const kept = map.get(name);
  if (!kept || now < kept.until) return kept;
  map.delete(name);
  return undefined;
}

function expire(map: Map<string, { readonly until: number }>, now: number): void {
  for (const [name, kept] of map) {
    if (now < kept.until) return;
    map.delete(name);
  }
}
