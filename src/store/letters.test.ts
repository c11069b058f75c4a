import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { expect, it } from "vitest";
import { onEachStore } from "../../test/support/store-places.ts";
import type { NewLetter } from "../triggers/delivery/letter.ts";
import type { Database } from "./database.ts";
import { GroupCommit } from "./group-commit.ts";
import { lettersIn } from "./letters.ts";
import { migrate } from "./migrations.ts";
import { openSessionsIn } from "./open-sessions.ts";
import { openDatabase, sqliteOn } from "./sqlite.ts";
import { openForWriting, openStore } from "./store.ts";

const letter = (more: Partial<NewLetter> = {}): NewLetter => ({
  trigger: "USER_END",
  handler: "http://127.0.0.1:9/",
  orderKey: "session:a",
  payload: '{"sessionId":"a"}',
  uuid: "u1",
  createdAt: 1000,
  ...more,
});
const failed = { attempts: 3, nextAt: 9000, state: "waiting", error: "it answered with status 500" } as const;

/** SQLite whose limits a test may change, with tables. */
async function sqlite(): Promise<{ file: DatabaseSync; database: Database } & AsyncDisposable> {
  const directory = mkdtempSync(join(tmpdir(), "sluice-letters-"));
  const file = openDatabase(directory);
  const database = sqliteOn(file, directory);
  await migrate(database, 0);
  return {
    file,
    database,
    async [Symbol.asyncDispose]() {
      await database.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

onEachStore("letters", ({ place }) => {
  it("are there after a restart, in order, and numbers are never used twice", async () => {
    const where = await place();
    {
      await using store = await openStore(where);
      const ids = await Promise.all(["u1", "u2", "u3"].map((uuid) => store.letters.add(letter({ uuid }))));
      expect(ids).toEqual([1, 2, 3]);
      await store.letters.update(2, failed);
      await store.letters.remove(3);
    }
    await using store = await openStore(where);
    expect(await store.letters.add(letter({ uuid: "u4" }))).toBe(4);
    expect((await store.letters.waiting()).map(({ id, attempts, nextAt }) => [id, attempts, nextAt])).toEqual([
      [1, 0, 1000],
      [2, 3, 9000],
      [4, 0, 1000],
    ]);
    expect(await store.letters.read(2)).toEqual({ ...letter({ uuid: "u2" }), id: 2, ...failed });
    expect(await store.letters.read(3)).toBeUndefined();
  });

  it("are listed by state and page by page; the oldest dead ones make room", async () => {
    const where = await place();
    await using store = await openStore(where);
    for (let index = 0; index < 6; index++) await store.letters.add(letter({ payload: "x".repeat(700) }));
    for (const id of [1, 3, 5]) await store.letters.update(id, { ...failed, state: "dead" });
    expect(await store.letters.deadSize()).toEqual({ letters: 3, bytes: 3000 });
    expect((await store.letters.list({ state: "dead", limit: 2 })).map(({ id }) => id)).toEqual([1, 3]);
    expect((await store.letters.list({ after: 3, limit: 100 })).map(({ id }) => id)).toEqual([4, 5, 6]);
    expect(await store.letters.dropDead(1500)).toEqual({ letters: 2, bytes: 2000 });
    expect((await store.letters.list({ limit: 100 })).map(({ id }) => id)).toEqual([2, 4, 5, 6]);
    expect(await store.letters.dropDead(5000)).toEqual({ letters: 1, bytes: 1000 });
  });

  it("share a transaction with the open sessions of the same turn: all or nothing", async () => {
    const where = await place();
    const database = await openForWriting(where);
    await using closing = new AsyncDisposableStack();
    closing.defer(() => database.close());
    const commit = closing.use(new GroupCommit(database));
    const letters = lettersIn(database.reader, commit);
    const sessions = openSessionsIn(database.reader, commit);
    await sessions.write([{ id: "a", value: "{}" }]);
    const nothing = commit.run(() => Promise.reject(new Error("no")));
    await expect(Promise.all([letters.add(letter()), sessions.remove("a"), nothing])).rejects.toThrow("no");
    expect(await letters.list({ limit: 10 })).toEqual([]);
    expect(await sessions.read()).toEqual([{ id: "a", value: "{}" }]);
    await Promise.all([letters.add(letter()), sessions.remove("a")]);
    expect((await letters.list({ limit: 10 })).length).toBe(1);
    expect(await sessions.read()).toEqual([]);
  });

  it("writes what still waits when the store is closed", async () => {
    const where = await place();
    const store = await openStore(where);
    const added = store.letters.add(letter());
    await store[Symbol.asyncDispose]();
    expect(await added).toBe(1);
    await using again = await openStore(where);
    expect((await again.letters.waiting()).length).toBe(1);
  });

  it("replaces what is known of many sessions at once", async () => {
    const where = await place();
    await using store = await openStore(where);
    const records = Array.from({ length: 2500 }, (_, index) => ({ id: `s${String(index).padStart(4, "0")}`, value: "1" }));
    await store.openSessions.write(records);
    await store.openSessions.write(records.slice(0, 2).map(({ id }) => ({ id, value: "2" })));
    const read = await store.openSessions.read();
    expect(read.length).toBe(2500);
    expect(read.slice(0, 3).map(({ value }) => value)).toEqual(["2", "2", "1"]);
  });
});

it("letters in SQLite are refused when the disk is full or must not be written, and go on when that is over", async () => {
  await using scene = await sqlite();
  const letters = lettersIn(scene.database.reader, new GroupCommit(scene.database));
  const pages = Number(scene.file.prepare("PRAGMA page_count").get()?.["page_count"]);
  scene.file.exec(`PRAGMA max_page_count=${pages}`);
  await expect(letters.add(letter({ payload: "x".repeat(100_000) }))).rejects.toThrow(/full/);
  scene.file.exec("PRAGMA max_page_count=1000000");
  expect(await letters.add(letter())).toBe(1);
  scene.file.exec("PRAGMA query_only=ON");
  await expect(letters.add(letter())).rejects.toThrow(/readonly/);
  expect((await letters.list({ limit: 10 })).length).toBe(1);
  scene.file.exec("PRAGMA query_only=OFF");
  expect(await letters.add(letter())).toBe(2);
});
