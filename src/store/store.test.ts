import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isSluiceError } from "../base/errors.ts";
import { openStore } from "./store.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-store-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe("the store", () => {
  it("keeps changes over a restart and replaces earlier ones", async () => {
    {
      await using store = openStore(join(directory, "made", "anew"));
      await store.configChanges.write(
        new Map<string, unknown>([
          ["defaultStream", "a"],
          ["streams.live", { source: "push://" }],
        ]),
      );
      await store.configChanges.write(new Map<string, unknown>([["defaultStream", null]]));
    }
    await using store = openStore(join(directory, "made", "anew"));
    expect([...(await store.configChanges.read())]).toEqual([
      ["defaultStream", null],
      ["streams.live", { source: "push://" }],
    ]);
  });

  it("writes all of a change or nothing", async () => {
    await using store = openStore(directory);
    const circular: Record<string, unknown> = {};
    circular["self"] = circular;
    await expect(
      store.configChanges.write(
        new Map<string, unknown>([
          ["a", 1],
          ["b", circular],
        ]),
      ),
    ).rejects.toThrow();
    expect(await store.configChanges.read()).toEqual(new Map());
  });

  it("is for its owner's eyes only, as it holds password hashes", async () => {
    await using _store = openStore(directory);
    expect(statSync(join(directory, "sluice.db")).mode & 0o077).toBe(0);
  });

  it("refuses a second writer and says how to go on", async () => {
    await using _store = openStore(directory);
    expect(() => openStore(directory)).toThrow(
      /sluice\.db cannot be opened: another Sluice has it open; choose another directory with --data/,
    );
  });

  it("names a directory that cannot be used", () => {
    let caught: unknown;
    try {
      openStore("/dev/null/data");
    } catch (error) {
      caught = error;
    }
    expect(isSluiceError(caught, "config.invalid")).toBe(true);
  });

  it("names a directory that must not be written", async () => {
    chmodSync(directory, 0o555);
    const script = `
      const { openStore } = await import(${JSON.stringify(new URL("./store.ts", import.meta.url).href)});
      try { openStore(${JSON.stringify(directory)}); } catch (error) { process.stdout.write(error.code + " " + error.message); }`;
    // Nothing is read-only for root.
    const uid = process.getuid?.() === 0 ? { uid: 65_534 } : {};
    const child = spawn(process.execPath, ["--input-type=module", "--eval", script], uid);
    let said = "";
    child.stdout.on("data", (data: Buffer) => (said += data.toString()));
    await once(child, "close");
    expect(said).toContain(
      `config.invalid ${directory}/sluice.db cannot be opened: unable to open database file; choose another directory`,
    );
  });

  it("has what was written when the process is killed right after, and prints no warning", async () => {
    const script = `
      const { openStore } = await import(${JSON.stringify(new URL("./store.ts", import.meta.url).href)});
      const store = openStore(${JSON.stringify(directory)});
      await store.configChanges.write(new Map([["streams.live", { source: "push://" }]]));
      process.stdout.write("written");
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", script]);
    let errors = "";
    child.stderr.on("data", (data: Buffer) => (errors += data.toString()));
    const exited = once(child, "exit");
    await once(child.stdout, "data");
    child.kill("SIGKILL");
    await exited;
    expect(errors).toBe("");
    await using store = openStore(directory);
    expect((await store.configChanges.read()).get("streams.live")).toEqual({ source: "push://" });
  });
});
