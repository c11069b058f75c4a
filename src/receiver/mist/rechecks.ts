import type { Allow } from "../../base/decision.ts";
import { messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { type Clock, durationMs } from "../../base/time.ts";

/** A stream is not asked about more often than this. */
const leastMs = 5000;
/** Node's timers end here; whoever has more time is looked at again then. */
const mostMs = 2 ** 31 - 1;

/**
 * A MistServer knows no end of a yes. When the first one on a stream is over (`ttl`, `expiresAt`, `recheckEvery`), all of its viewers
 * are asked about again: a MistServer asks again for whole streams only. Dispose to end it.
 */
export class Rechecks implements Disposable {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #invalidate: (stream: string) => Promise<void>;
  readonly #due = new Map<string, { readonly at: number; readonly timer: Disposable }>();

  constructor(clock: Clock, log: Log, invalidate: (stream: string) => Promise<void>) {
    this.#clock = clock;
    this.#log = log;
    this.#invalidate = invalidate;
  }

  /** Sees to it that a yes ends when it says. */
  plan(stream: string, { ttl, recheckEvery, expiresAt }: Allow): void {
    const now = this.#clock.now();
    const ends = [ttl, recheckEvery].filter((span) => span !== undefined).map((span) => now + durationMs(span));
    if (expiresAt !== undefined) ends.push(expiresAt);
    if (ends.length > 0) this.#plan(stream, Math.max(Math.min(...ends), now + leastMs));
  }

  [Symbol.dispose](): void {
    for (const { timer } of this.#due.values()) timer[Symbol.dispose]();
    this.#due.clear();
  }

  #plan(stream: string, at: number): void {
    const due = this.#due.get(stream);
    if (due && due.at <= at) return;
    due?.timer[Symbol.dispose]();
    const timer = this.#clock.after(Math.min(at - this.#clock.now(), mostMs), () => void this.#ask(stream));
    this.#due.set(stream, { at, timer });
  }

  async #ask(stream: string): Promise<void> {
    this.#due.delete(stream);
    try {
      await this.#invalidate(stream);
    } catch (error) {
      this.#log.write("WARN", `${stream}: the viewers whose time is up could not be asked about again, and watch on: ${messageOf(error)}`);
      this.#plan(stream, this.#clock.now() + leastMs);
    }
  }
}
