import type { StreamName } from "../base/stream-name.ts";

type Waiting = { readonly go: () => void };

/** Who waits to publish under names that others have, in the order in which they came. */
export class Vacancies {
  readonly #waiting = new Map<StreamName, Waiting[]>();

  /** Names that somebody waits for. */
  names(): Iterable<StreamName> {
    return this.#waiting.keys();
  }

  waits(name: StreamName): boolean {
    return this.#waiting.has(name);
  }

  /** Resolves when it is the caller's turn; at once when the name is not held and nobody waits for it. Rejects with the signal's reason. */
  next(name: StreamName, held: boolean, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason as Error);
    if (!held && !this.waits(name)) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const onGone = (): void => {
        this.#remove(name, waiting);
        reject(signal.reason as Error);
      };
      const waiting: Waiting = {
        go: () => {
          signal.removeEventListener("abort", onGone);
          this.#remove(name, waiting);
          resolve();
        },
      };
      signal.addEventListener("abort", onGone, { once: true });
      const others = this.#waiting.get(name) ?? [];
      this.#waiting.set(name, [...others, waiting]);
    });
  }

  /** Nobody has the name now: it is the turn of who has waited longest. */
  open(name: StreamName): void {
    this.#waiting.get(name)?.[0]?.go();
  }

  #remove(name: StreamName, waiting: Waiting): void {
    const left = (this.#waiting.get(name) ?? []).filter((other) => other !== waiting);
    if (left.length > 0) this.#waiting.set(name, left);
    else this.#waiting.delete(name);
  }
}
