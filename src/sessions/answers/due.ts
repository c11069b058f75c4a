/** Work that is due, done in its order and not all at once. */
export class Due<T> {
  readonly #waiting = new Set<T>();
  readonly #most: number;
  readonly #work: (item: T) => Promise<void>;
  #workers = 0;

  /** `work` must not reject; it runs for at most `most` items at the same time. */
  constructor(most: number, work: (item: T) => Promise<void>) {
    this.#most = most;
    this.#work = work;
  }

  add(item: T): void {
    this.#waiting.add(item);
    if (this.#workers < this.#most) void this.#run();
  }

  /** It is not due any more. */
  delete(item: T): void {
    this.#waiting.delete(item);
  }

  async #run(): Promise<void> {
    this.#workers++;
    // A set's iterator also finds what is added on the way.
    for (const item of this.#waiting) {
      this.#waiting.delete(item);
      await this.#work(item);
    }
    this.#workers--;
  }
}

/** Runs `work` for all items, at most `limit` at the same time. */
export async function atMost<T>(limit: number, items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let item = items[next++]; item !== undefined; item = items[next++]) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
}
