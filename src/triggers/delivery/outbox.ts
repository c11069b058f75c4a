import { messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Clock } from "../../base/time.ts";
import { createFailureLog } from "../failure/failures.ts";
import { Lanes, type Waiting } from "./lanes.ts";
import type { Letter, LetterQuery, LetterStore, NewLetter } from "./letter.ts";
import { OrderKeys } from "./order-keys.ts";

/** One attempt at a letter. `sequence` is undefined for a letter that the store could not keep. */
export type Delivery = NewLetter & { readonly sequence: number | undefined; readonly attempt: number };

/** Gives a letter to its handler; rejects when the handler did not take it, and with the signal's reason when that is aborted. */
export type Deliver = (delivery: Delivery, signal: AbortSignal) => Promise<void>;

export type OutboxLimits = {
  /** A letter is dead after so many attempts, */
  readonly attempts: number;
  /** or when it is so old, milliseconds. */
  readonly ageMs: number;
  /** Wait after the first failure; it doubles with each further one, */
  readonly firstWaitMs: number;
  /** up to this. Each wait is shortened by up to a half, by chance. */
  readonly longestWaitMs: number;
  /** Letters to one handler at the same time. */
  readonly concurrency: number;
  /** What all letters may take together. */
  readonly bytes: number;
  /** How long the end of the server waits for letters on their way. */
  readonly drainMs: number;
};

export const defaultOutboxLimits: OutboxLimits = {
  attempts: 500,
  ageMs: 3 * 86_400_000,
  firstWaitMs: 250,
  longestWaitMs: 600_000,
  concurrency: 16,
  bytes: 64 * 1024 * 1024,
  drainMs: 5000,
};

export type OutboxOptions = {
  readonly store: LetterStore;
  readonly clock: Clock;
  readonly log: Log;
  /** 0 to 1; for the jitter. */
  readonly random?: () => number;
  readonly limits?: Partial<OutboxLimits>;
};

export type OutboxStats = {
  readonly waiting: number;
  /** Letters that were given up. */
  readonly dead: number;
  /** Bytes of all letters, dead ones too. */
  readonly bytes: number;
  readonly delivered: number;
  /** Attempts that failed. */
  readonly failed: number;
  /** Letters that found no room. */
  readonly refused: number;
};

/** Notifications that have to arrive, over restarts of either side. */
export interface Outbox extends AsyncDisposable {
  /** Who delivers; to be said before `start`. */
  deliverBy(deliver: Deliver): void;
  /** Takes up what an earlier run has left, and begins to deliver. */
  start(): Promise<void>;
  /**
   * Takes a letter; what is sent within one turn of the event loop is kept together. Resolves when it is on the disk. When
   * the disk refuses it, it is delivered from memory, and an error is told once. Never rejects.
   */
  send(letter: NewLetter): Promise<void>;
  /** True while a letter with this order key is on its way and its handler is not down. */
  pending(orderKey: string): boolean;
  /** Resolves when none is on its way any more, or after `limitMs`; at once when `pending` is false. */
  settled(orderKey: string, limitMs: number): Promise<void>;
  list(query: LetterQuery): Promise<readonly Letter[]>;
  /** Tries a letter now, a dead one too, as if it were new; false if there is none with this number. */
  retry(id: number): Promise<boolean>;
  /** Throws a letter away; false if there is none with this number. */
  drop(id: number): Promise<boolean>;
  stats(): OutboxStats;
}

/** What a letter takes in the store beside its payload, about. */
const rowBytes = 300;
const storeRetryMs = 1000;

/** Makes the outbox of one server. */
export function createOutbox(options: OutboxOptions): Outbox {
  return new PostOffice(options);
}

class PostOffice implements Outbox {
  readonly #store: LetterStore;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #random: () => number;
  readonly #limits: OutboxLimits;
  readonly #lanes: Lanes;
  readonly #keys: OrderKeys;
  readonly #failures;
  readonly #closing = new AbortController();
  readonly #work = new Set<Promise<unknown>>();
  #deliver: Deliver = () => Promise.reject(new Error("nobody delivers"));
  #waitingBytes = 0;
  #waiting = 0;
  #dead = { letters: 0, bytes: 0 };
  #counts = { delivered: 0, failed: 0, refused: 0 };
  #storeFails = false;
  #full = false;

  constructor({ store, clock, log, random = Math.random, limits }: OutboxOptions) {
    this.#store = store;
    this.#clock = clock;
    this.#log = log;
    this.#random = random;
    this.#limits = { ...defaultOutboxLimits, ...limits };
    const { concurrency, longestWaitMs } = this.#limits;
    this.#lanes = new Lanes({ clock, concurrency, longestWaitMs, attempt: (letter) => this.#track(this.#attempt(letter)) });
    this.#keys = new OrderKeys(clock);
    this.#failures = createFailureLog(log, clock);
  }

  deliverBy(deliver: Deliver): void {
    this.#deliver = deliver;
  }

  async start(): Promise<void> {
    this.#dead = await this.#store.deadSize();
    const labels = await this.#store.waiting();
    for (const label of labels) this.#enter({ ...label, letter: undefined, ready: true });
    if (labels.length > 0) this.#log.write("INFO", `${labels.length} notifications of an earlier run wait for their handlers`);
  }

  send(letter: NewLetter): Promise<void> {
    const bytes = letter.payload.length + rowBytes;
    if (!this.#makeRoom(bytes)) return Promise.resolve();
    const { handler, orderKey, createdAt } = letter;
    const entry: Waiting = { id: undefined, letter, ready: false, attempts: 0, nextAt: createdAt, bytes, handler, orderKey };
    this.#enter(entry);
    return this.#track(
      this.#keep(entry, letter).then(() => {
        entry.ready = true;
        this.#lanes.changed(entry);
      }),
    );
  }

  pending(orderKey: string): boolean {
    return this.#keys.pending(orderKey);
  }

  settled(orderKey: string, limitMs: number): Promise<void> {
    return this.#keys.settled(orderKey, limitMs);
  }

  list(query: LetterQuery): Promise<readonly Letter[]> {
    return this.#store.list(query);
  }

  async retry(id: number): Promise<boolean> {
    const nextAt = this.#clock.now();
    const waiting = this.#lanes.find(id);
    if (waiting) {
      waiting.nextAt = nextAt;
      this.#lanes.changed(waiting);
      return true;
    }
    const letter = await this.#store.read(id);
    if (letter?.state !== "dead") return letter !== undefined;
    await this.#store.update(id, { attempts: 0, nextAt, state: "waiting", error: letter.error });
    const { handler, orderKey } = letter;
    const bytes = letter.payload.length + rowBytes;
    this.#buried(-1, -bytes);
    this.#enter({ id, letter: undefined, ready: true, attempts: 0, nextAt, bytes, handler, orderKey });
    return true;
  }

  async drop(id: number): Promise<boolean> {
    const waiting = this.#lanes.find(id);
    const letter = await this.#store.read(id);
    if (!letter) return false;
    await this.#store.remove(id);
    if (letter.state === "dead") this.#buried(-1, -(letter.payload.length + rowBytes));
    if (waiting) {
      this.#lanes.remove(waiting);
      this.#leave(waiting);
      this.#keys.done(waiting.orderKey);
    }
    return true;
  }

  stats(): OutboxStats {
    return { waiting: this.#waiting, dead: this.#dead.letters, bytes: this.#waitingBytes + this.#dead.bytes, ...this.#counts };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = this.#clock.after(this.#limits.drainMs, resolve);
    await Promise.race([this.#lanes.quiet(), late]);
    timer[Symbol.dispose]();
    this.#lanes.stop();
    this.#closing.abort(new Error("the server ends"));
    await Promise.all(this.#work);
    const unsaved = [...this.#lanes.letters()].filter(({ letter }) => letter);
    await Promise.all(unsaved.map((entry) => entry.letter && this.#keep(entry, entry.letter)));
    this.#failures[Symbol.dispose]();
  }

  #enter(entry: Waiting): void {
    this.#waiting++;
    this.#waitingBytes += entry.bytes;
    this.#keys.begin(entry.orderKey);
    this.#lanes.add(entry);
  }

  #leave(entry: Waiting): void {
    this.#waiting--;
    this.#waitingBytes -= entry.bytes;
  }

  #buried(letters: number, bytes: number): void {
    this.#dead = { letters: Math.max(0, this.#dead.letters + letters), bytes: Math.max(0, this.#dead.bytes + bytes) };
  }

  /** False when there is no room even without dead letters. */
  #makeRoom(bytes: number): boolean {
    const missing = this.#waitingBytes + this.#dead.bytes + bytes - this.#limits.bytes;
    if (missing <= 0) {
      this.#full = false;
      return true;
    }
    if (this.#dead.bytes >= missing) {
      this.#buried(0, -missing);
      const dropping = this.#store.dropDead(missing).then(
        (dropped) => {
          this.#buried(-dropped.letters, missing - dropped.bytes);
          this.#failures.report("dropped", `The outbox is full: ${dropped.letters} of the oldest dead notifications were dropped`);
        },
        (error: unknown) => this.#storeFailed(error),
      );
      void this.#track(dropping);
      return true;
    }
    this.#counts.refused++;
    if (!this.#full) {
      const words = `The outbox is full (${this.#limits.bytes} bytes of notifications that their handlers have not taken): new ones are lost until there is room`;
      this.#log.write("ERROR", words);
    }
    this.#full = true;
    return false;
  }

  /** Writes a letter to the store; leaves it in memory when that fails. */
  async #keep(entry: Waiting, letter: NewLetter): Promise<void> {
    try {
      entry.id = await this.#store.add(letter);
      entry.letter = undefined;
      this.#storeWorks();
    } catch (error) {
      this.#storeFailed(error);
    }
  }

  async #attempt(entry: Waiting): Promise<"delivered" | "dead" | "failed"> {
    const { id, orderKey } = entry;
    let letter = entry.letter;
    try {
      if (!letter && id !== undefined) letter = await this.#store.read(id);
    } catch (error) {
      // That is not the handler's fault, and no attempt at it.
      if (!this.#storeFails)
        this.#failures.report("unread", `A notification cannot be read from the store (${messageOf(error)}): it waits`);
      entry.nextAt = this.#clock.now() + storeRetryMs;
      return "failed";
    }
    let words = "";
    try {
      // Dropped meanwhile: that is as good as done.
      if (!letter) return "delivered";
      await this.#deliver({ ...letter, sequence: id, attempt: entry.attempts + 1 }, this.#closing.signal);
      this.#counts.delivered++;
      this.#leave(entry);
      void this.#forget(entry);
      return "delivered";
    } catch (error) {
      words = messageOf(error);
    }
    if (this.#closing.signal.aborted) return "failed";
    this.#counts.failed++;
    entry.attempts++;
    this.#keys.failed(orderKey);
    const { attempts } = entry;
    const now = this.#clock.now();
    const dead = attempts >= this.#limits.attempts || (letter !== undefined && now - letter.createdAt >= this.#limits.ageMs);
    entry.nextAt = now + this.#wait(attempts);
    if (entry.letter && !dead) await this.#keep(entry, entry.letter);
    if (entry.id !== undefined) {
      const outcome = { attempts, nextAt: entry.nextAt, state: dead ? "dead" : "waiting", error: words } as const;
      await this.#store.update(entry.id, outcome).then(
        () => this.#storeWorks(),
        (error: unknown) => this.#storeFailed(error),
      );
    }
    if (!dead) return "failed";
    this.#leave(entry);
    this.#keys.done(orderKey);
    if (entry.id !== undefined) this.#buried(1, entry.bytes);
    this.#failures.report(
      `dead ${entry.handler}`,
      `${letter?.trigger ?? "A notification"}: given up after ${attempts} attempts (${words}); it is kept: \`sluice outbox list\``,
    );
    return "dead";
  }

  /** Takes a delivered letter out of the store, sooner or later: while it is there, a restart would send it again. */
  async #forget({ id, orderKey }: Waiting): Promise<void> {
    for (let kept = id !== undefined; kept; ) {
      try {
        if (id !== undefined) await this.#track(this.#store.remove(id));
        kept = false;
        this.#storeWorks();
      } catch (error) {
        this.#storeFailed(error);
        if (this.#closing.signal.aborted) break;
        await new Promise<void>((resolve) => void this.#clock.after(storeRetryMs, resolve));
      }
    }
    this.#keys.done(orderKey);
  }

  #wait(attempts: number): number {
    const { firstWaitMs, longestWaitMs } = this.#limits;
    const whole = Math.min(longestWaitMs, firstWaitMs * 2 ** Math.min(attempts - 1, 40));
    return Math.round(whole * (1 - this.#random() / 2));
  }

  #storeFailed(error: unknown): void {
    if (this.#storeFails) return;
    this.#storeFails = true;
    const words = `Notifications cannot be kept (${messageOf(error)}): they are sent from memory, and what has not arrived is lost if the server ends`;
    this.#log.write("ERROR", words);
  }

  #storeWorks(): void {
    if (!this.#storeFails) return;
    this.#storeFails = false;
    this.#log.write("INFO", "Notifications can be kept again");
  }

  #track<T>(promise: Promise<T>): Promise<T> {
    this.#work.add(promise);
    const done = (): boolean => this.#work.delete(promise);
    promise.then(done, done);
    return promise;
  }
}
