import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { startChild } from "../support/child.ts";
import { publishSample } from "../support/rtmp-publisher.ts";
import { startSluice } from "../support/sluice.ts";
import { root } from "../support/source-files.ts";
import { get, view } from "../support/viewer.ts";

const page = readFileSync(join(root, "docs/recipes/bandwidth-and-viewer-limits.md"), "utf8");
const block = (language: string): string => new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, "ms").exec(page)?.[1] ?? "";

/** The recipe as it is printed; the address of the server aside. */
describe("the recipe of bandwidth and viewer limits", () => {
  it("tells who comes too late to wait, ends the oldest screen, and sends to the lobby what the API says", async () => {
    await using sluice = await startSluice({ config: block("ts") });
    const [live, lobby] = [await publishSample(sluice.ports.rtmp, "live"), await publishSample(sluice.ports.rtmp, "lobby")];
    const online = async (): Promise<string> => JSON.stringify(await sluice.api({ active_streams: ["status"] }));
    await expect.poll(online, { timeout: 20_000 }).toMatch(/live":\["Online.*lobby":\["Online/);
    const screen = (user: string, token: string, stream = "live") => view(sluice.http(`${stream}.flv?user=${user}&tkn=${token}`));

    using ann = await screen("ann", "1");
    using ben = await screen("ben", "2");
    expect([ann.status, ben.status]).toEqual([200, 200]);
    const late = await get(sluice.http("live.flv?user=carl&tkn=3"));
    expect([late.status, late.headers.get("retry-after"), late.text]).toEqual([503, "3", expect.stringContaining("The room is full.")]);
    const info = await get(sluice.http("json_live.js?user=carl&tkn=3"));
    expect([info.status, JSON.parse(info.text)]).toEqual([
      503,
      expect.objectContaining({ error: "The room is full.", refused: true, retryAfter: 3 }),
    ]);

    using second = await screen("ann", "4", "lobby");
    using third = await screen("ann", "5", "lobby");
    expect([second.status, third.status]).toEqual([200, 200]);
    await ann.closed;
    const back = await get(sluice.http("live.flv?user=ann&tkn=1"));
    expect([back.status, back.text]).toEqual([503, expect.stringContaining("Two screens at a time.")]);

    const [put = "", show = "", remove = ""] = block("sh").replaceAll("\\\n", "").trim().split("\n");
    const run = async (command: string): Promise<string> => {
      const text = command.replaceAll("http://localhost:4242", `http://127.0.0.1:${sluice.ports.api}`).replace("curl", "curl -sSf");
      await using child = startChild("sh", ["-c", text], {});
      expect(await child.exited, child.stderr()).toBe(0);
      return child.stdout();
    };
    expect(JSON.parse(await run(put))).toMatchObject({ name: "hall", use: "viewerLimit", from: "api" });
    using moved = await screen("dora", "6");
    expect(moved.status).toBe(200);
    const { items } = JSON.parse(await run(show)) as {
      items: { name: string; refused: number; counters: { key: string; used: number }[] }[];
    };
    expect(items.map(({ name }) => name).toSorted()).toEqual(["bandwidthLimit", "screens", "viewerLimit", "viewerLimit-2"]);
    expect(items.find(({ name }) => name === "viewerLimit-2")).toMatchObject({ refused: 1, counters: [{ key: "live", used: 1 }] });
    await run(remove);
    using erik = await screen("erik", "7");
    expect(erik.status).toBe(200);
    expect((await get(sluice.http("live.flv?user=fay&tkn=8"))).status).toBe(503);
    live.socket.destroy();
    lobby.socket.destroy();
  });
});
