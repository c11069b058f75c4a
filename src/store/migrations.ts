import { type Kysely, sql } from "kysely";
import { SluiceError } from "../base/errors.ts";
import type { Database, Dialect } from "./database.ts";
import type { Tables } from "./tables.ts";

type Migration = { readonly name: string; readonly statements: (dialect: Dialect) => readonly string[] };

/** Steps of the tables, oldest first. A step that has been released is never changed: add another. */
const migrations: readonly Migration[] = [
  {
    name: "config_change",
    statements: ({ key, text, integer, table }) => [
      `CREATE TABLE config_change (key ${key} PRIMARY KEY, value ${text} NOT NULL, changed_at ${integer} NOT NULL) ${table}`,
    ],
  },
  {
    name: "outbox",
    statements: ({ serial, key, text, integer, table, keyedTable }) => [
      `CREATE TABLE outbox (
        id ${serial},
        trigger_name ${text} NOT NULL,
        handler ${text} NOT NULL,
        order_key ${text} NOT NULL,
        payload ${text} NOT NULL,
        uuid ${text} NOT NULL,
        created_at ${integer} NOT NULL,
        attempts ${integer} NOT NULL DEFAULT 0,
        next_at ${integer} NOT NULL DEFAULT 0,
        state ${text} NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'dead')),
        error ${text} NOT NULL DEFAULT ''
      ) ${table}`,
      "CREATE INDEX outbox_by_state ON outbox (state, id)",
      `CREATE TABLE open_session (id ${key} PRIMARY KEY, value ${text} NOT NULL) ${keyedTable}`,
    ],
  },
  {
    name: "api_token",
    statements: ({ key, text, integer, keyedTable }) => [
      `CREATE TABLE api_token (
        id ${key} PRIMARY KEY,
        name ${text} NOT NULL,
        hash ${text} NOT NULL UNIQUE,
        scope ${text} NOT NULL CHECK (scope IN ('read', 'operate', 'admin')),
        created_at ${integer} NOT NULL,
        expires_at ${integer},
        last_used_at ${integer}
      ) ${keyedTable}`,
    ],
  },
  {
    name: "operator_token",
    statements: ({ key, text, integer, keyedTable }) => [
      `CREATE TABLE operator_token (
        id ${key} PRIMARY KEY,
        kind ${text} NOT NULL CHECK (kind IN ('push', 'view')),
        hash ${text} NOT NULL UNIQUE,
        hint ${text} NOT NULL,
        stream ${text} NOT NULL,
        spec ${text} NOT NULL,
        created_at ${integer} NOT NULL,
        uses ${integer},
        not_before ${integer},
        expires_at ${integer},
        lifetime_ms ${integer},
        used ${integer} NOT NULL,
        first_used_at ${integer},
        bound_to ${text},
        revoked_at ${integer}
      ) ${keyedTable}`,
    ],
  },
  {
    name: "live_stream",
    statements: ({ key, integer, keyedTable }) => [
      `CREATE TABLE live_stream (name ${key} PRIMARY KEY, since ${integer} NOT NULL) ${keyedTable}`,
    ],
  },
];

/** Brings the tables to the newest form, each step in a transaction of its own. Rejects with "config.invalid" if they are of a newer Sluice. */
export async function migrate({ writer, dialect, label }: Database, now: number): Promise<void> {
  await writer.connection().execute(async (connection) => {
    const run = (words: string): Promise<unknown> => sql.raw(words).execute(connection);
    const { integer, text, table } = dialect;
    await run(
      `CREATE TABLE IF NOT EXISTS migration (id ${integer} PRIMARY KEY, name ${text} NOT NULL, applied_at ${integer} NOT NULL) ${table}`,
    );
    const applied = await appliedIn(connection);
    refuseNewer(applied, label);
    for (const [index, { name, statements }] of migrations.entries()) {
      if (index < applied) continue;
      await run(dialect.begin);
      try {
        for (const statement of statements(dialect)) await run(statement);
        await sql`INSERT INTO migration (id, name, applied_at) VALUES (${index + 1}, ${name}, ${now})`.execute(connection);
        await run("COMMIT");
      } catch (error) {
        await run("ROLLBACK").catch(() => undefined);
        throw error;
      }
    }
  });
}

/** For who only reads: rejects with "config.invalid" unless the tables are there in the form of this Sluice. */
export async function checkTables({ reader, label }: Database): Promise<void> {
  const applied = await appliedIn(reader).catch((cause: unknown) => {
    throw new SluiceError("config.invalid", `there is no store of Sluice in ${label}`, { cause });
  });
  refuseNewer(applied, label);
  if (applied < migrations.length)
    throw new SluiceError(
      "config.invalid",
      `${label} was written by an older Sluice; start the server once, so that it brings it up to date`,
    );
}

async function appliedIn(connection: Kysely<Tables>): Promise<number> {
  const { rows } = await sql<{ id: number | null }>`SELECT max(id) AS id FROM migration`.execute(connection);
  return rows[0]?.id ?? 0;
}

function refuseNewer(applied: number, label: string): void {
  if (applied <= migrations.length) return;
  throw new SluiceError("config.invalid", `${label} was written by a newer Sluice; use that one, or another store (--data, --store)`);
}
