import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { pageUntil, startBrowser } from "../support/browser.ts";
import type { Child } from "../support/child.ts";
import { type Decided, startDecided } from "../support/decided.ts";
import { startEncoder } from "../support/encoder.ts";
import { get } from "../support/viewer.ts";

/** The player page in a real browser: hls.js, mpegts.js, one viewer for page, information and media, the reason of a refusal. */
describe("the player page in Chromium", () => {
  let server: Decided;
  let encoder: Child;
  let browser: Awaited<ReturnType<typeof startBrowser>>;

  beforeAll(async () => {
    server = await startDecided(
      "http",
      { USER_NEW: (lines) => String(!lines[4]?.includes("user=eve")), STREAM_BUFFER: () => "" },
      { streams: { live: { source: "push://" } } },
    );
    browser = await startBrowser();
    encoder = startEncoder(server.sluice.rtmp("live/live"));
    await server.asked.called("STREAM_BUFFER", (call) => call.lines[1] === "FULL");
  });
  afterAll(async () => {
    await browser?.[Symbol.asyncDispose]();
    await encoder?.stop();
    await server?.[Symbol.asyncDispose]();
  });

  /** Resolves when the page's video has moved on by two seconds. */
  async function plays(page: Page): Promise<void> {
    const video = 'document.querySelector("video")';
    const begun = await pageUntil(page, `${video}.readyState >= 3 && ${video}.currentTime > 0 && ${video}.currentTime`);
    await pageUntil(page, `${video}.currentTime > ${begun} + 2`, 20_000);
    const frames = await page.evaluate(`${video}.getVideoPlaybackQuality().totalVideoFrames`);
    expect(frames).toBeGreaterThan(25);
  }

  it.each(["hls", "flv"])("plays with the %s player as one viewer", async (player) => {
    const before = server.asked.of("USER_NEW").length;
    const page = await browser.newPage();
    await page.goto(server.sluice.http(`live.html?player=${player}&user=anna-${player}`));
    await plays(page);
    await page.close();
    expect(server.asked.of("USER_NEW").length - before).toBe(1);
    expect(server.asked.of("USER_NEW").at(-1)?.lines[4]).toContain(`user=anna-${player}`);
  });

  it("shows the reason to a refused viewer", async () => {
    const page = await browser.newPage();
    await page.goto(server.sluice.http("live.html?user=eve"));
    await pageUntil(page, "/not allowed|refused|denied/i.test(document.body.innerText)");
    const { decision } = JSON.parse((await get(server.sluice.http("json_live.js?user=eve"))).text) as { decision: string };
    expect(decision).toMatch(/^\w+$/);
    expect(await page.innerText("#notice p")).toMatch(new RegExp(` \\(decision \\w{${decision.length}}\\)$`));
    expect(await page.evaluate('document.querySelector("video")?.currentTime ?? 0')).toBe(0);
    await page.close();
  });

  it("waits for an offline stream and starts when it comes", async () => {
    const page = await browser.newPage();
    await page.goto(server.sluice.http("live+later.html"));
    await pageUntil(page, "/offline/i.test(document.body.innerText)");
    await using later = startEncoder(server.sluice.rtmp("live/live+later"));
    await plays(page);
    await page.close();
    await later.stop();
  });
});
