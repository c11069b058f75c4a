import { chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { DatabaseSync, SQLInputValue } from "node:sqlite";
import type { SqliteDatabase } from "kysely";
import { messageOf, SluiceError } from "../base/errors.ts";

/**
 * Opens `sluice.db` in a directory, which is made if it is not there. Each commit is on the disk when it returns
 * (`synchronous=FULL`), and only one process may have the file open. Throws `SluiceError` "config.invalid" naming the directory.
 */
export function openDatabase(directory: string): DatabaseSync {
  const { DatabaseSync } = loadSqlite();
  const path = join(directory, "sluice.db");
  let database: DatabaseSync | undefined;
  try {
    mkdirSync(directory, { recursive: true });
    database = new DatabaseSync(path);
    chmodSync(path, 0o600);
    // The order counts: exclusive locking before WAL keeps the WAL's index in memory, and the first write takes the lock.
    database.exec("PRAGMA busy_timeout=1000; PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;");
    database.exec("BEGIN EXCLUSIVE; COMMIT");
    return database;
  } catch (error) {
    database?.close();
    throw new SluiceError("config.invalid", `${path} cannot be opened: ${reason(error)}; choose another directory with --data`, {
      cause: error,
    });
  }
}

function reason(error: unknown): string {
  const text = messageOf(error);
  return /locked|busy/i.test(text) ? "another Sluice has it open" : text;
}

/** The shape of a database that kysely's SQLite dialect wants, over node:sqlite. */
export function kyselyDatabase(database: DatabaseSync): SqliteDatabase {
  return {
    close: () => database.close(),
    prepare: (sql) => {
      const statement = database.prepare(sql);
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
