import type { Kysely } from "kysely";
import type { Tables } from "./tables.ts";

/** Where SQLite and PostgreSQL differ in their words. What is not here is said in the same way to both. */
export type Dialect = {
  /** Begins a transaction that writes. */
  readonly begin: string;
  /** Begins one that sees the same rows from its first question to its last. */
  readonly beginReading: string;
  readonly integer: string;
  readonly text: string;
  /** A text that is ordered by its characters' numbers, whatever language the database is set to. */
  readonly key: string;
  /** The type of a number that the database gives, and never gives twice. */
  readonly serial: string;
  /** What stands behind a table, and behind one that is found by its own key only. */
  readonly table: string;
  readonly keyedTable: string;
  /** Sees to it that the outbox's next number is higher than this. */
  readonly raiseNumber: (connection: Kysely<Tables>, number: number) => Promise<void>;
  /** The highest number that the outbox has ever given; 0 for none. */
  readonly highestNumber: (connection: Kysely<Tables>) => Promise<number>;
};

/** A database that is open. The same queries run on both kinds. */
export type Database = {
  readonly dialect: Dialect;
  readonly reader: Kysely<Tables>;
  /** The one connection that writes; SQLite's reader is the same. */
  readonly writer: Kysely<Tables>;
  /** True if the event loop stands still while a commit waits for the disk. */
  readonly blocks: boolean;
  /** How it is called in messages; without a password. */
  readonly label: string;
  close(): Promise<void>;
};
