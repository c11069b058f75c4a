import { createHash, randomBytes } from "node:crypto";
import { messageOf, SluiceError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Clock } from "../../base/time.ts";
import type { AccountScope } from "../../config/account.ts";
import type { ApiTokenRow, ApiTokenStore } from "../../store/api-tokens.ts";

/** What every token's text begins with, so that people and secret scanners see what it is. */
export const tokenPrefix = "sluice_";
/** The last use is written down at most so often. */
const usedEveryMs = 60_000;
const mostTokens = 10_000;

/** A token as it may be shown. Times are Unix milliseconds. */
export type ApiToken = Omit<ApiTokenRow, "hash">;

export type NewApiToken = { readonly name: string; readonly scope: AccountScope; readonly expiresAt?: number | undefined };

export type ApiTokensOptions = { readonly store: ApiTokenStore; readonly clock: Clock; readonly log: Log };

/**
 * The API's bearer tokens: 256 random bits each, kept as SHA-256 (a hash that is fast is enough for what nobody can guess). All are in
 * memory, so that a revoked one is refused from that moment on.
 */
export class ApiTokens {
  readonly #store: ApiTokenStore;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #byHash = new Map<string, ApiTokenRow>();
  #loaded: Promise<void> | undefined;

  constructor({ store, clock, log }: ApiTokensOptions) {
    this.#store = store;
    this.#clock = clock;
    this.#log = log;
  }

  /** In the order in which they were made, those that are over too. */
  async list(): Promise<readonly ApiToken[]> {
    await this.#load();
    return [...this.#byHash.values()].map(shown);
  }

  async get(id: string): Promise<ApiToken | undefined> {
    return (await this.list()).find((token) => token.id === id);
  }

  /** Makes a token; `text` is nowhere else from then on. */
  async create({ name, scope, expiresAt }: NewApiToken): Promise<{ readonly token: ApiToken; readonly text: string }> {
    await this.#load();
    if (this.#byHash.size >= mostTokens) throw new SluiceError("api.conflict", `There are ${mostTokens} tokens; revoke some first`);
    const text = `${tokenPrefix}${randomBytes(32).toString("base64url")}`;
    const row = { id: randomBytes(8).toString("hex"), name, hash: hashOf(text), scope, createdAt: this.#clock.now(), expiresAt };
    await this.#store.add(row);
    this.#byHash.set(row.hash, row);
    return { token: shown(row), text };
  }

  /** Refuses the token from now on; false when there is none. */
  async revoke(id: string): Promise<boolean> {
    await this.#load();
    const row = [...this.#byHash.values()].find((one) => one.id === id);
    if (!row) return false;
    await this.#store.remove(id);
    this.#byHash.delete(row.hash);
    return true;
  }

  /** The token with this text; undefined when there is none, or its time is over. */
  async verify(text: string): Promise<ApiToken | undefined> {
    await this.#load();
    const row = this.#byHash.get(hashOf(text));
    const now = this.#clock.now();
    if (!row || (row.expiresAt !== undefined && now >= row.expiresAt)) return undefined;
    if (now - (row.lastUsedAt ?? 0) >= usedEveryMs) {
      this.#byHash.set(row.hash, { ...row, lastUsedAt: now });
      this.#store.used(row.id, now).catch((error: unknown) => {
        this.#log.write("WARN", `The use of a token could not be written down: ${messageOf(error)}`);
      });
    }
    return shown(row);
  }

  #load(): Promise<void> {
    this.#loaded ??= this.#read().catch((error: unknown) => {
      this.#loaded = undefined;
      throw error;
    });
    return this.#loaded;
  }

  async #read(): Promise<void> {
    for (const row of await this.#store.read()) this.#byHash.set(row.hash, row);
  }
}

function shown({ hash: _hash, ...token }: ApiTokenRow): ApiToken {
  return token;
}

function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
