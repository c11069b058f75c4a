import { createHash, randomBytes, randomInt } from "node:crypto";
import { type Kysely, type Selectable, sql } from "kysely";
import type { GroupCommit } from "./group-commit.ts";
import type { Tables } from "./tables.ts";
import type { TokenBook, TokenRecord, TokenSpec } from "./token-book.ts";

/** Letters and digits that survive every URL and stream name; their number divides 256, so that all are equally likely. */
const alphabet = "abcdefghijklmnopqrstuvwxyz234567";
const usualLength = 32;
const shortLength = 24;
const hintLength = 4;

type Row = Selectable<Tables["operator_token"]>;

/** The table of the operator's tokens. Uses are counted by the database, so that of many who come at once no more get in than may. */
export function operatorTokensIn(db: Kysely<Tables>, commit: GroupCommit, now: () => number): TokenBook {
  const listeners = new Set<(record: TokenRecord) => void>();
  const read = async (id: string): Promise<TokenRecord | undefined> => {
    const row = await db.selectFrom("operator_token").selectAll().where("id", "=", id).executeTakeFirst();
    return row && recordOf(row);
  };
  return {
    async create({ short = false, ...spec }) {
      const token = Array.from(randomBytes(short ? shortLength : usualLength), (byte) => alphabet[byte & 31]).join("");
      const row = {
        // Ids rise with time, so that a list has an order; the end keeps two of one moment apart.
        id: `${now().toString(36).padStart(9, "0")}${randomInt(36 ** 5)
          .toString(36)
          .padStart(5, "0")}`,
        kind: spec.kind,
        hash: hashOf(token),
        hint: token.slice(0, hintLength),
        stream: spec.stream,
        spec: JSON.stringify(spec),
        created_at: now(),
        uses: spec.uses ?? null,
        not_before: spec.notBefore ?? null,
        expires_at: spec.expiresAt ?? null,
        lifetime_ms: spec.lifetimeMs ?? null,
        used: 0,
        first_used_at: null,
        bound_to: null,
        revoked_at: null,
      };
      await commit.run((transaction) => transaction.insertInto("operator_token").values(row).execute());
      return { token, record: recordOf(row) };
    },
    async find(kind, token) {
      const row = await db
        .selectFrom("operator_token")
        .selectAll()
        .where("hash", "=", hashOf(token))
        .where("kind", "=", kind)
        .executeTakeFirst();
      return row && recordOf(row);
    },
    get: read,
    async list({ kind, stream, after = "", limit }) {
      let query = db.selectFrom("operator_token").selectAll().where("id", ">", after);
      if (kind) query = query.where("kind", "=", kind);
      if (stream !== undefined) query = query.where("stream", "=", stream);
      return (await query.orderBy("id").limit(limit).execute()).map(recordOf);
    },
    use: (id, at) =>
      commit.run(async (transaction) => {
        const { numUpdatedRows } = await transaction
          .updateTable("operator_token")
          .set({ used: sql<number>`used + 1`, first_used_at: sql<number>`coalesce(first_used_at, ${at})` })
          .where("id", "=", id)
          .where("revoked_at", "is", null)
          .where(sql<boolean>`(uses IS NULL OR used < uses)`)
          .where(sql<boolean>`(not_before IS NULL OR not_before <= ${at})`)
          .where(sql<boolean>`(expires_at IS NULL OR expires_at > ${at})`)
          .where(sql<boolean>`(lifetime_ms IS NULL OR first_used_at IS NULL OR first_used_at + lifetime_ms > ${at})`)
          .executeTakeFirst();
        return numUpdatedRows > 0n;
      }),
    giveBack: (id) =>
      commit.run(async (transaction) => {
        await transaction
          .updateTable("operator_token")
          .set({ used: sql<number>`used - 1` })
          .where("id", "=", id)
          .where("used", ">", 0)
          .execute();
      }),
    bind: (id, to) =>
      commit.run(async (transaction) => {
        await transaction.updateTable("operator_token").set({ bound_to: to }).where("id", "=", id).where("bound_to", "is", null).execute();
        const row = await transaction.selectFrom("operator_token").select("bound_to").where("id", "=", id).executeTakeFirst();
        return row?.bound_to ?? to;
      }),
    rebind: (id, to) =>
      commit.run(async (transaction) => {
        await transaction.updateTable("operator_token").set({ bound_to: to }).where("id", "=", id).execute();
      }),
    async revoke(id, at) {
      const revoked = await commit.run(async (transaction) => {
        const { numUpdatedRows } = await transaction
          .updateTable("operator_token")
          .set({ revoked_at: at })
          .where("id", "=", id)
          .where("revoked_at", "is", null)
          .executeTakeFirst();
        return numUpdatedRows > 0n;
      });
      const record = revoked ? await read(id) : undefined;
      if (record) for (const run of listeners) run(record);
      return revoked;
    },
    onRevoke(run) {
      const listener = (record: TokenRecord): void => run(record);
      listeners.add(listener);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },
  };
}

function hashOf(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}

function recordOf(row: Row): TokenRecord {
  const spec = JSON.parse(row.spec) as TokenSpec;
  return {
    ...spec,
    id: row.id,
    hint: row.hint,
    createdAt: row.created_at,
    used: row.used,
    ...(row.first_used_at !== null && { firstUsedAt: row.first_used_at }),
    ...(row.bound_to !== null && { boundTo: row.bound_to }),
    ...(row.revoked_at !== null && { revokedAt: row.revoked_at }),
  };
}
