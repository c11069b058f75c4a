import { type Kysely, sql } from "kysely";

/** Part of a transaction, which is open on the connection that it gets. */
type Work<DB, R> = (transaction: Kysely<DB>) => Promise<R>;

type Waiting<DB> = {
  readonly work: Work<DB, unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
};

/** After a commit the disk is left alone for so many times as long as it took: it gets a fifth of the event loop at most. */
const restFactor = 4;
const mostRestMs = 100;

/**
 * Shares transactions: whatever is asked for within one turn of the event loop is on the disk together or not at all, in
 * the order in which it was asked for. A commit waits for the disk and blocks the event loop meanwhile, so many small ones would
 * hold up media; these come no faster than the disk allows. Dispose writes what still waits.
 */
export class GroupCommit<DB> implements AsyncDisposable {
  readonly #db: Kysely<DB>;
  #waiting: Waiting<DB>[] = [];
  #planned = false;
  #restUntil = 0;
  #running: Promise<void> = Promise.resolve();

  constructor(db: Kysely<DB>) {
    this.#db = db;
  }

  /** Resolves when the work is on the disk; rejects when its transaction failed, of whatever part. */
  run<R>(work: Work<DB, R>): Promise<R> {
    return new Promise<R>((resolve, reject) => {
      this.#waiting.push({ work, resolve: resolve as (value: unknown) => void, reject });
      if (this.#planned) return;
      this.#planned = true;
      const rest = this.#restUntil - performance.now();
      if (rest > 0) setTimeout(() => this.#start(), rest);
      else setImmediate(() => this.#start());
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    while (this.#waiting.length > 0) this.#start();
    await this.#running;
  }

  #start(): void {
    this.#planned = false;
    const batch = this.#waiting;
    this.#waiting = [];
    if (batch.length > 0) this.#running = this.#running.then(() => this.#commit(batch));
  }

  async #commit(batch: readonly Waiting<DB>[]): Promise<void> {
    const started = performance.now();
    try {
      const results = await this.#db.connection().execute((connection) => together(connection, batch));
      for (const [index, { resolve }] of batch.entries()) resolve(results[index]);
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
    const ended = performance.now();
    this.#restUntil = ended + Math.min((ended - started) * restFactor, mostRestMs);
  }
}

/**
 * One transaction by hand: SQLite itself takes back one that the disk refused, and kysely would then hide the reason
 * behind its own attempt to do so.
 */
async function together<DB>(connection: Kysely<DB>, batch: readonly Waiting<DB>[]): Promise<readonly unknown[]> {
  await sql`BEGIN IMMEDIATE`.execute(connection);
  try {
    const values: unknown[] = [];
    for (const { work } of batch) values.push(await work(connection));
    await sql`COMMIT`.execute(connection);
    return values;
  } catch (error) {
    await sql`ROLLBACK`.execute(connection).catch(() => undefined);
    throw error;
  }
}
