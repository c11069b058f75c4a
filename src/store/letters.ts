import { type Kysely, type Selectable, sql } from "kysely";
import type { Letter, LetterStore, LettersSize } from "../triggers/delivery/letter.ts";
import type { GroupCommit } from "./group-commit.ts";
import type { Tables } from "./tables.ts";

/** What a row takes beside its payload, about. */
const rowBytes = 300;
const bytesOf = sql<number>`length(payload) + ${sql.lit(rowBytes)}`;
const dropAtOnce = 100;

/** The outbox's table. Payloads count by their length in characters. */
export function lettersIn(db: Kysely<Tables>, commit: GroupCommit): LetterStore {
  return {
    add: ({ trigger, handler, orderKey, payload, uuid, createdAt }) =>
      commit.run(async (transaction) => {
        const row = { trigger_name: trigger, handler, order_key: orderKey, payload, uuid, created_at: createdAt, next_at: createdAt };
        const { id } = await transaction.insertInto("outbox").values(row).returning("id").executeTakeFirstOrThrow();
        return id;
      }),
    remove: (id) =>
      commit.run(async (transaction) => {
        await transaction.deleteFrom("outbox").where("id", "=", id).execute();
      }),
    update: (id, { attempts, nextAt, state, error }) =>
      commit.run(async (transaction) => {
        await transaction.updateTable("outbox").set({ attempts, next_at: nextAt, state, error }).where("id", "=", id).execute();
      }),
    async read(id) {
      const row = await db.selectFrom("outbox").selectAll().where("id", "=", id).executeTakeFirst();
      return row && letterOf(row);
    },
    async waiting() {
      const columns = ["id", "handler", "order_key as orderKey", "attempts", "next_at as nextAt", bytesOf.as("bytes")] as const;
      return db.selectFrom("outbox").select(columns).where("state", "=", "waiting").orderBy("id").execute();
    },
    async list({ state, after = 0, limit }) {
      let query = db.selectFrom("outbox").selectAll().where("id", ">", after);
      if (state) query = query.where("state", "=", state);
      return (await query.orderBy("id").limit(limit).execute()).map(letterOf);
    },
    async deadSize() {
      const row = await db
        .selectFrom("outbox")
        .select(({ fn }) => [fn.countAll<number>().as("letters"), sql<number>`coalesce(sum(${bytesOf}), 0)`.as("bytes")])
        .where("state", "=", "dead")
        .executeTakeFirstOrThrow();
      return { letters: row.letters, bytes: row.bytes };
    },
    dropDead: (bytes) =>
      commit.run(async (transaction) => {
        let dropped: LettersSize = { letters: 0, bytes: 0 };
        while (dropped.bytes < bytes) {
          const oldest = await transaction
            .selectFrom("outbox")
            .select(["id", bytesOf.as("bytes")])
            .where("state", "=", "dead")
            .orderBy("id")
            .limit(dropAtOnce)
            .execute();
          const ids: number[] = [];
          for (const row of oldest) {
            if (dropped.bytes >= bytes) break;
            ids.push(row.id);
            dropped = { letters: dropped.letters + 1, bytes: dropped.bytes + row.bytes };
          }
          if (ids.length === 0) break;
          await transaction.deleteFrom("outbox").where("id", "in", ids).execute();
        }
        return dropped;
      }),
  };
}

function letterOf(row: Selectable<Tables["outbox"]>): Letter {
  const { id, trigger_name: trigger, handler, order_key: orderKey, payload, uuid, created_at: createdAt } = row;
  return {
    id,
    trigger,
    handler,
    orderKey,
    payload,
    uuid,
    createdAt,
    attempts: row.attempts,
    nextAt: row.next_at,
    state: row.state,
    error: row.error,
  };
}
