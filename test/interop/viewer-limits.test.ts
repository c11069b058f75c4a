import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { publishSample } from "../support/rtmp-publisher.ts";
import { startSluice } from "../support/sluice.ts";
import { root } from "../support/source-files.ts";
import { get, view } from "../support/viewer.ts";

const reason = "2 viewers at most for this account; close another one first";

describe("the recipe of limits for each viewer", () => {
  it("refuses the third viewer of a user, until one of the others has ended", async () => {
    const page = readFileSync(join(root, "docs/recipes/viewer-limits.md"), "utf8");
    await using sluice = await startSluice({ config: /^```ts\n(.*?)^```/ms.exec(page)?.[1] ?? "" });
    const publisher = await publishSample(sluice.ports.rtmp, "live");
    await expect.poll(async () => (await get(sluice.http("json_live.js?user=ben&tkn=ben"))).text, { timeout: 20_000 }).toContain("H264");

    const url = sluice.http("live.flv?user=ann");
    using first = await view(url);
    using second = await view(url);
    expect([first.status, second.status]).toEqual([200, 200]);
    await Promise.all([first.atLeast(10_000), second.atLeast(10_000)]);

    const refused = await get(url);
    expect([refused.status, refused.text]).toEqual([403, expect.stringContaining(reason)]);
    using other = await view(sluice.http("live.flv?user=ben&tkn=ben"));
    expect(other.status).toBe(200);

    first[Symbol.dispose]();
    const third = async (): Promise<number> => {
      using viewer = await view(url);
      if (viewer.status === 200) await viewer.atLeast(10_000);
      return viewer.status;
    };
    await expect.poll(third, { timeout: 17_000, interval: 500 }).toBe(200);
    expect((await get(url)).status).toBe(403);
    publisher.socket.destroy();
  });
});
