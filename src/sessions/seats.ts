import type { Identity, Seated } from "./session.ts";

/** A session that has a place, in the name that it had when it got it. */
export type Seat = {
  readonly session: Seated;
  readonly identity: Identity;
  readonly user: string;
  /** Rises with each session that is let in; a session that moves to another user keeps it. */
  readonly order: number;
  /** True when it has come here from another user: it may be older than those that came before it. */
  readonly moved: boolean;
};

/** Who somebody is, as far as places are concerned. */
export type Who = Pick<Seat, "identity" | "user">;

/** The name under which a session is counted; undefined: it is not. */
export type SeatKey = (who: Who) => string | undefined;

/** Seats by name. Most names have one seat, which then costs no set. */
export class SeatIndex {
  readonly #key: SeatKey;
  readonly #groups = new Map<string, Seat | Set<Seat>>();

  constructor(key: SeatKey, seats: Iterable<Seat> = []) {
    this.#key = key;
    for (const seat of seats) this.add(seat);
  }

  /** Names that have a seat. */
  get size(): number {
    return this.#groups.size;
  }

  /** All that are counted in the same name as this one; undefined when it is counted in none. */
  of(who: Who): ReadonlySet<Seat> | undefined {
    const key = this.#key(who);
    if (key === undefined) return undefined;
    const group = this.#groups.get(key);
    return group instanceof Set ? group : new Set(group && [group]);
  }

  add(seat: Seat): void {
    const key = this.#key(seat);
    if (key === undefined) return;
    const group = this.#groups.get(key);
    if (!group) this.#groups.set(key, seat);
    else if (group instanceof Set) group.add(seat);
    else this.#groups.set(key, new Set([group, seat]));
  }

  remove(seat: Seat): void {
    const key = this.#key(seat);
    if (key === undefined) return;
    const group = this.#groups.get(key);
    if (group instanceof Set) group.delete(seat);
    if (group === seat || (group instanceof Set && group.size === 0)) this.#groups.delete(key);
  }
}

/** Who has been there longest, of those that are not `without`. */
export function oldestSeat(seats: Iterable<Seat>, without: ReadonlySet<Seat>): Seat | undefined {
  let oldest: Seat | undefined;
  for (const seat of seats) if (!without.has(seat) && (!oldest || seat.order < oldest.order)) oldest = seat;
  return oldest;
}
