import { Kysely, SqliteDialect } from "kysely";
import type { SessionJournal } from "../access/told/session-journal.ts";
import type { LetterStore } from "../triggers/delivery/letter.ts";
import { type ApiTokenStore, apiTokensIn } from "./api-tokens.ts";
import { GroupCommit } from "./group-commit.ts";
import { lettersIn } from "./letters.ts";
import { migrate } from "./migrations.ts";
import { operatorTokensIn } from "./operator-tokens.ts";
import type { TokenBook } from "./token-book.ts";
import { openSessionsIn } from "./open-sessions.ts";
import { kyselyDatabase, openDatabase } from "./sqlite.ts";
import type { Tables } from "./tables.ts";

/** Settings that were changed while the server ran, by key; values are plain JSON. */
export interface ConfigChanges {
  read(): Promise<ReadonlyMap<string, unknown>>;
  /** All or none; on the disk when it resolves. */
  write(changes: ReadonlyMap<string, unknown>): Promise<void>;
}

/** What must survive the process. */
export interface Store extends AsyncDisposable {
  readonly configChanges: ConfigChanges;
  /** Notifications that have not arrived. Shares its transactions with `openSessions`. */
  readonly letters: LetterStore;
  /** Tokens to push and to watch. */
  readonly tokens: TokenBook;
  /** Sessions whose end was not told. */
  readonly openSessions: SessionJournal;
  /** The API's bearer tokens. */
  readonly apiTokens: ApiTokenStore;
}

/**
 * Opens the store in a directory, which is made if it is not there. Throws `SluiceError` "config.invalid" when it cannot be
 * opened or another process has it.
 */
export function openStore(directory: string, now: () => number = Date.now): Store {
  const database = openDatabase(directory);
  try {
    migrate(database, now());
  } catch (error) {
    database.close();
    throw error;
  }
  const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database: kyselyDatabase(database) }) });
  const commit = new GroupCommit(db);
  return {
    letters: lettersIn(db, commit),
    openSessions: openSessionsIn(db, commit),
    tokens: operatorTokensIn(db, commit, now),
    apiTokens: apiTokensIn(db),
    configChanges: {
      async read() {
        const rows = await db.selectFrom("config_change").select(["key", "value"]).orderBy("key").execute();
        return new Map(rows.map(({ key, value }) => [key, JSON.parse(value) as unknown]));
      },
      async write(changes) {
        await db.transaction().execute(async (transaction) => {
          for (const [key, value] of changes) {
            const row = { value: JSON.stringify(value), changed_at: now() };
            await transaction
              .insertInto("config_change")
              .values({ key, ...row })
              .onConflict((conflict) => conflict.column("key").doUpdateSet(row))
              .execute();
          }
        });
      },
    },
    async [Symbol.asyncDispose]() {
      await commit[Symbol.asyncDispose]();
      await db.destroy();
      // kysely closes a database only after its first query.
      if (database.isOpen) database.close();
    },
  };
}
