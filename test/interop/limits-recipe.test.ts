import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { publishSample } from "../support/rtmp-publisher.ts";
import { startSluice } from "../support/sluice.ts";
import { root } from "../support/source-files.ts";
import { get, view } from "../support/viewer.ts";

describe("the recipe of limits", () => {
  it("runs as it stands: the third screen ends the first, and a limit is changed over the API", async () => {
    const page = readFileSync(join(root, "docs/recipes/limits.md"), "utf8");
    await using sluice = await startSluice({ config: /^```ts\n(.*?)^```/ms.exec(page)?.[1] ?? "" });
    const api = `http://127.0.0.1:${sluice.ports.api}/api/v1/limits`;
    const publisher = await publishSample(sluice.ports.rtmp, "live");
    await expect.poll(async () => JSON.stringify(await sluice.api({ active_streams: true })), { timeout: 20_000 }).toContain("live");
    const screen = (name: string) => view(sluice.http(`live.flv?user=ann&tkn=${name}`));
    using first = await screen("1");
    using second = await screen("2");
    await Promise.all([first.atLeast(10_000), second.atLeast(10_000)]);
    using third = await screen("3");
    expect(third.status).toBe(200);
    await first.closed;
    const back = await get(sluice.http("live.flv?user=ann&tkn=1"));
    expect([back.status, back.text]).toEqual([503, expect.stringContaining("two screens at a time")]);

    const { items } = (await (await fetch(api)).json()) as { items: { name: string; counters: { used: number }[] }[] };
    expect(items.map(({ name }) => name)).toEqual(["two-screens", "house", "hall", "wire", "encoder"]);
    expect(items[0]?.counters).toMatchObject([{ key: "ann", used: 2 }]);

    const body = /-d '(\{.*\})'/.exec(page)?.[1] ?? "";
    const changed = await fetch(`${api}/hall`, { method: "PUT", headers: { "Content-Type": "application/json" }, body });
    expect([changed.status, await changed.json()]).toEqual([200, expect.objectContaining({ rule: JSON.parse(body) })]);
    expect((await fetch(`${api}/hall`, { method: "DELETE" })).status).toBe(204);
    publisher.socket.destroy();
  });
});
