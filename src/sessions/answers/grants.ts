import type { Verdict } from "../../base/decision.ts";
import type { StreamName } from "../../base/stream-name.ts";
import type { Traits } from "../pick.ts";
import type { Identity } from "../session.ts";

/** An answer that holds for every session of one token, user or address on one stream. Times are monotonic milliseconds. */
export type Grant = {
  readonly stream: StreamName;
  readonly token: string;
  readonly address: string;
  readonly verdict: Verdict;
  /** When the answer came. */
  readonly at: number;
  /** From here on it is asked for again. */
  readonly freshUntil: number;
  /** From here on it holds no more. */
  readonly until: number;
  /** Under what it is found. */
  readonly keys: readonly string[];
  /** Sessions that live by it. */
  readonly holders: Set<string>;
  /** Set while one of its sessions asks for all of them. */
  question: Promise<Verdict> | undefined;
};

type Who = Pick<Identity, "stream" | "token" | "address">;

const mostGrants = 50_000;

/**
 * Answers with a scope. A yes without an end is kept as long as a session lives by it; the number is bounded, and the
 * oldest goes first. A user is found by the tokens under which the handlers have named them: who comes with a new token is asked about.
 */
export class Grants {
  readonly #kept = new Map<string, Grant>();
  readonly #most: number;

  constructor(most = mostGrants) {
    this.#most = most;
  }

  /** What holds for this client at `now`: a no before a yes, the newer yes before the older. */
  find(who: Who, user: string, now: number): Grant | undefined {
    let found: Grant | undefined;
    for (const key of [tokenKey(who), userTokenKey(who), addressKey(who), userKey(who, user)]) {
      const grant = key === undefined ? undefined : this.#kept.get(key);
      if (!grant) continue;
      if (now >= grant.until) this.#drop(grant);
      else if (grant.verdict.kind === "deny") return grant;
      else if (!found || grant.at > found.at) found = grant;
    }
    return found;
  }

  /** Keeps an answer in the place of an older one; undefined when it is for one session only, or for a token that there is not. */
  keep(who: Who, verdict: Verdict, life: Pick<Grant, "at" | "freshUntil" | "until">): Grant | undefined {
    const key = keyOf(who, verdict);
    if (key === undefined) return undefined;
    const before = this.#kept.get(key);
    if (before) this.#drop(before);
    const token = verdict.scope === "user" ? userTokenKey(who) : undefined;
    const keys = [...new Set([key, ...(before?.keys ?? []), ...(token === undefined ? [] : [token])])];
    const grant: Grant = {
      stream: who.stream,
      token: who.token,
      address: who.address,
      verdict,
      keys,
      ...life,
      holders: new Set(),
      question: undefined,
    };
    for (const one of keys) this.#kept.set(one, grant);
    if (this.#kept.size > this.#most) for (const oldest of this.#kept.values()) return (this.#drop(oldest), grant);
    return grant;
  }

  /** True if the answer is for this client, too. */
  covers(grant: Grant, who: Who, user: string): boolean {
    const keys = [tokenKey(who), userTokenKey(who), addressKey(who), userKey(who, user)];
    return keys.some((key) => key !== undefined && grant.keys.includes(key));
  }

  hold(grant: Grant, id: string): void {
    grant.holders.add(id);
  }

  /** A session lives by this answer no more. */
  release(grant: Grant, id: string): void {
    grant.holders.delete(id);
    if (grant.holders.size === 0 && grant.until === Number.POSITIVE_INFINITY) this.#drop(grant);
  }

  /** Forgets the answers that were given to somebody who is picked. */
  forget(picked: (traits: Traits) => boolean): void {
    for (const grant of new Set(this.#kept.values())) {
      const { stream, token, address, verdict } = grant;
      const who = { streams: [stream], tokens: [token], addresses: [address], users: [verdict.user ?? ""] };
      if (picked({ ...who, ids: [...grant.holders], tags: [] })) this.#drop(grant);
    }
  }

  expire(now: number): void {
    for (const grant of new Set(this.#kept.values())) if (now >= grant.until) this.#drop(grant);
  }

  get size(): number {
    return this.#kept.size;
  }

  #drop(grant: Grant): void {
    for (const key of grant.keys) if (this.#kept.get(key) === grant) this.#kept.delete(key);
  }
}

function keyOf(who: Who, { scope, user }: Verdict): string | undefined {
  switch (scope) {
    case "token":
      return tokenKey(who);
    case "user":
      return userKey(who, user ?? "");
    case "address":
      return addressKey(who);
    default:
      return undefined;
  }
}

/* A stream's name may have spaces but no line break, so that no token can reach into the name of another stream. */

function tokenKey({ stream, token }: Who): string | undefined {
  return token === "" ? undefined : `token\n${stream}\n${token}`;
}

function userTokenKey({ stream, token }: Who): string | undefined {
  return token === "" ? undefined : `token of user\n${stream}\n${token}`;
}

function addressKey({ stream, address }: Who): string {
  return `address\n${stream}\n${address}`;
}

function userKey({ stream }: Who, user: string): string | undefined {
  return user === "" ? undefined : `user\n${stream}\n${user}`;
}
