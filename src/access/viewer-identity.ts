import { identitySources } from "../base/session-identity.ts";
import type { AccessRequest } from "../sessions/access-request.ts";
import type { Identity, SessionSettings, SessionType } from "../sessions/session.ts";
import type { Stream } from "../streams/stream.ts";
import type { TokenVerifier } from "./tokens/verifier.ts";
import type { Visit } from "./visit.ts";

/** What the identity expression in force looks at beside what every identity has. */
type Needs = { readonly cookies: readonly string[]; readonly claims: boolean };

const nothing: Needs = { cookies: [], claims: false };

/** Makes identities of viewers' requests, with the cookies and claims that the settings ask for and no others. */
export class ViewerIdentities {
  readonly #settings: () => SessionSettings;
  readonly #tokens: TokenVerifier | undefined;
  #of: SessionSettings["sessionIdentity"];
  #needs = nothing;

  constructor(settings: () => SessionSettings, tokens: TokenVerifier | undefined) {
    this.#settings = settings;
    this.#tokens = tokens;
  }

  /** What tells clients apart that have the same token and address; empty where nothing else does. */
  mark({ cookies }: Pick<AccessRequest, "cookies">): string {
    const names = this.#read().cookies;
    return names.length === 0 ? "" : JSON.stringify(names.map((name) => cookies[name]));
  }

  /** The identity; a promise only where the token's claims are part of it. */
  of(visit: Visit, stream: Stream, type: SessionType): Identity | Promise<Identity> {
    const { request, host, token, madeToken } = visit;
    const { cookies: names, claims } = this.#read();
    const cookies = names
      .filter((name) => Object.hasOwn(request.cookies, name))
      .map((name) => [name, request.cookies[name] ?? ""] as const);
    const identity: Identity = {
      type,
      stream: stream.name,
      address: host,
      token,
      madeToken,
      protocol: request.protocol,
      url: request.url,
      ...(cookies.length > 0 && { cookies: Object.fromEntries(cookies) }),
    };
    return claims && type === "viewer" && !madeToken ? this.#withClaims(identity) : identity;
  }

  async #withClaims(identity: Identity): Promise<Identity> {
    const { stream, address, token } = identity;
    const shown = await this.#tokens?.verify(token, { permission: "output", stream, address });
    return shown?.kind === "valid" ? { ...identity, claims: shown.claims } : identity;
  }

  #read(): Needs {
    const of = this.#settings().sessionIdentity;
    if (of === this.#of) return this.#needs;
    const sources = (of ?? []).flatMap(identitySources);
    const cookies = sources.flatMap((source) => (source.kind === "cookie" ? [source.name] : []));
    this.#of = of;
    this.#needs = { cookies: [...new Set(cookies)], claims: sources.some(({ kind }) => kind === "claim") };
    return this.#needs;
  }
}
