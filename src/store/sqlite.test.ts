import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, closeSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { GroupCommit } from "./group-commit.ts";
import { lettersIn } from "./letters.ts";
import { migrate } from "./migrations.ts";
import { openDatabase, sqliteOn } from "./sqlite.ts";
import { openStore } from "./store.ts";

let directory: string;
let file: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-sqlite-"));
  file = join(directory, "sluice.db");
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** Writes nonsense over the file from this byte on. */
function damage(from: number): void {
  const open = openSync(file, "r+");
  const { size } = statSync(file);
  writeSync(open, Buffer.alloc(size - from, "nonsense "), 0, size - from, from);
  closeSync(open);
}

const letter = { trigger: "USER_END", handler: "http://127.0.0.1:9/", orderKey: "a", payload: "x".repeat(3000), uuid: "u", createdAt: 1 };

describe("SQLite in a directory", () => {
  it("is for its owner's eyes only, as it holds password hashes", async () => {
    await using _store = await openStore(join(directory, "made", "anew"));
    expect(statSync(join(directory, "made", "anew", "sluice.db")).mode & 0o077).toBe(0);
  });

  it("names a directory that cannot be used", async () => {
    await expect(openStore("/dev/null/data")).rejects.toMatchObject({ code: "config.invalid", message: expect.stringMatching(/--data/) });
  });

  it("names a directory that must not be written", async () => {
    chmodSync(directory, 0o555);
    const script = `
      const { openStore } = await import(${JSON.stringify(new URL("./store.ts", import.meta.url).href)});
      try { await openStore(${JSON.stringify(directory)}); } catch (error) { process.stdout.write(error.code + " " + error.message); }`;
    // Nothing is read-only for root.
    const uid = process.getuid?.() === 0 ? { uid: 65_534 } : {};
    const child = spawn(process.execPath, ["--input-type=module", "--eval", script], uid);
    let said = "";
    child.stdout.on("data", (data: Buffer) => (said += data.toString()));
    await once(child, "close");
    expect(said).toContain(`config.invalid ${file} cannot be opened: unable to open database file; choose another directory`);
  });

  it.each([
    ["from its first byte on", 0],
    ["behind its first page", 4096],
  ])("is refused with advice when it is damaged %s", async (_where, from) => {
    {
      await using store = await openStore(directory);
      for (let count = 0; count < 50; count++) await store.letters.add(letter);
    }
    damage(from);
    await expect(openStore(directory)).rejects.toMatchObject({
      code: "config.invalid",
      message: expect.stringMatching(/sluice\.db cannot be opened: it is damaged \(.+\); put a backup in its place, or move it/),
    });
  });

  it("is refused with advice when it is another program's file", async () => {
    writeFileSync(file, "something else entirely\n".repeat(100));
    await expect(openStore(directory)).rejects.toThrow(/it is damaged \(file is not a database\)/);
  });

  it("rejects what a file that is damaged while it is open has lost, and does not crash", async () => {
    const open = openDatabase(directory);
    const database = sqliteOn(open, directory);
    await migrate(database, 0);
    const letters = lettersIn(database.reader, new GroupCommit(database));
    for (let count = 0; count < 50; count++) await letters.add(letter);
    // What it has in memory would hide the damage.
    open.exec("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA cache_size=0; PRAGMA shrink_memory");
    damage(4096);
    await expect(letters.list({ limit: 100 })).rejects.toThrow(/malformed/);
    await expect(letters.add(letter)).rejects.toThrow(/malformed/);
    await database.close();
  });
});
