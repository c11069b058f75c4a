import type { Limits } from "../base/decision.ts";
import { SluiceError } from "../base/errors.ts";
import type { StreamName } from "../base/stream-name.ts";
import type { PlaceKeeper, Seated } from "./session.ts";

/**
 * How many viewers' sessions live in whose name: the user's, else the token's that the client brought, else the address's.
 * All that were let in count, with a limit or without, each in one name only; one that goes on to other streams counts on its
 * first. Looking and taking are one step, so two who come at once never get the same last place.
 */
export class Places implements PlaceKeeper {
  /** Keys are of a name on one stream, and of a name on all. */
  readonly #taken = new Map<string, number>();

  /** Takes a place for a session that begins. Throws "access.denied", with the limit in its words, when all are taken. */
  take({ identity, user }: Seated, limits: Limits | undefined): void {
    if (identity.type !== "viewer") return;
    if (limits) {
      const stream = limits.per === "stream" ? identity.stream : undefined;
      const taken = this.#taken.get(keyOf(identity, user, stream)) ?? 0;
      if (taken >= limits.sessions) throw new SluiceError("access.denied", words(identity, user, limits));
    }
    this.#count(identity, user, 1);
  }

  /** The session has another user's name from now on, also when that has too many. */
  move(session: Seated, user: string): void {
    if (session.user === user) return;
    this.free(session);
    session.user = user;
    this.take(session, undefined);
  }

  /** The session has ended. Call once for each that has a place. */
  free({ identity, user }: Seated): void {
    if (identity.type === "viewer") this.#count(identity, user, -1);
  }

  /** Names with a place: two for each, and one more for each stream that a name is on beside the first. */
  get size(): number {
    return this.#taken.size;
  }

  #count(identity: Seated["identity"], user: string, change: number): void {
    for (const key of [keyOf(identity, user, undefined), keyOf(identity, user, identity.stream)]) {
      const taken = (this.#taken.get(key) ?? 0) + change;
      if (taken > 0) this.#taken.set(key, taken);
      else this.#taken.delete(key);
    }
  }
}

type Name = "account" | "token" | "address";

function nameOf({ token, madeToken }: Seated["identity"], user: string): Name {
  if (user !== "") return "account";
  return token === "" || madeToken ? "address" : "token";
}

/** Streams have no control characters in their names, names of places no spaces: no key can look like another's. */
function keyOf(identity: Seated["identity"], user: string, stream: StreamName | undefined): string {
  const name = nameOf(identity, user);
  const { token, address } = identity;
  return `${stream ?? ""}\n${name} ${{ account: user, token, address }[name]}`;
}

function words(identity: Seated["identity"], user: string, { sessions, per }: Limits): string {
  const viewers = sessions === 1 ? "1 viewer" : `${sessions} viewers`;
  return `${viewers} at most for this ${nameOf(identity, user)}${per ? " on this stream" : ""}; close another one first`;
}
