import type { Limits } from "../base/decision.ts";
import { SluiceError } from "../base/errors.ts";
import { durationMs } from "../base/time.ts";
import { Ousted } from "./ousted.ts";
import { oldestSeat, type Seat, SeatIndex, type SeatKey, type Who } from "./seats.ts";
import type { EndSeated, Identity, PlaceKeeper, Seated } from "./session.ts";

/** Sessions that have to go for a newer one, and what they are told. */
export type Leaving = Map<Seat, SluiceError>;

/**
 * How many viewers' sessions live in whose name, and what answers to USER_NEW say about that. All that were let in count, with a
 * limit or without; one that goes on to other streams counts on its first. Looking and taking are one step, so two who come at
 * once never get the same last place. A kind of name is counted from the first limit on that asks for it.
 */
export class Places implements PlaceKeeper {
  readonly ousted: Ousted;
  readonly #seats = new Map<Seated, Seat>();
  readonly #indexes = new Map<string, SeatIndex>();
  #order = 0;
  #end: EndSeated = (session) => this.free(session);

  /** `now`: monotonic milliseconds. */
  constructor(now: () => number) {
    this.ousted = new Ousted(now);
  }

  bind(end: EndSeated): void {
    this.#end = end;
  }

  take(session: Seated, limits: Limits | readonly Limits[] | undefined): void {
    this.clear(this.leaving(session, limits));
    this.sit(session);
  }

  /**
   * Who has to go before this session can sit down; changes nothing. Throws "access.denied", with the limit in its words, when it
   * may not.
   */
  leaving(session: Seated, limits: Limits | readonly Limits[] | undefined): Leaving {
    const leaving: Leaving = new Map();
    if (session.identity.type !== "viewer" || !limits) return leaving;
    const list = Array.isArray(limits) ? (limits as readonly Limits[]) : [limits as Limits];
    const ending = list.filter(({ onReached }) => onReached === "end-oldest");
    for (const limit of ending) this.#makeRoom(session, limit, leaving);
    for (const limit of list) {
      const taken = this.#taken(session, limit, leaving);
      if (limit.onReached !== "end-oldest" && taken >= limit.sessions) throw refusal(session, limit);
    }
    return leaving;
  }

  /** Ends them. */
  clear(leaving: Leaving): void {
    for (const [{ session }, error] of leaving) {
      this.ousted.add(session);
      this.#end(session, error);
    }
  }

  /** Gives a session its seat; undefined for those that need none. */
  sit(session: Seated): Seat | undefined {
    const { identity, user } = session;
    return identity.type === "viewer" ? this.#put({ session, identity, user, order: this.#order++, moved: false }) : undefined;
  }

  move(session: Seated, user: string): void {
    if (session.user === user) return;
    const { order } = this.leave(session) ?? { order: this.#order++ };
    session.user = user;
    const { identity } = session;
    if (identity.type === "viewer") this.#put({ session, identity, user, order, moved: true });
  }

  free(session: Seated): void {
    this.leave(session);
  }

  /** Takes the seat away; undefined if it has none. */
  leave(session: Seated): Seat | undefined {
    const seat = this.#seats.get(session);
    if (!seat) return undefined;
    this.#seats.delete(session);
    for (const index of this.#indexes.values()) index.remove(seat);
    return seat;
  }

  seatOf(session: Seated): Seat | undefined {
    return this.#seats.get(session);
  }

  /** In the order in which they came, but for those that have moved. */
  seats(): Iterable<Seat> {
    return this.#seats.values();
  }

  get size(): number {
    return this.#seats.size;
  }

  /** Names with a seat, of all kinds that are counted. */
  get names(): number {
    return [...this.#indexes.values()].reduce((sum, index) => sum + index.size, 0);
  }

  #put(seat: Seat): Seat {
    this.#seats.set(seat.session, seat);
    for (const index of this.#indexes.values()) index.add(seat);
    return seat;
  }

  #makeRoom(session: Seated, limit: Limits, leaving: Leaving): void {
    const seats = this.#index(limit).of(session) ?? [];
    while (this.#taken(session, limit, leaving) >= limit.sessions) {
      const ousted = this.ousted.detailsOf(session);
      if (ousted) throw new SluiceError("access.denied", endWords(session, limit), ousted);
      const seat = oldestSeat(seats, new Set(leaving.keys()));
      if (!seat) throw refusal(session, limit);
      leaving.set(seat, new SluiceError("access.ended", endWords(seat, limit)));
    }
  }

  /** Places that are taken, without those of who leaves. */
  #taken(who: Who, limit: Limits, leaving: Leaving): number {
    const seats = this.#index(limit).of(who);
    if (!seats) return 0;
    let taken = seats.size;
    for (const seat of leaving.keys()) if (seats.has(seat)) taken--;
    return taken;
  }

  #index({ by, per }: Limits): SeatIndex {
    const name = `${by} ${per}`;
    let index = this.#indexes.get(name);
    if (!index) this.#indexes.set(name, (index = new SeatIndex(keyFor(by, per), this.#seats.values())));
    return index;
  }
}

type Name = "account" | "token" | "address";

/** The one name that a viewer has most right to. */
function nameOf({ identity: { token, madeToken }, user }: Who): Name {
  if (user !== "") return "account";
  return token === "" || madeToken ? "address" : "token";
}

/** Streams have no control characters in their names, names of places no spaces: no key can look like another's. */
function keyFor(by: Limits["by"], per: Limits["per"]): SeatKey {
  return (who) => {
    const name = by === undefined ? nameOf(who) : by === "user" ? "account" : by;
    const value = textOf(name, who.identity, who.user);
    return value === undefined ? undefined : `${per ? who.identity.stream : ""}\n${name} ${value}`;
  };
}

function textOf(name: Name, { token, madeToken, address }: Identity, user: string): string | undefined {
  if (name === "address") return address;
  if (name === "account") return user || undefined;
  return madeToken ? undefined : token || undefined;
}

function refusal(who: Who, limit: Limits): SluiceError {
  const { reason = `${mostWords(who, limit)}; close another one first`, retryAfter } = limit;
  return new SluiceError("access.denied", reason, { ...(retryAfter !== undefined && { retryAfterMs: durationMs(retryAfter) }) });
}

function endWords(who: Who, limit: Limits): string {
  return limit.reason ?? `${mostWords(who, limit)}; a newer one has taken this place`;
}

function mostWords(who: Who, { sessions, per, by }: Limits): string {
  const viewers = sessions === 1 ? "1 viewer" : `${sessions} viewers`;
  const name = by === undefined ? nameOf(who) : by === "user" ? "account" : by;
  return `${viewers} at most for this ${name}${per ? " on this stream" : ""}`;
}
