import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe } from "vitest";
import { type Postgres, postgresFolder, startPostgres } from "./postgres.ts";

/** One kind of store, for a suite that holds for all of them. */
export type StorePlaces = {
  readonly kind: "SQLite" | "PostgreSQL";
  /** An empty place for `openStore`; every call gives another one. */
  place(): Promise<string>;
};

/** Runs the same suite on SQLite and on PostgreSQL, which is skipped where it is not installed. */
export function onEachStore(title: string, suite: (places: StorePlaces) => void): void {
  describe(`${title}, in SQLite`, () => {
    let folder = "";
    let places = 0;
    beforeAll(() => {
      folder = mkdtempSync(join(tmpdir(), "sluice-store-"));
    });
    afterAll(() => rmSync(folder, { recursive: true, force: true }));
    suite({ kind: "SQLite", place: async () => join(folder, String(++places)) });
  });
  const missing = postgresFolder === undefined;
  describe.skipIf(missing)(`${title}, in PostgreSQL${missing ? " (which is not installed)" : ""}`, () => {
    let postgres: Postgres | undefined;
    beforeAll(async () => {
      postgres = await startPostgres();
    });
    afterAll(async () => await postgres?.[Symbol.asyncDispose]());
    suite({
      kind: "PostgreSQL",
      place: async () => {
        if (!postgres) throw new Error("PostgreSQL does not run yet");
        return await postgres.place();
      },
    });
  });
}
