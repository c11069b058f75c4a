import type { Kysely } from "kysely";
import type { SessionJournal } from "../access/told/session-journal.ts";
import type { GroupCommit } from "./group-commit.ts";
import type { Tables } from "./tables.ts";

/** Rows of one statement; SQLite takes 32,766 values, PostgreSQL 65,535. */
const mostRows = 1000;

/** The table of sessions that were not ended. */
export function openSessionsIn(db: Kysely<Tables>, commit: GroupCommit): SessionJournal {
  return {
    write: (records) =>
      commit.run(async (transaction) => {
        // What is written twice in one statement is an error to PostgreSQL.
        const rows = [...new Map(records.map(({ id, value }) => [id, { id, value }])).values()];
        for (let at = 0; at < rows.length; at += mostRows) {
          await transaction
            .insertInto("open_session")
            .values(rows.slice(at, at + mostRows))
            .onConflict((conflict) => conflict.column("id").doUpdateSet(({ ref }) => ({ value: ref("excluded.value") })))
            .execute();
        }
      }),
    remove: (id) =>
      commit.run(async (transaction) => {
        await transaction.deleteFrom("open_session").where("id", "=", id).execute();
      }),
    read: () => db.selectFrom("open_session").selectAll().orderBy("id").execute(),
  };
}
