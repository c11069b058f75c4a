import { randomUUID } from "node:crypto";
import type { PostgresPool, PostgresPoolClient } from "kysely";
import pg from "pg";
import { SluiceError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { kyselyClient, openingError, wordsOf } from "./connection.ts";

/** "slui": the first half of the lock's key; the second is the schema, so that each may have a Sluice. */
const lockKey = 0x73_6c_75_69;
/** A server that was killed a moment ago may hold the lock a little longer. */
const lockWaitMs = 3000;
const lockEveryMs = 100;
/** Waits between attempts to come back. */
const firstWaitMs = 100;
const longestWaitMs = 5000;
/** So long after a loss work waits for the connection; then it is refused at once, until there is one. */
const patienceMs = 1000;

export type WriterOptions = {
  readonly settings: pg.ClientConfig;
  readonly label: string;
  readonly log: Log | undefined;
};

/** Somebody else holds the lock now. */
class LockTaken extends Error {}

/** Somebody else has held the lock since this writer lost it. */
class Superseded extends Error {}

/**
 * The one connection that writes. It holds the lock of the store, so that whatever is written on it is written by the only writer;
 * a lost connection loses the lock, and is looked for again until it is back or disposed. If another Sluice has had the store
 * meanwhile, this one writes nothing any more: what it holds in memory is older than what the other one has made of it.
 */
export class Writer implements PostgresPool {
  readonly options: object = {};
  readonly #settings: pg.ClientConfig;
  readonly #label: string;
  readonly #log: Log | undefined;
  /** Stands in the database while this writer is the latest. */
  readonly #owner = randomUUID();
  #client: pg.Client | undefined;
  #lostAt = 0;
  /** Why there is no connection, in words for who asks for one. */
  #why = "";
  #back = Promise.withResolvers<void>();
  /** True when the database answers, but belongs to another Sluice. */
  #taken = false;
  readonly #ended = new AbortController();

  constructor({ settings, label, log }: WriterOptions) {
    this.#settings = settings;
    this.#label = label;
    this.#log = log;
  }

  /** Connects and takes the lock. Rejects with "config.invalid". */
  async open(): Promise<void> {
    const until = performance.now() + lockWaitMs;
    for (;;) {
      try {
        this.#use(await this.#connect(true));
        return;
      } catch (error) {
        if (!(error instanceof LockTaken)) throw openingError(this.#label, error);
        if (performance.now() >= until) {
          const words = "another Sluice has it open; end that one, or give this one a database or a schema of its own";
          throw new SluiceError("config.invalid", `${this.#label} cannot be opened: ${words}`);
        }
      }
      await this.#pause(lockEveryMs);
    }
  }

  /** kysely's way to the connection. Rejects when there is none. */
  async connect(): Promise<PostgresPoolClient> {
    await this.#wait();
    const client = this.#client;
    if (!client) throw this.#refusal();
    return kyselyClient(
      client,
      (error) => this.#lose(client, error),
      () => undefined,
    );
  }

  /** To be awaited by who reads: rejects when the database is known not to answer, so that nobody waits for that in vain. */
  async answers(): Promise<void> {
    if (this.#taken) return;
    await this.#wait();
    if (!this.#client && !this.#taken) throw this.#refusal();
  }

  async end(): Promise<void> {
    this.#ended.abort();
    const client = this.#client;
    this.#client = undefined;
    this.#back.resolve();
    await client?.end().catch(() => undefined);
  }

  async #wait(): Promise<void> {
    if (this.#client || this.#taken) return;
    const left = this.#lostAt + patienceMs - performance.now();
    if (left > 0) await Promise.race([this.#back.promise, this.#pause(left)]);
  }

  #refusal(): SluiceError {
    return new SluiceError("server.failed", this.#ended.signal.aborted ? "the store is closed" : this.#why, {
      retryAfterMs: longestWaitMs,
    });
  }

  async #connect(first: boolean): Promise<pg.Client> {
    const client = new pg.Client(this.#settings);
    client.on("error", (error) => this.#lose(client, error));
    client.on("end", () => this.#lose(client, new Error("the connection was closed")));
    try {
      await client.connect();
      // A server that lost its power lets the lock go after half a minute. What was acknowledged has to be on the disk.
      await client.query("SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3");
      await client.query("SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'");
      const { rows } = await client.query("SELECT pg_try_advisory_lock($1, hashtext(coalesce(current_schema(), ''))) AS locked", [lockKey]);
      if (rows[0].locked !== true) throw new LockTaken();
      await this.#claim(client, first);
      return client;
    } catch (error) {
      await client.end().catch(() => undefined);
      throw error;
    }
  }

  async #claim(client: pg.Client, first: boolean): Promise<void> {
    if (first) {
      await client.query("CREATE TABLE IF NOT EXISTS writer (id integer PRIMARY KEY, owner text NOT NULL)");
      await client.query("INSERT INTO writer VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET owner = excluded.owner", [this.#owner]);
      return;
    }
    const { rows } = await client.query("SELECT owner FROM writer WHERE id = 1");
    if (rows[0]?.owner !== this.#owner) throw new Superseded();
  }

  #use(client: pg.Client): void {
    this.#client = client;
    this.#taken = false;
    this.#back.resolve();
  }

  #lose(client: pg.Client, error: unknown): void {
    if (this.#client !== client || this.#ended.signal.aborted) return;
    this.#client = undefined;
    this.#lostAt = performance.now();
    this.#back = Promise.withResolvers();
    this.#why = `the store cannot be reached (${wordsOf(error)})`;
    this.#log?.write(
      "ERROR",
      `The connection to the store is lost (${this.#label}: ${wordsOf(error)}): playing goes on; until it is back, nothing can be kept, and what has to be looked up in it is refused`,
    );
    client.end().catch(() => undefined);
    void this.#comeBack();
  }

  async #comeBack(): Promise<void> {
    for (let wait = firstWaitMs; !this.#ended.signal.aborted; wait = Math.min(wait * 2, longestWaitMs)) {
      await this.#pause(wait);
      if (this.#ended.signal.aborted) return;
      try {
        const client = await this.#connect(false);
        if (this.#ended.signal.aborted) return void client.end().catch(() => undefined);
        this.#use(client);
        const seconds = Math.round((performance.now() - this.#lostAt) / 1000);
        this.#log?.write("INFO", `The store is back after ${seconds} seconds (${this.#label})`);
        return;
      } catch (error) {
        if (error instanceof Superseded) {
          const words = "another Sluice has used the store meanwhile: this server writes nothing to it any more";
          this.#otherHas(words, "end one of the two servers, and start the other again");
          return;
        }
        if (!(error instanceof LockTaken)) this.#why = `the store cannot be reached (${wordsOf(error)})`;
        else if (performance.now() - this.#lostAt > lockWaitMs) {
          const words = "another connection holds the store's lock: until it is released, this server writes nothing to it";
          this.#otherHas(words, "it may be that of another Sluice, or the lost one, which PostgreSQL lets go after half a minute");
        }
      }
    }
  }

  #otherHas(words: string, advice: string): void {
    if (this.#why === words) return;
    this.#why = words;
    this.#taken = true;
    this.#back.resolve();
    this.#log?.write("ERROR", `While the connection was lost (${this.#label}), ${words}; playing goes on; ${advice}`);
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#ended.signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.#ended.signal.addEventListener("abort", done);
    });
  }
}
