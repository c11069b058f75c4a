import { type Kysely, sql } from "kysely";
import type { Database } from "./database.ts";
import type { Tables } from "./tables.ts";

/** Part of a transaction, which is open on the connection that it gets. */
type Work<R> = (transaction: Kysely<Tables>) => Promise<R>;

type Waiting = {
  readonly work: Work<unknown>;
  /** It has a transaction of its own. */
  readonly alone: boolean;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
};

/** After a commit the disk is left alone for so many times as long as it took: it gets a fifth of the event loop at most. */
const restFactor = 4;
const mostRestMs = 100;

/**
 * All writing, one transaction after the other, and shared: whatever is asked for within one turn of the event loop is on the disk
 * together or not at all, in the order in which it was asked for. A commit of SQLite waits for the disk and blocks the event loop
 * meanwhile, so many small ones would hold up media; these come no faster than the disk allows. Dispose writes what still waits.
 */
export class GroupCommit implements AsyncDisposable {
  readonly #database: Pick<Database, "writer" | "dialect" | "blocks">;
  #waiting: Waiting[] = [];
  #planned = false;
  #restUntil = 0;
  #running: Promise<void> | undefined;

  constructor(database: Pick<Database, "writer" | "dialect" | "blocks">) {
    this.#database = database;
  }

  /** Resolves when the work is on the disk; rejects when its transaction failed, of whatever part. */
  run<R>(work: Work<R>): Promise<R> {
    return this.#add(work, false);
  }

  /** The same in a transaction that is shared with nobody: for what may be refused for its own fault. */
  alone<R>(work: Work<R>): Promise<R> {
    return this.#add(work, true);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    while (this.#running || this.#waiting.length > 0) {
      if (!this.#running) this.#start();
      await this.#running;
    }
  }

  #add<R>(work: Work<R>, alone: boolean): Promise<R> {
    return new Promise<R>((resolve, reject) => {
      this.#waiting.push({ work, alone, resolve: resolve as (value: unknown) => void, reject });
      this.#plan();
    });
  }

  /** The next transaction begins in another turn, so that what belongs together has come. */
  #plan(): void {
    if (this.#planned || this.#running || this.#waiting.length === 0) return;
    this.#planned = true;
    const rest = this.#restUntil - performance.now();
    if (rest > 0) setTimeout(() => this.#start(), rest);
    else setImmediate(() => this.#start());
  }

  #start(): void {
    this.#planned = false;
    if (this.#running || this.#waiting.length === 0) return;
    const first = this.#waiting.findIndex(({ alone }) => alone);
    const batch = this.#waiting.splice(0, first < 0 ? this.#waiting.length : Math.max(first, 1));
    this.#running = this.#commit(batch).finally(() => {
      this.#running = undefined;
      this.#plan();
    });
  }

  async #commit(batch: readonly Waiting[]): Promise<void> {
    const started = performance.now();
    try {
      const results = await this.#database.writer.connection().execute((connection) => this.#together(connection, batch));
      for (const [index, { resolve }] of batch.entries()) resolve(results[index]);
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
    const ended = performance.now();
    if (this.#database.blocks) this.#restUntil = ended + Math.min((ended - started) * restFactor, mostRestMs);
  }

  /**
   * One transaction by hand: SQLite itself takes back one that the disk refused, and kysely would then hide the reason
   * behind its own attempt to do so.
   */
  async #together(connection: Kysely<Tables>, batch: readonly Waiting[]): Promise<readonly unknown[]> {
    await sql.raw(this.#database.dialect.begin).execute(connection);
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
}
