import type { Kysely } from "kysely";
import type { GroupCommit } from "./group-commit.ts";
import type { Tables } from "./tables.ts";

/** Settings that were changed while the server ran, by key; values are plain JSON. */
export interface ConfigChanges {
  read(): Promise<ReadonlyMap<string, unknown>>;
  /** All or none; on the disk when it resolves. */
  write(changes: ReadonlyMap<string, unknown>): Promise<void>;
}

/** The table of changed settings. */
export function configChangesIn(db: Kysely<Tables>, commit: GroupCommit, now: () => number): ConfigChanges {
  return {
    async read() {
      const rows = await db.selectFrom("config_change").select(["key", "value"]).orderBy("key").execute();
      return new Map(rows.map(({ key, value }) => [key, JSON.parse(value) as unknown]));
    },
    write: (changes) =>
      commit.alone(async (transaction) => {
        for (const [key, value] of changes) {
          const row = { value: JSON.stringify(value), changed_at: now() };
          await transaction
            .insertInto("config_change")
            .values({ key, ...row })
            .onConflict((conflict) => conflict.column("key").doUpdateSet(row))
            .execute();
        }
      }),
  };
}
