import { hash } from "node:crypto";
import { compactVerify } from "jose";
import type { Log } from "../../base/log.ts";
import { streamName } from "../../base/stream-name.ts";
import type { Clock } from "../../base/time.ts";
import { checkClaims } from "./claims.ts";
import type { KeyEntry } from "./key-entry.ts";
import { KeySet } from "./key-set.ts";
import { type Jwt, looksLikeJwt, readJwt } from "./jwt.ts";
import type { TokenKey } from "./jwk.ts";
import type { Permissions } from "./permissions.ts";
import type { TokenUse, TokenVerdict, TokenVerifier } from "./verifier.ts";

/** Tokens whose signature is remembered; the one that was not shown for the longest time is forgotten first. */
const mostRemembered = 10_000;

/** The verifier with what its owner does with it. */
export interface OwnedTokenVerifier extends TokenVerifier, Disposable {
  /** Takes the setting `jwks` in place of the one before. */
  configure(entries: readonly KeyEntry[]): void;
  /** Signatures that were computed since the start, and tokens that are remembered now. */
  stats(): { readonly verifications: number; readonly remembered: number };
}

/** Checks tokens against the keys of the setting `jwks`. Dispose to end its looks at key servers. */
export function createTokenVerifier(options: {
  readonly clock: Clock;
  readonly log: Log;
  readonly jwks: readonly KeyEntry[];
}): OwnedTokenVerifier {
  const verifier = new CachedVerifier(options.clock, options.log);
  verifier.configure(options.jwks);
  return verifier;
}

/** What became of a signature; no grants: it is of no key that counts. `generation`: the keys that it was compared with. */
type Examined = { readonly claims: Jwt["claims"]; readonly grants: readonly Permissions[]; readonly generation: number };

class CachedVerifier implements OwnedTokenVerifier {
  readonly #clock: Clock;
  readonly #keys: KeySet;
  /** By the token's SHA-256, newest last; what is asked at the same time shares one answer. Holds only good ones once they are known. */
  readonly #signed = new Map<string, Promise<Examined>>();
  readonly #listeners = new Set<() => void>();
  /** Counts changes of the keys: an answer that was found with older ones is not used. */
  #generation = 0;
  #verifications = 0;

  constructor(clock: Clock, log: Log) {
    this.#clock = clock;
    this.#keys = new KeySet(clock, log, () => {
      this.#generation++;
      this.#signed.clear();
      for (const run of [...this.#listeners]) run();
    });
  }

  configure(entries: readonly KeyEntry[]): void {
    this.#keys.configure(entries);
  }

  async verify(token: string, use: TokenUse): Promise<TokenVerdict> {
    if (this.#keys.empty || !looksLikeJwt(token)) return { kind: "none" };
    const id = hash("sha256", token, "base64url");
    for (;;) {
      const found = this.#recall(id) ?? this.#examine(id, token);
      if (!found) return { kind: "none" };
      const { claims, grants, generation } = await found;
      if (generation !== this.#generation) continue;
      if (grants.length === 0) return { kind: "invalid", reason: "The token is not signed by a key that counts here." };
      return checkClaims(claims, grants, use, use.at ?? this.#clock.now());
    }
  }

  streamOf(name: string): string | undefined {
    if (this.#keys.empty || !looksLikeJwt(name)) return undefined;
    const sub = readJwt(name)?.claims["sub"];
    return typeof sub === "string" && !sub.includes("*") ? streamName(sub) || undefined : undefined;
  }

  onChange(run: () => void): Disposable {
    const own = (): void => run();
    this.#listeners.add(own);
    return { [Symbol.dispose]: () => void this.#listeners.delete(own) };
  }

  stats(): { readonly verifications: number; readonly remembered: number } {
    return { verifications: this.#verifications, remembered: this.#signed.size };
  }

  [Symbol.dispose](): void {
    this.#keys[Symbol.dispose]();
    this.#listeners.clear();
  }

  #recall(id: string): Promise<Examined> | undefined {
    const known = this.#signed.get(id);
    if (!known) return undefined;
    this.#signed.delete(id);
    this.#signed.set(id, known);
    return known;
  }

  /** Verifies a token that is not remembered; undefined when it is none. */
  #examine(id: string, token: string): Promise<Examined> | undefined {
    const jwt = readJwt(token);
    if (!jwt) return undefined;
    const found = this.#find(token, jwt);
    this.#remember(id, found);
    void found.then(({ grants, generation }) => {
      // Keys that came in between have made the map empty.
      if (generation === this.#generation && grants.length > 0) this.#remember(id, found);
      else if (this.#signed.get(id) === found) this.#signed.delete(id);
    });
    return found;
  }

  #remember(id: string, found: Promise<Examined>): void {
    this.#signed.delete(id);
    this.#signed.set(id, found);
    const [oldest] = this.#signed.keys();
    if (this.#signed.size > mostRemembered && oldest !== undefined) this.#signed.delete(oldest);
  }

  async #find(token: string, jwt: Jwt): Promise<Examined> {
    const found = await this.#tryKeys(token, jwt);
    if (found.grants.length > 0 || !this.#keys.mayCome(jwt.kid)) return found;
    await this.#keys.refresh();
    return found.generation === this.#generation ? found : await this.#tryKeys(token, jwt);
  }

  /** One key after the other. The same key in several entries is computed once, and has the permissions of all of them. */
  async #tryKeys(token: string, { algorithm, kid, claims }: Jwt): Promise<Examined> {
    const generation = this.#generation;
    const candidates = this.#keys.candidates(algorithm, kid);
    const tried = new Set<string>();
    for (const key of candidates) {
      if (tried.has(key.material)) continue;
      tried.add(key.material);
      if (!(await this.#signedBy(token, algorithm, key))) continue;
      const entries = candidates.filter(({ material }) => material === key.material);
      return { claims, grants: entries.map(({ permissions }) => permissions), generation };
    }
    return { claims, grants: [], generation };
  }

  async #signedBy(token: string, algorithm: string, { key }: TokenKey): Promise<boolean> {
    this.#verifications++;
    try {
      await compactVerify(token, key, { algorithms: [algorithm] });
      return true;
    } catch {
      // A wrong signature, or an extension (`crit`) that nobody here knows.
      return false;
    }
  }
}
