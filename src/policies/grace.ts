/** Viewers of the past that are remembered. */
const mostPast = 50_000;

type Visit = { readonly keys: readonly string[]; readonly until: number };

/** Who has watched a moment ago, by everything that they may be known by, and until when they may come back: each visit once. */
export class Grace {
  readonly #visits = new Set<Visit>();
  /** By each of its keys. */
  readonly #known = new Map<string, Set<Visit>>();

  add(keys: readonly string[], until: number): void {
    const visit = { keys, until };
    this.#visits.add(visit);
    for (const key of keys) this.#known.set(key, (this.#known.get(key) ?? new Set()).add(visit));
    if (this.#visits.size > mostPast) for (const oldest of this.#visits) return this.#forget(oldest);
  }

  /** True if a visit that one of the keys is for may be gone on with; it is over then. */
  take(keys: readonly string[], now: number): boolean {
    for (const key of keys) {
      for (const visit of this.#known.get(key) ?? []) {
        this.#forget(visit);
        if (visit.until > now) return true;
      }
    }
    return false;
  }

  #forget(visit: Visit): void {
    this.#visits.delete(visit);
    for (const key of visit.keys) {
      const known = this.#known.get(key);
      if (known?.delete(visit) && known.size === 0) this.#known.delete(key);
    }
  }
}
