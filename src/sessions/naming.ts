import { type IdentitySource, identitySources, type SessionIdentity } from "../base/session-identity.ts";
import { expressionId, identityPart, sessionId, sessionMode } from "./identity.ts";
import type { Identity, SessionSettings, SessionType } from "./session.ts";

/** Tokens of which the user is remembered. */
const mostUsers = 50_000;

type Expression = {
  readonly of: SessionIdentity;
  readonly parts: readonly (readonly IdentitySource[])[];
  /** True when somebody looks at the address, and at the user. */
  readonly byAddress: boolean;
  readonly byUser: boolean;
};

/** An id by an expression that asks for users: it holds for this user. */
type UserId = { readonly user: string; readonly id: string };

/**
 * Under which id a session is found: by the masks, or for viewers by the identity expression where one is set. Who passes the same
 * identity object again pays for no hash.
 */
export class Naming {
  readonly #settings: () => SessionSettings;
  /** By the rules in force: a text by itself where nobody asks for users. */
  #ids = new WeakMap<Identity, string | UserId>();
  readonly #rules = new Map<SessionType, number | Expression>();
  /** Users as answers have named them, by stream and token: a token that is good for one stream says nothing about another. */
  readonly #users = new Map<string, string>();
  #expression: Expression | undefined;

  constructor(settings: () => SessionSettings) {
    this.#settings = settings;
  }

  idOf(identity: Identity): string {
    const by = this.#rule(identity);
    const user = this.userOf(identity);
    if (this.#rules.get(identity.type) !== by) {
      this.#rules.set(identity.type, by);
      this.#ids = new WeakMap();
    }
    const known = this.#ids.get(identity);
    if (typeof known === "string") return known;
    if (known && known.user === user) return known.id;
    const id = typeof by === "number" ? sessionId(identity, by) : expressionId(identity, by.parts, user);
    this.#ids.set(identity, typeof by === "number" || !by.byUser ? id : { user, id });
    return id;
  }

  /** Who the viewer is, as an earlier answer about its token said; empty when nobody did or the identity does not ask. */
  userOf(identity: Identity): string {
    const rule = this.#rule(identity);
    if (typeof rule === "number" || !rule.byUser) return "";
    return this.#users.get(userKey(identity)) ?? "";
  }

  /** The id by which the session of this user would be found; undefined when the identity does not ask for users. */
  nameOf(identity: Identity, user: string | undefined): string | undefined {
    const rule = this.#rule(identity);
    return !user || typeof rule === "number" || !rule.byUser ? undefined : expressionId(identity, rule.parts, user);
  }

  /** An answer has named the viewer: remembers it. Gives the id by which the user's session is found; undefined when the identity does not ask for users. */
  named(identity: Identity, user: string | undefined): string | undefined {
    const rule = this.#rule(identity);
    if (!user || typeof rule === "number" || !rule.byUser) return undefined;
    const key = userKey(identity);
    this.#users.delete(key);
    this.#users.set(key, user);
    if (this.#users.size > mostUsers) for (const oldest of this.#users.keys()) return (this.#users.delete(oldest), this.idOf(identity));
    return this.idOf(identity);
  }

  /** What stays of the identity when its address changes; undefined when the address does not count anyway, or there is no token. */
  roamingId(identity: Identity): string | undefined {
    const rule = this.#rule(identity);
    if (identity.type !== "viewer" || identity.token === "") return undefined;
    if (typeof rule === "number")
      return rule & identityPart.address ? sessionId(identity, (rule & ~identityPart.address) | identityPart.token) : undefined;
    if (!rule.byAddress) return undefined;
    const parts = rule.parts.map((part) => part.filter(({ kind }) => kind !== "ip")).filter((part) => part.length > 0);
    return expressionId(identity, [...parts, [{ kind: "token" }]], this.userOf(identity));
  }

  #rule({ type }: Identity): number | Expression {
    const settings = this.#settings();
    const of = settings.sessionIdentity;
    if (type !== "viewer" || !of || of.length === 0) return sessionMode(type, settings);
    if (this.#expression?.of !== of) this.#expression = compile(of);
    return this.#expression;
  }
}

function compile(of: SessionIdentity): Expression {
  const parts = of.map(identitySources);
  const has = (wanted: string): boolean => parts.some((part) => part.some(({ kind }) => kind === wanted));
  return { of, parts, byAddress: has("ip"), byUser: has("user") };
}

/** Streams have no line breaks in their names. */
function userKey({ stream, token }: Identity): string {
  return `${stream}\n${token}`;
}
