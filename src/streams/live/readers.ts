/**
 * What a cursor is to the list of those who wait. It doubles as the subscription that `onReadable` gives,
 * so that waiting allocates nothing.
 */
export interface Reader extends Disposable {
  /** Called once at the next wake; undefined when nobody waits. */
  run: (() => void) | undefined;
  /** True while the reader stands in the list. */
  listed: boolean;
}

/** A reader's reusable subscription. */
export class Waiting implements Reader {
  run: (() => void) | undefined = undefined;
  listed = false;

  [Symbol.dispose](): void {
    this.run = undefined;
  }
}

/**
 * Readers that wait for the next flush. `wake` is one pass over an array; who waits again during the pass is put into
 * the other array, for the next one.
 */
export class Readers {
  #waiting: (Reader | undefined)[] = [];
  #count = 0;
  #spare: (Reader | undefined)[] = [];
  readonly #onError: (error: unknown) => void;

  /** `onError` gets what a reader's `run` throws; the others go on. */
  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
  }

  /** How many stand in the list (those that no longer wait among them). */
  get size(): number {
    return this.#count;
  }

  wait(reader: Reader, run: () => void): void {
    reader.run = run;
    if (reader.listed) return;
    reader.listed = true;
    this.#waiting[this.#count++] = reader;
  }

  wake(): void {
    const readers = this.#waiting;
    const count = this.#count;
    this.#waiting = this.#spare;
    this.#count = 0;
    for (let i = 0; i < count; i++) {
      const reader = readers[i];
      readers[i] = undefined;
      if (!reader) continue;
      reader.listed = false;
      const run = reader.run;
      if (!run) continue;
      reader.run = undefined;
      try {
        run();
      } catch (error) {
        this.#onError(error);
      }
    }
    this.#spare = readers;
  }
}
