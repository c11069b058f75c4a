import type { PostgresPoolClient } from "kysely";
import pg from "pg";
import { messageOf, SluiceError } from "../../base/errors.ts";

/** How long a connection may take to be there, and an answer to come, milliseconds. */
const connectMs = 5000;
const answerMs = 10_000;

/** What all connections to one database have in common. */
export function settingsOf(url: string): pg.ClientConfig {
  return {
    connectionString: url,
    application_name: "sluice",
    connectionTimeoutMillis: connectMs,
    query_timeout: answerMs,
    keepAlive: true,
    types: { getTypeParser: parserOf },
  };
}

/** Counts and times are integers of 64 bits, sums of them numerics; all of ours fit into a number. Only for our own connections. */
const parserOf = ((oid: number, format?: "text") =>
  oid === pg.types.builtins.INT8 || oid === pg.types.builtins.NUMERIC
    ? Number
    : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser;

/** The database as it may be shown: without password and options. */
export function labelOf(url: string): string {
  try {
    const { user, host, port, database } = new pg.Client({ connectionString: url });
    return host.startsWith("/") ? `postgres://${user}@/${database}?host=${host}` : `postgres://${user}@${host}:${port}/${database}`;
  } catch (cause) {
    // Its own words would show the whole address.
    throw new SluiceError("config.invalid", "the store is no address that can be read; write postgres://USER:PASSWORD@HOST:5432/DATABASE", {
      cause: new Error(cause instanceof Error ? cause.name : "no URL"),
    });
  }
}

/** True when the connection is of no use any more; false when the database has answered and only refused what was asked. */
export function isLost(error: unknown): boolean {
  if (!(error instanceof pg.DatabaseError)) return true;
  const { code = "", severity } = error;
  // 08: connection, 57P: shutdown, 25006: it is a copy that may only be read now, after somebody has switched over.
  return severity === "FATAL" || code.startsWith("08") || code.startsWith("57P") || code === "25006";
}

/** What a database said when it could not be opened, with what may help. */
export function openingError(label: string, error: unknown): SluiceError {
  const { code = "" } = error instanceof Error ? (error as Error & { readonly code?: string }) : {};
  const advice =
    code === "28P01" || code === "28000"
      ? "mend the user or the password in the store's address"
      : code === "3D000"
        ? "make the database (createdb), or name another one in the store's address"
        : code === "42501"
          ? "give the user a database of its own (CREATE DATABASE ... OWNER ...)"
          : code.startsWith("E")
            ? "see that PostgreSQL runs there, or mend the store's address"
            : "mend the store's address, or the database";
  return new SluiceError("config.invalid", `${label} cannot be opened: ${wordsOf(error)}; ${advice}`, { cause: error });
}

/** The words of an error of the network, which has none of its own when several addresses were tried. */
export function wordsOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === "") return error.errors.map(messageOf).join(", ");
  return messageOf(error);
}

/** A connection in the form that kysely wants. `lost` is called when it turns out to be of no use; `release` with whether it was. */
export function kyselyClient(
  client: pg.ClientBase,
  lost: (error: unknown) => void,
  release: (broken: boolean) => void,
): PostgresPoolClient {
  let broken = false;
  const query = async (text: string, parameters: readonly unknown[]): Promise<unknown> => {
    try {
      return await client.query(text, parameters.map(storable));
    } catch (error) {
      if (isLost(error)) {
        broken = true;
        lost(error);
      }
      throw error;
    }
  };
  return { query: query as PostgresPoolClient["query"], release: (discard) => release(broken || discard === true) };
}

/** PostgreSQL's texts have no character 0, which a client may well send. It is replaced in what is written and in what is asked. */
function storable(value: unknown): unknown {
  return typeof value === "string" && value.includes("\0") ? value.replaceAll("\0", "\uFFFD") : value;
}
