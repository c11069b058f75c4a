import type { DatabaseSync } from "node:sqlite";
import { SluiceError } from "../base/errors.ts";

/** Steps of the tables, oldest first. A step that has been released is never changed: add another. */
const migrations: readonly { readonly name: string; readonly sql: string }[] = [
  {
    name: "config_change",
    sql: "CREATE TABLE config_change (key TEXT PRIMARY KEY, value TEXT NOT NULL, changed_at INTEGER NOT NULL) STRICT",
  },
  {
    name: "outbox",
    sql: `CREATE TABLE outbox (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      trigger_name TEXT NOT NULL,
      handler TEXT NOT NULL,
      order_key TEXT NOT NULL,
      payload TEXT NOT NULL,
      uuid TEXT NOT NULL,
      created_at INTEGER NOT NULL,
      attempts INTEGER NOT NULL DEFAULT 0,
      next_at INTEGER NOT NULL DEFAULT 0,
      state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'dead')),
      error TEXT NOT NULL DEFAULT ''
    ) STRICT;
    CREATE INDEX outbox_by_state ON outbox (state, id);
    CREATE TABLE open_session (id TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID`,
  },
  {
    name: "api_token",
    sql: `CREATE TABLE api_token (
      id TEXT PRIMARY KEY,
      name TEXT NOT NULL,
      hash TEXT NOT NULL UNIQUE,
      scope TEXT NOT NULL CHECK (scope IN ('read', 'operate', 'admin')),
      created_at INTEGER NOT NULL,
      expires_at INTEGER,
      last_used_at INTEGER
    ) STRICT, WITHOUT ROWID`,
  },
  {
    name: "operator_token",
    sql: `CREATE TABLE operator_token (
      id TEXT PRIMARY KEY,
      kind TEXT NOT NULL CHECK (kind IN ('push', 'view')),
      hash TEXT NOT NULL UNIQUE,
      hint TEXT NOT NULL,
      stream TEXT NOT NULL,
      spec TEXT NOT NULL,
      created_at INTEGER NOT NULL,
      uses INTEGER,
      not_before INTEGER,
      expires_at INTEGER,
      lifetime_ms INTEGER,
      used INTEGER NOT NULL,
      first_used_at INTEGER,
      bound_to TEXT,
      revoked_at INTEGER
    ) STRICT, WITHOUT ROWID`,
  },
];

/** Brings the tables to the newest form, each step in a transaction of its own. Throws "config.invalid" if they are of a newer Sluice. */
export function migrate(database: DatabaseSync, now: number): void {
  database.exec("CREATE TABLE IF NOT EXISTS migration (id INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT");
  const row = database.prepare("SELECT max(id) AS id FROM migration").get();
  const applied = typeof row?.["id"] === "number" ? row["id"] : 0;
  if (applied > migrations.length) {
    throw new SluiceError(
      "config.invalid",
      "the data directory was written by a newer Sluice; use that one, or another directory with --data",
    );
  }
  for (const [index, { name, sql }] of migrations.entries()) {
    if (index < applied) continue;
    database.exec("BEGIN IMMEDIATE");
    try {
      database.exec(sql);
      database.prepare("INSERT INTO migration (id, name, applied_at) VALUES (?, ?, ?)").run(index + 1, name, now);
      database.exec("COMMIT");
    } catch (error) {
      database.exec("ROLLBACK");
      throw error;
    }
  }
}
