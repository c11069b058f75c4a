import type { Kysely } from "kysely";
import type { SessionJournal } from "../access/told/session-journal.ts";
import type { GroupCommit } from "./group-commit.ts";
import type { Tables } from "./tables.ts";

/** Rows of one statement; SQLite takes 32,766 values. */
const mostRows = 1000;

/** The table of sessions that were not ended. */
export function openSessionsIn(db: Kysely<Tables>, commit: GroupCommit<Tables>): SessionJournal {
  return {
    write: (records) =>
      commit.run(async (transaction) => {
        for (let at = 0; at < records.length; at += mostRows) {
          await transaction
            .insertInto("open_session")
            .values(records.slice(at, at + mostRows).map(({ id, value }) => ({ id, value })))
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
