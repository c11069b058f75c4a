import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Kysely, sql } from "kysely";
import { isSluiceError, messageOf, SluiceError } from "../base/errors.ts";
import { columns, faultOf, type TableName, tableNames } from "./columns.ts";
import type { Database } from "./database.ts";
import { checkTables } from "./migrations.ts";
import { isPostgresUrl } from "./place.ts";
import { databaseFile, openSqlite } from "./sqlite.ts";
import { openForWriting } from "./store.ts";
import type { Tables } from "./tables.ts";

/** The form of an export. A reader refuses what is newer than it knows. */
const version = 1;
/** Rows that are read or written at once: far below the values that a statement may have. */
const atOnce = 1000;

type Row = Readonly<Record<string, unknown>>;
/** Rows by table. */
export type Counts = Readonly<Record<string, number>>;
type Export = { readonly outboxNumber: number; readonly tables: Readonly<Record<string, readonly Row[]>> };

/** Tables whose names are only known while the program runs: kysely's types would ask for the one table. */
type AnyTables = Kysely<Record<string, Row>>;

/**
 * Writes all that a store holds as JSON, a row in each line, as it is at one moment. SQLite has to be free, PostgreSQL may be in use.
 * Tokens and passwords are in it as hashes only, but keys of streams and what handlers were sent as they are. Rejects with
 * "config.invalid" when there is no store at the place.
 */
export async function exportStore(
  place: string,
  write: (text: string) => void | Promise<void>,
  now: () => number = Date.now,
): Promise<Counts> {
  const database = await openForReading(place);
  try {
    return await database.reader.connection().execute(async (connection) => {
      await sql.raw(database.dialect.beginReading).execute(connection);
      try {
        const number = await database.dialect.highestNumber(connection);
        const head = { sluice: version, exportedAt: new Date(now()).toISOString(), outboxNumber: number };
        await write(`${JSON.stringify(head).slice(0, -1)},"tables":{`);
        const counts: Record<string, number> = {};
        for (const [index, table] of tableNames.entries()) {
          await write(`${index === 0 ? "" : ","}\n${JSON.stringify(table)}:[`);
          counts[table] = await writeRows(connection as unknown as AnyTables, table, write);
          await write("]");
        }
        await write("\n}}\n");
        return counts;
      } finally {
        await sql`ROLLBACK`.execute(connection);
      }
    });
  } finally {
    await database.close();
  }
}

/**
 * Reads an export into a store, all of it or nothing. The store has to be empty, unless `merge`: then what is there stays as it is, and
 * only what is missing is added. Resolves with what was added. Rejects with "input.invalid" naming what is wrong in the text, with
 * "config.invalid" when the store cannot be opened, with "api.conflict" when it is not empty.
 */
export async function importStore(place: string, text: string, { merge = false }: { readonly merge?: boolean } = {}): Promise<Counts> {
  const read = readExport(text);
  const database = await openForWriting(place);
  try {
    return await database.writer.connection().execute(async (connection) => {
      await sql.raw(database.dialect.begin).execute(connection);
      try {
        const counts = await writeExport(database, connection, read, merge);
        await sql`COMMIT`.execute(connection);
        return counts;
      } catch (error) {
        await sql`ROLLBACK`.execute(connection).catch(() => undefined);
        if (isSluiceError(error)) throw error;
        throw new SluiceError("input.invalid", `the export cannot be brought into ${database.label}: ${messageOf(error)}`, {
          cause: error,
        });
      }
    });
  } finally {
    await database.close();
  }
}

async function openForReading(place: string): Promise<Database> {
  let database: Database;
  if (isPostgresUrl(place)) database = await (await import("./postgres/postgres.ts")).openPostgresForReading(place);
  else {
    if (!existsSync(join(place, databaseFile))) throw new SluiceError("config.invalid", `there is no store of Sluice in ${place}`);
    database = openSqlite(place);
  }
  try {
    await checkTables(database);
    return database;
  } catch (error) {
    await database.close();
    throw error;
  }
}

async function writeRows(db: AnyTables, table: TableName, write: (text: string) => void | Promise<void>): Promise<number> {
  const names = Object.keys(columns[table]);
  const first = names[0] ?? "";
  let after: unknown;
  for (let count = 0; ; ) {
    let query = db.selectFrom(table).select(names);
    if (after !== undefined) query = query.where(first, ">", after);
    const rows: readonly Row[] = await query.orderBy(first).limit(atOnce).execute();
    if (rows.length > 0) await write(`${count === 0 ? "" : ","}\n${rows.map((row) => JSON.stringify(row)).join(",\n")}`);
    count += rows.length;
    if (rows.length < atOnce) return count;
    after = rows.at(-1)?.[first];
  }
}

async function writeExport({ dialect }: Database, connection: Kysely<Tables>, read: Export, merge: boolean): Promise<Counts> {
  const db = connection as unknown as AnyTables;
  const counts: Record<string, number> = {};
  for (const table of tableNames) {
    if (!merge && (await db.selectFrom(table).select(sql<number>`1`.as("one")).limit(1).execute()).length > 0)
      throw new SluiceError(
        "api.conflict",
        `the store is not empty (${table}); import into an empty one, or add what is missing with --merge`,
      );
  }
  for (const table of tableNames) {
    let rows = read.tables[table] ?? [];
    // Another store's letters have numbers that letters of this one may have, too.
    if (merge && table === "outbox") rows = (await missing(connection, rows)).map(({ id: _id, ...row }) => row);
    counts[table] = 0;
    for (let at = 0; at < rows.length; at += atOnce) {
      const values = rows.slice(at, at + atOnce);
      const insert = db.insertInto(table).values(values);
      const { numInsertedOrUpdatedRows = 0n } = await (merge
        ? insert.onConflict((conflict) => conflict.doNothing())
        : insert
      ).executeTakeFirst();
      counts[table] += Number(numInsertedOrUpdatedRows);
    }
  }
  const highest = (read.tables["outbox"] ?? []).reduce((most, { id }) => Math.max(most, Number(id)), read.outboxNumber);
  if (highest > 0) await dialect.raiseNumber(connection, highest);
  return counts;
}

/** Letters that are not there yet: the same notification to the same handler is the same letter. */
async function missing(connection: Kysely<Tables>, rows: readonly Row[]): Promise<readonly Row[]> {
  const there = await connection.selectFrom("outbox").select(["uuid", "handler"]).execute();
  const known = new Set(there.map(({ uuid, handler }) => `${uuid} ${handler}`));
  return rows.filter(({ uuid, handler }) => !known.has(`${String(uuid)} ${String(handler)}`));
}

/** Checks an export from its first value to its last. */
function readExport(text: string): Export {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new SluiceError("input.invalid", `this is no export of Sluice: it is not JSON (${messageOf(cause).slice(0, 200)})`, { cause });
  }
  if (!isObject(value) || !Number.isSafeInteger(value["sluice"]))
    throw new SluiceError("input.invalid", "this is no export of Sluice: `sluice export` writes one");
  if (Number(value["sluice"]) > version)
    throw new SluiceError(
      "input.invalid",
      `this export has version ${String(value["sluice"])}, and this Sluice knows ${version}; use a newer one`,
    );
  const { tables, outboxNumber = 0 } = value;
  if (!isObject(tables)) throw new SluiceError("input.invalid", "the export's `tables` must be an object");
  if (faultOf("integer", outboxNumber) !== undefined || Number(outboxNumber) < 0)
    throw new SluiceError("input.invalid", "the export's `outboxNumber` must be a whole number, not below 0");
  const known: Record<string, readonly Row[]> = {};
  for (const [name, rows] of Object.entries(tables)) {
    if (!Object.hasOwn(columns, name))
      throw new SluiceError("input.invalid", `the export has a table that this Sluice does not know: ${name.slice(0, 80)}`);
    if (!Array.isArray(rows)) throw new SluiceError("input.invalid", `the export's table ${name} must be a list of rows`);
    known[name] = rows.map((row, index) => checkedRow(name as TableName, row, index));
  }
  return { outboxNumber: Number(outboxNumber), tables: known };
}

function checkedRow(table: TableName, row: unknown, index: number): Row {
  const where = `row ${index + 1} of the export's table ${table}`;
  if (!isObject(row)) throw new SluiceError("input.invalid", `${where} must be an object`);
  const kinds = columns[table];
  const odd = Object.keys(row).find((name) => !Object.hasOwn(kinds, name));
  if (odd !== undefined) throw new SluiceError("input.invalid", `${where} has a field that this Sluice does not know: ${odd.slice(0, 80)}`);
  return Object.fromEntries(
    Object.entries(kinds).map(([name, kind]) => {
      const value = row[name] ?? null;
      const fault = faultOf(kind, value);
      if (fault !== undefined) throw new SluiceError("input.invalid", `${where}: ${name} ${fault}`);
      return [name, value];
    }),
  );
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
