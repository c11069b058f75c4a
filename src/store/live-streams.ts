import type { Kysely } from "kysely";
import type { SinceStore } from "../access/kept-since.ts";
import type { GroupCommit } from "./group-commit.ts";
import type { Tables } from "./tables.ts";

/** Names of one statement. */
const atOnce = 1000;

/** The table of streams that play, with the time since when. */
export function liveStreamsIn(db: Kysely<Tables>, commit: GroupCommit): SinceStore {
  return {
    async read() {
      const rows = await db.selectFrom("live_stream").selectAll().execute();
      return new Map(rows.map(({ name, since }) => [name, since]));
    },
    write: (name, since) =>
      commit.run(async (transaction) => {
        await transaction
          .insertInto("live_stream")
          .values({ name, since })
          .onConflict((conflict) => conflict.column("name").doUpdateSet({ since }))
          .execute();
      }),
    remove: (names) =>
      commit.run(async (transaction) => {
        for (let at = 0; at < names.length; at += atOnce) {
          await transaction
            .deleteFrom("live_stream")
            .where("name", "in", names.slice(at, at + atOnce))
            .execute();
        }
      }),
  };
}
