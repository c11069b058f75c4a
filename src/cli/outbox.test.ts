import { Command } from "commander";
import { describe, expect, it } from "vitest";
import { startApi, type TestApi } from "../../test/support/api-server.ts";
import { settle } from "../../test/support/fake-clock.ts";
import { outboxCommand } from "./outbox.ts";

/** Runs `sluice outbox ...` against a server's API; gives what was printed. */
async function run(api: TestApi, ...words: readonly string[]): Promise<string[]> {
  const printed: string[] = [];
  const environment = { SLUICE_API: `http://127.0.0.1:${api.port}` };
  const program = new Command().exitOverride().addCommand(outboxCommand({ environment, print: (text) => void printed.push(text) }));
  await program.parseAsync(["outbox", ...words], { from: "user" });
  return printed;
}

describe("sluice outbox", () => {
  it("lists, sends again and throws away", async () => {
    await using api = await startApi();
    let takes = false;
    api.outbox.deliverBy(async () => {
      if (!takes) throw new Error("it answered with status 500");
    });
    const createdAt = api.clock.now();
    const handler = "http://example.com/hook?key=secret";
    for (const uuid of ["a", "b", "c"])
      await api.outbox.send({ trigger: "STREAM_END", handler, orderKey: "stream:live", payload: '{"stream":"live"}', uuid, createdAt });
    await settle();

    const at = new Date(createdAt).toISOString();
    const line = `${at} STREAM_END stream:live -> http://example.com/hook (1 attempts, dead; it answered with status 500)`;
    expect(await run(api, "list", "--state", "dead", "--limit", "2")).toEqual([`1 ${line}`, `2 ${line}`]);
    expect(JSON.parse((await run(api, "list", "--json", "--after", "2"))[0] ?? "")).toMatchObject({ id: 3, uuid: "c", state: "dead" });
    expect(await run(api, "drop", "2")).toEqual(["2 is thrown away"]);
    takes = true;
    expect(await run(api, "retry", "1")).toEqual(["1 on the way again"]);
    expect(await run(api, "retry", "dead")).toEqual(["1 on the way again"]);
    await settle();
    expect(await run(api, "list")).toEqual(["Everything has arrived."]);
  });

  it("says why it could not", async () => {
    await using api = await startApi();
    await expect(run(api, "drop", "7")).rejects.toThrow("The outbox has no notification 7");
    await expect(run(api, "list", "--state", "lost")).rejects.toThrow("state must be waiting or dead");
    await expect(run(api, "list", "--api", "http://127.0.0.1:1")).rejects.toThrow("cannot be reached");
  });
});
