import { chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { DatabaseSync, SQLInputValue } from "node:sqlite";
import { Kysely, sql, type SqliteDatabase, SqliteDialect } from "kysely";
import { messageOf, SluiceError } from "../base/errors.ts";
import type { Database, Dialect } from "./database.ts";
import type { Tables } from "./tables.ts";

export const databaseFile = "sluice.db";

const dialect: Dialect = {
  begin: "BEGIN IMMEDIATE",
  beginReading: "BEGIN",
  integer: "INTEGER",
  text: "TEXT",
  key: "TEXT",
  serial: "INTEGER PRIMARY KEY AUTOINCREMENT",
  table: "STRICT",
  keyedTable: "STRICT, WITHOUT ROWID",
  async highestNumber(connection) {
    const { rows } = await sql<{ seq: number }>`SELECT seq FROM sqlite_sequence WHERE name = 'outbox'`.execute(connection);
    return rows[0]?.seq ?? 0;
  },
  async raiseNumber(connection, number) {
    if (number <= (await dialect.highestNumber(connection))) return;
    await sql`DELETE FROM sqlite_sequence WHERE name = 'outbox'`.execute(connection);
    await sql`INSERT INTO sqlite_sequence (name, seq) VALUES ('outbox', ${number})`.execute(connection);
  },
};

/** SQLite in a directory: one connection for everything. Throws `SluiceError` "config.invalid" naming the file. */
export function openSqlite(directory: string): Database {
  return sqliteOn(openDatabase(directory), join(directory, databaseFile));
}

/** The same on a database that is open. */
export function sqliteOn(database: DatabaseSync, label: string): Database {
  const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database: kyselyDatabase(database) }) });
  return {
    dialect,
    reader: db,
    writer: db,
    blocks: true,
    label,
    async close() {
      await db.destroy();
      // kysely closes a database only after its first query.
      if (database.isOpen) database.close();
    },
  };
}

/**
 * Opens `sluice.db` in a directory, which is made if it is not there. Each commit is on the disk when it returns
 * (`synchronous=FULL`), and only one process may have the file open. A damaged file is found here, and not when something is missed.
 * Throws `SluiceError` "config.invalid" naming the file.
 */
export function openDatabase(directory: string): DatabaseSync {
  const { DatabaseSync } = loadSqlite();
  const path = join(directory, databaseFile);
  let database: DatabaseSync | undefined;
  try {
    mkdirSync(directory, { recursive: true });
    database = new DatabaseSync(path);
    chmodSync(path, 0o600);
    // The order counts: exclusive locking before WAL keeps the WAL's index in memory, and the first write takes the lock.
    database.exec("PRAGMA busy_timeout=1000; PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;");
    database.exec("BEGIN EXCLUSIVE; COMMIT");
    const found = database.prepare("PRAGMA quick_check(1)").get()?.["quick_check"];
    if (found !== "ok") throw new Error(`database disk image is malformed (${String(found)})`);
    return database;
  } catch (error) {
    database?.close();
    throw new SluiceError("config.invalid", `${path} cannot be opened: ${reason(error)}`, { cause: error });
  }
}

function reason(error: unknown): string {
  const text = messageOf(error);
  if (/locked|busy/i.test(text)) return "another Sluice has it open; choose another directory with --data";
  if (/malformed|not a database/i.test(text)) {
    return `it is damaged (${text.replaceAll(/\s+/g, " ")}); put a backup in its place, or move it and the files beside it (-wal, -shm) away to begin with an empty store`;
  }
  return `${text}; choose another directory with --data`;
}

/** The shape of a database that kysely's SQLite dialect wants, over node:sqlite. */
function kyselyDatabase(database: DatabaseSync): SqliteDatabase {
  return {
    close: () => database.close(),
    prepare: (text) => {
      const statement = database.prepare(text);
      const bind = (parameters: readonly unknown[]): SQLInputValue[] => parameters as SQLInputValue[];
      return {
        reader: statement.columns().length > 0,
        all: (parameters) => statement.all(...bind(parameters)),
        run: (parameters) => statement.run(...bind(parameters)),
        iterate: (parameters) => statement.iterate(...bind(parameters)),
      };
    },
  };
}

/** Loads node:sqlite without the ExperimentalWarning that some versions of Node print when it is first loaded. */
function loadSqlite(): typeof import("node:sqlite") {
  const emit = process.emitWarning;
  const quiet = (...parameters: readonly unknown[]): void => {
    if (/SQLite/i.test(messageOf(parameters[0]))) return;
    Reflect.apply(emit, process, parameters);
  };
  process.emitWarning = quiet;
  try {
    return process.getBuiltinModule("node:sqlite");
  } finally {
    process.emitWarning = emit;
  }
}
