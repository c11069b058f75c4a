import type { SinceStore } from "../access/kept-since.ts";
import type { SessionJournal } from "../access/told/session-journal.ts";
import type { Log } from "../base/log.ts";
import type { LetterStore } from "../triggers/delivery/letter.ts";
import { type ApiTokenStore, apiTokensIn } from "./api-tokens.ts";
import { type ConfigChanges, configChangesIn } from "./config-changes.ts";
import type { Database } from "./database.ts";
import { GroupCommit } from "./group-commit.ts";
import { lettersIn } from "./letters.ts";
import { liveStreamsIn } from "./live-streams.ts";
import { migrate } from "./migrations.ts";
import { openSessionsIn } from "./open-sessions.ts";
import { operatorTokensIn } from "./operator-tokens.ts";
import { isPostgresUrl } from "./place.ts";
import { openSqlite } from "./sqlite.ts";
import type { TokenBook } from "./token-book.ts";

/** What must survive the process. */
export interface Store extends AsyncDisposable {
  readonly configChanges: ConfigChanges;
  /** Notifications that have not arrived. Shares its transactions with `openSessions`. */
  readonly letters: LetterStore;
  /** Tokens to push and to watch. */
  readonly tokens: TokenBook;
  /** Sessions whose end was not told. */
  readonly openSessions: SessionJournal;
  /** Since when streams play. */
  readonly liveStreams: SinceStore;
  /** The API's bearer tokens. */
  readonly apiTokens: ApiTokenStore;
}

export type StoreOptions = {
  /** Unix milliseconds. */
  readonly now?: () => number;
  /** Is told when PostgreSQL is lost and found again. */
  readonly log?: Log;
};

/**
 * Opens the store at a place: a directory, which is made if it is not there (SQLite), or the URL of a PostgreSQL database.
 * Rejects with `SluiceError` "config.invalid" when it cannot be opened or another Sluice has it.
 */
export async function openStore(place: string, { now = Date.now, log }: StoreOptions = {}): Promise<Store> {
  const database = await openForWriting(place, { now, ...(log && { log }) });
  const { reader } = database;
  const commit = new GroupCommit(database);
  return {
    letters: lettersIn(reader, commit),
    openSessions: openSessionsIn(reader, commit),
    liveStreams: liveStreamsIn(reader, commit),
    tokens: operatorTokensIn(reader, commit, now),
    apiTokens: apiTokensIn(reader, commit),
    configChanges: configChangesIn(reader, commit, now),
    async [Symbol.asyncDispose]() {
      await commit[Symbol.asyncDispose]();
      await database.close();
    },
  };
}

/** The database at a place with the newest tables, for one Sluice alone. */
export async function openForWriting(place: string, { now = Date.now, log }: StoreOptions = {}): Promise<Database> {
  const database = isPostgresUrl(place) ? await (await import("./postgres/postgres.ts")).openPostgres(place, log) : openSqlite(place);
  try {
    await migrate(database, now());
    return database;
  } catch (error) {
    await database.close();
    throw error;
  }
}
