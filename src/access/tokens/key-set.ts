import { messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Clock } from "../../base/time.ts";
import { flattenEntries, type KeyEntry } from "./key-entry.ts";
import { readKey, type TokenKey } from "./jwk.ts";
import { type Permissions, permissionsOf } from "./permissions.ts";
import { RemoteKeys } from "./remote-keys.ts";

/** More than anybody has; bounds what one bad token may cost. */
const mostKeys = 128;

/** All keys that count now: those of the configuration, and those behind its addresses. */
export class KeySet implements Disposable {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #onChange: () => void;
  #local: readonly TokenKey[] = [];
  readonly #remote = new Map<string, RemoteKeys>();
  /** An address may stand in several entries with different permissions. */
  #grants: readonly { readonly url: string; readonly permissions: Permissions }[] = [];
  #keys: readonly TokenKey[] = [];

  /** `onChange` is called when other keys count than before. */
  constructor(clock: Clock, log: Log, onChange: () => void) {
    this.#clock = clock;
    this.#log = log;
    this.#onChange = onChange;
  }

  /** True when nothing is configured: then no text is a token. */
  get empty(): boolean {
    return this.#local.length === 0 && this.#grants.length === 0;
  }

  /** Takes a list of entries in place of the one before. Addresses that stay keep their keys. A key that cannot be used is named in the log. */
  configure(entries: readonly KeyEntry[]): void {
    const flat = flattenEntries(entries);
    const urls = flat.flatMap(({ jwk, permissions }) =>
      typeof jwk === "string" ? [{ url: jwk, permissions: permissionsOf(permissions) }] : [],
    );
    for (const [url, source] of this.#remote) {
      if (urls.some((grant) => grant.url === url)) continue;
      source[Symbol.dispose]();
      this.#remote.delete(url);
    }
    this.#grants = urls;
    this.#local = flat.flatMap(({ jwk, permissions }, index) => {
      if (typeof jwk === "string") return [];
      try {
        return [readKey(jwk, permissionsOf(permissions))];
      } catch (error) {
        const name = typeof jwk["kid"] === "string" ? JSON.stringify(jwk["kid"]) : `${index + 1}`;
        this.#log.write("WARN", `Key ${name} of \`jwks\` cannot be used: ${messageOf(error)}`);
        return [];
      }
    });
    for (const { url } of urls) {
      if (this.#remote.has(url)) continue;
      this.#remote.set(url, new RemoteKeys({ url, clock: this.#clock, log: this.#log, onKeys: () => this.#gather() }));
    }
    this.#gather();
  }

  /** The keys that may have signed such a token: the one that it names, else all whose type fits the algorithm. */
  candidates(algorithm: string, kid: string | undefined): readonly TokenKey[] {
    const named = kid === undefined ? [] : this.#keys.filter((key) => key.kid === kid);
    return (named.length > 0 ? named : this.#keys).filter((key) => key.algorithms.includes(algorithm));
  }

  /** True if another look at the addresses could bring the key: it is not here, or none has arrived yet. */
  mayCome(kid: string | undefined): boolean {
    if (this.#remote.size === 0) return false;
    return kid === undefined ? this.#waiting() : !this.#keys.some((key) => key.kid === kid);
  }

  /** Looks at all addresses again, each at most once in some seconds; resolves when all have answered or failed. */
  async refresh(): Promise<void> {
    await Promise.all([...this.#remote.values()].map((source) => source.fresh()));
  }

  [Symbol.dispose](): void {
    for (const source of this.#remote.values()) source[Symbol.dispose]();
    this.#remote.clear();
  }

  #waiting(): boolean {
    return [...this.#remote.values()].some(({ jwks }) => jwks.length === 0);
  }

  #gather(): void {
    const remote = this.#grants.flatMap(({ url, permissions }) =>
      (this.#remote.get(url)?.jwks ?? []).flatMap((jwk) => {
        try {
          return [readKey(jwk, permissions)];
        } catch {
          // A public set has keys for other purposes too.
          return [];
        }
      }),
    );
    const all = [...this.#local, ...remote];
    if (all.length > mostKeys) this.#log.write("WARN", `\`jwks\` comes to ${all.length} keys; the first ${mostKeys} count`);
    this.#keys = all.slice(0, mostKeys);
    this.#onChange();
  }
}
