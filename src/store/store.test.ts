import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, it } from "vitest";
import { onEachStore } from "../../test/support/store-places.ts";
import { openStore } from "./store.ts";

const module = JSON.stringify(new URL("./store.ts", import.meta.url).href);

onEachStore("the store", ({ place }) => {
  it("keeps changes over a restart and replaces earlier ones", async () => {
    const where = await place();
    {
      await using store = await openStore(where);
      await store.configChanges.write(
        new Map<string, unknown>([
          ["defaultStream", "a"],
          ["streams.live", { source: "push://" }],
          ["streams.Z", { source: "ä \u2028 \u{1F600}" }],
        ]),
      );
      await store.configChanges.write(new Map<string, unknown>([["defaultStream", null]]));
    }
    await using store = await openStore(where);
    expect([...(await store.configChanges.read())]).toEqual([
      ["defaultStream", null],
      ["streams.Z", { source: "ä \u2028 \u{1F600}" }],
      ["streams.live", { source: "push://" }],
    ]);
  });

  it("writes all of a change or nothing, and that of others in the same turn", async () => {
    await using store = await openStore(await place());
    const circular: Record<string, unknown> = {};
    circular["self"] = circular;
    const wrong = store.configChanges.write(
      new Map<string, unknown>([
        ["a", 1],
        ["b", circular],
      ]),
    );
    const right = store.configChanges.write(new Map([["c", 2]]));
    await expect(wrong).rejects.toThrow(/circular/);
    await right;
    expect([...(await store.configChanges.read())]).toEqual([["c", 2]]);
  });

  it("refuses a second writer and says how to go on", async () => {
    const where = await place();
    {
      await using _store = await openStore(where);
      await expect(openStore(where)).rejects.toMatchObject({
        code: "config.invalid",
        message: expect.stringMatching(/cannot be opened: another Sluice has it open; .*(--data|database)/),
      });
    }
    await using _next = await openStore(where);
  });

  it("refuses tables of a newer Sluice", async () => {
    const where = await place();
    {
      await using _store = await openStore(where);
    }
    const { openForWriting } = await import("./store.ts");
    const database = await openForWriting(where);
    const { sql } = await import("kysely");
    await sql`INSERT INTO migration (id, name, applied_at) VALUES (99, 'later', 0)`.execute(database.writer);
    await database.close();
    await expect(openStore(where)).rejects.toMatchObject({ code: "config.invalid", message: expect.stringMatching(/newer Sluice/) });
  });

  it("has what was written when the process is killed right after, and prints no warning", async () => {
    const where = await place();
    const script = `
      const { openStore } = await import(${module});
      const store = await openStore(${JSON.stringify(where)});
      await store.configChanges.write(new Map([["streams.live", { source: "push://" }]]));
      process.stdout.write("written");
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", script]);
    let errors = "";
    child.stderr.on("data", (data: Buffer) => (errors += data.toString()));
    const exited = once(child, "exit");
    await Promise.race([once(child.stdout, "data"), exited]);
    child.kill("SIGKILL");
    await exited;
    expect(errors).toBe("");
    await using store = await openStore(where);
    expect((await store.configChanges.read()).get("streams.live")).toEqual({ source: "push://" });
  });
});
