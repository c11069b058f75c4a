import type { Entry } from "./entry.ts";

/** Other names that one session may have; whoever brings more loses the oldest. */
const mostAliases = 8;

/**
 * The sessions that live, and the names by which they are found: the id that each began with, other ids that lead to the same
 * session (a renewed token, a user, another address), and what stays of an identity that roams. All names die with the session.
 */
export class Living {
  readonly #entries = new Map<string, Entry>();
  readonly #aliases = new Map<string, Entry>();
  readonly #roaming = new Map<string, Entry>();

  get(name: string): Entry | undefined {
    return this.#entries.get(name) ?? this.#aliases.get(name);
  }

  /** True for this very session, and not for a later one with its id. */
  has(entry: Entry): boolean {
    return this.#entries.get(entry.id) === entry;
  }

  add(entry: Entry): void {
    this.#entries.set(entry.id, entry);
  }

  /** Gives the session another name, if no other session has it. `lasting`: further names do not push it out. */
  alias(entry: Entry, name: string, lasting = false): void {
    if (this.get(name)) return;
    if (lasting) entry.lastingAlias = name;
    const aliases = [...entry.aliases, name];
    this.#aliases.set(name, entry);
    if (aliases.length > mostAliases) {
      const [oldest] = aliases.splice(aliases[0] === entry.lastingAlias ? 1 : 0, 1);
      if (oldest !== undefined) this.#aliases.delete(oldest);
    }
    entry.aliases = aliases;
  }

  /** The session is found by this from any address; undefined: it roams no more. */
  roam(entry: Entry, key: string | undefined): void {
    if (entry.roamingKey === key) return;
    if (entry.roamingKey !== undefined && this.#roaming.get(entry.roamingKey) === entry) this.#roaming.delete(entry.roamingKey);
    entry.roamingKey = key;
    if (key !== undefined) this.#roaming.set(key, entry);
  }

  /** False when nobody roams: then nobody needs to look. */
  get anyRoaming(): boolean {
    return this.#roaming.size > 0;
  }

  roaming(key: string | undefined): Entry | undefined {
    return key === undefined ? undefined : this.#roaming.get(key);
  }

  delete(entry: Entry): void {
    if (this.has(entry)) this.#entries.delete(entry.id);
    for (const alias of entry.aliases) this.#aliases.delete(alias);
    this.roam(entry, undefined);
  }

  /** Each session once. */
  values(): MapIterator<Entry> {
    return this.#entries.values();
  }

  /** All names, for tests of what is left behind. */
  get names(): number {
    return this.#entries.size + this.#aliases.size + this.#roaming.size;
  }
}
