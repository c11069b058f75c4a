import type { Clock } from "../base/time.ts";

type Key = { letters: number; late: boolean; readonly waiters: Set<() => void> };

/** After so many failures of a letter, nobody waits for it any more: its handler is down. */
const patience = 3;

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
    else this.#keys.set(name, { letters: 1, late: false, waiters: new Set() });
  }

  /** A letter has arrived and will not come again, or is given up. */
  done(name: string): void {
    const key = this.#keys.get(name);
    if (!key) return;
    key.letters--;
    key.late = false;
    if (key.letters > 0) return;
    this.#keys.delete(name);
    for (const resolve of key.waiters) resolve();
  }

  failed(name: string, attempts: number): void {
    const key = this.#keys.get(name);
    if (!key || attempts < patience) return;
    key.late = true;
    for (const resolve of key.waiters) resolve();
  }

  pending(name: string): boolean {
    return this.#keys.get(name)?.late === false;
  }

  /** Resolves when `pending` is false, or after `limitMs`. */
  async settled(name: string, limitMs: number): Promise<void> {
    const key = this.#keys.get(name);
    if (!key || key.late) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    key.waiters.add(resolve);
    const timer = this.#clock.after(limitMs, resolve);
    await promise;
    timer[Symbol.dispose]();
    key.waiters.delete(resolve);
  }
}
