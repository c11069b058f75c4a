import type { Kysely } from "kysely";
import type { GroupCommit } from "./group-commit.ts";
import type { Tables } from "./tables.ts";

/** A bearer token of the API, as it is kept: without its text. Times are Unix milliseconds. */
export type ApiTokenRow = {
  /** Names the token without being it. */
  readonly id: string;
  /** For people. */
  readonly name: string;
  /** SHA-256 of its text, hexadecimal. */
  readonly hash: string;
  readonly scope: "read" | "operate" | "admin";
  readonly createdAt: number;
  readonly expiresAt?: number | undefined;
  readonly lastUsedAt?: number | undefined;
};

/** Where the API's bearer tokens are kept. What was written is on the disk when the promise resolves. */
export interface ApiTokenStore {
  read(): Promise<readonly ApiTokenRow[]>;
  add(token: ApiTokenRow): Promise<void>;
  /** False when there is none. */
  remove(id: string): Promise<boolean>;
  used(id: string, at: number): Promise<void>;
}

/** The table of bearer tokens. */
export function apiTokensIn(db: Kysely<Tables>, commit: GroupCommit): ApiTokenStore {
  return {
    async read() {
      const rows = await db.selectFrom("api_token").selectAll().orderBy("created_at").orderBy("id").execute();
      return rows.map(({ id, name, hash, scope, created_at, expires_at, last_used_at }) => ({
        id,
        name,
        hash,
        scope,
        createdAt: created_at,
        expiresAt: expires_at ?? undefined,
        lastUsedAt: last_used_at ?? undefined,
      }));
    },
    add: ({ id, name, hash, scope, createdAt, expiresAt }) =>
      commit.alone(async (transaction) => {
        const row = { id, name, hash, scope, created_at: createdAt, expires_at: expiresAt ?? null, last_used_at: null };
        await transaction.insertInto("api_token").values(row).execute();
      }),
    remove: (id) =>
      commit.run(async (transaction) => {
        const { numDeletedRows } = await transaction.deleteFrom("api_token").where("id", "=", id).executeTakeFirst();
        return numDeletedRows > 0n;
      }),
    used: (id, at) =>
      commit.run(async (transaction) => {
        await transaction.updateTable("api_token").set({ last_used_at: at }).where("id", "=", id).execute();
      }),
  };
}
