import type { Clock } from "../../base/time.ts";

type Key = { letters: number; failingSince: number | undefined; readonly waiters: Set<() => void> };

/** When a letter has failed for so long, nobody waits for it any more: its handler is down. */
const patienceMs = 5000;

/** How many letters of each order key are on their way, so that what follows from them can wait for them. */
export class OrderKeys {
  readonly #clock: Clock;
  readonly #keys = new Map<string, Key>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  begin(name: string): void {
    const key = this.#keys.get(name);
    if (key) key.letters++;
    else this.#keys.set(name, { letters: 1, failingSince: undefined, waiters: new Set() });
  }

  /** A letter has arrived and will not come again, or is given up. */
  done(name: string): void {
    const key = this.#keys.get(name);
    if (!key) return;
    key.letters--;
    key.failingSince = undefined;
    if (key.letters > 0) return;
    this.#keys.delete(name);
    for (const resolve of key.waiters) resolve();
  }

  /** An attempt at a letter has failed. */
  failed(name: string): void {
    const key = this.#keys.get(name);
    if (key) key.failingSince ??= this.#clock.monotonic();
  }

  /** True while letters are on their way and their handler is not down. */
  pending(name: string): boolean {
    const key = this.#keys.get(name);
    return key !== undefined && (key.failingSince === undefined || this.#clock.monotonic() - key.failingSince < patienceMs);
  }

  /** Resolves when none is on its way any more, or after `limitMs`; at once when `pending` is false. */
  async settled(name: string, limitMs: number): Promise<void> {
    const key = this.#keys.get(name);
    if (!key || !this.pending(name)) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    key.waiters.add(resolve);
    const timer = this.#clock.after(limitMs, resolve);
    await promise;
    timer[Symbol.dispose]();
    key.waiters.delete(resolve);
  }
}
