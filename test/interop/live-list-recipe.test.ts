import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { pageUntil, startBrowser } from "../support/browser.ts";
import { startChild } from "../support/child.ts";
import { startEncoder } from "../support/encoder.ts";
import { startSluice } from "../support/sluice.ts";
import { root } from "../support/source-files.ts";

const page = readFileSync(join(root, "docs/recipes/live-list.md"), "utf8");
const block = (language: string): string => new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, "ms").exec(page)?.[1] ?? "";

/** The recipe as it is printed; the address of the server aside. */
describe("the recipe of a site that shows what is live", () => {
  it("lists by fetch and by EventSource, from a page of another site, and hides what is hidden", async () => {
    await using sluice = await startSluice({ config: block("ts") });
    const here = (text: string): string => text.replaceAll("http://localhost:8080/", sluice.http(""));
    const site = createServer((_, response) => response.setHeader("Content-Type", "text/html").end(here(block("html"))));
    await new Promise<void>((resolve) => site.listen(0, "127.0.0.1", resolve));
    await using browser = await startBrowser();
    try {
      const tab = await browser.newPage();
      await tab.goto(`http://127.0.0.1:${(site.address() as AddressInfo).port}/`);
      await using rehearsal = startEncoder(sluice.rtmp("live/rehearsal"));
      await using encoder = startEncoder(sluice.rtmp("live/live+final"));
      await pageUntil(tab, 'document.querySelector("li")?.textContent.startsWith("live+final (")');
      expect(await tab.evaluate('document.querySelector("li a").href')).toBe(sluice.http("live+final.html"));
      await expect
        .poll(
          async () => ((await sluice.api({ active_streams: ["status"] })) as { active_streams: Record<string, string[]> }).active_streams,
          {
            timeout: 20_000,
          },
        )
        .toEqual({ "live+final": ["Online"], rehearsal: ["Online"] });

      await using once = startChild(process.execPath, ["--input-type=module", "-e", here(block("js"))], {});
      expect(await once.exited).toBe(0);
      expect(once.stdout()).toBe(`live+final ${sluice.http("live+final.html")}\n`);
      expect(await tab.evaluate('document.querySelectorAll("li").length')).toBe(1);
      await encoder.stop();
      await pageUntil(tab, 'document.querySelectorAll("li").length === 0');
      await rehearsal.stop();
    } finally {
      site.closeAllConnections();
      site.close();
    }
  });
});

describe("the player page of a stream that is offline", () => {
  it("is told when the stream comes, and plays it", async () => {
    await using sluice = await startSluice({ config: { streams: { live: "push://" } } });
    await using browser = await startBrowser();
    const tab = await browser.newPage();
    const told: string[] = [];
    tab.on("websocket", (socket) => void socket.on("framereceived", ({ payload }) => void told.push(String(payload))));
    await tab.goto(sluice.http("live.html"));
    await expect.poll(() => told.length).toBe(1);
    expect(JSON.parse(told[0] ?? "")).toMatchObject({ error: "Stream is offline" });
    await using encoder = startEncoder(sluice.rtmp("live/live"));
    await pageUntil(tab, 'window.sluice.state === "playing" && document.querySelector("video").currentTime > 1');
    expect(told.some((text) => text.includes('"source"'))).toBe(true);
    const { clients } = (await sluice.api({ clients: {} })) as { clients: { fields: string[]; data: unknown[][] } };
    const kinds = clients.data.map((row) => String(row[clients.fields.indexOf("protocol")]));
    expect(kinds.filter((kind) => !kind.startsWith("INPUT"))).toHaveLength(1);
    await encoder.stop();
  });
});
