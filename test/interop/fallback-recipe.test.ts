import { readFileSync } from "node:fs";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { pageUntil, startBrowser } from "../support/browser.ts";
import { startChild } from "../support/child.ts";
import { startEncoder } from "../support/encoder.ts";
import { playWithFfmpeg } from "../support/player.ts";
import { startSluice } from "../support/sluice.ts";
import { root } from "../support/source-files.ts";
import { get } from "../support/viewer.ts";

const page = readFileSync(join(root, "docs/recipes/offline-fallback.md"), "utf8");
const block = (language: string): string => new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, "ms").exec(page)?.[1] ?? "";

async function run(line: string, folder: string): Promise<void> {
  await using child = startChild("sh", ["-c", `${line.replace("ffmpeg ", "ffmpeg -nostdin -loglevel error ")}`], { cwd: folder });
  expect(await child.exited, child.stderr()).toBe(0);
}

async function withClip(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "sluice-slate-"));
  try {
    await run("ffmpeg -f lavfi -i color=red:size=64x36 -frames:v 1 slate.png", folder);
    await run(block("sh"), folder);
    await use(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The recipe as it is printed; folders aside. */
describe("the recipe of a slate", () => {
  it("loops the clip for who opens the offline stream, and takes viewers to it", async () => {
    await withClip(async (folder) => {
      const config = block("ts").replace("/recordings/", `${folder}/none-`).replace("/slates/", `${folder}/`);
      await using sluice = await startSluice({ config });
      // Longer than the clip.
      const played = await playWithFfmpeg(sluice.http("live.flv"), 12, 40_000);
      expect(played.videoFrames, played.output).toBeGreaterThanOrEqual(290);
      const info = JSON.parse((await get(sluice.http("json_live.js"))).text) as Record<string, unknown>;
      expect(info).toMatchObject({
        fallback: "seamless",
        redirected: ["live", "live"],
        liveAgain: false,
        shows: "recording",
        offlineSince: expect.any(Number),
      });
      await using backup = startEncoder(sluice.rtmp("live/backup"));
      await using encoder = startEncoder(sluice.rtmp("live/live"));
      await sluice.child.printed(/its viewers are taken back to it/);
      await encoder.stop("SIGKILL");
      await sluice.child.printed(/viewers are shown backup/);
      expect(backup.process.exitCode).toBeNull();
    });
  }, 120_000);

  it("offers the way back on the player page, where the operator wants it so", async () => {
    await withClip(async (folder) => {
      const fallback = { sources: [`${folder}/slate.mp4`], switch: "offer" };
      await using sluice = await startSluice({ config: { streams: { live: { source: "push://", fallback } } } });
      await using browser = await startBrowser();
      const tab = await browser.newPage();
      await tab.goto(sluice.http("live.html"));
      const size = 'document.querySelector("video").videoWidth';
      await pageUntil(tab, `${size} === 1280`, 40_000);
      expect(await tab.evaluate('document.querySelector("#offer").hidden')).toBe(true);
      expect(await tab.innerText("#badge")).toBe("OFFLINE, showing a recording");
      await using encoder = startEncoder(sluice.rtmp("live/live"), { size: "640x360" });
      await pageUntil(tab, '!document.querySelector("#offer").hidden', 40_000);
      expect(await tab.evaluate(size)).toBe(1280);
      expect(await tab.innerText("#badge")).toBe("LIVE AGAIN, showing a recording");
      await tab.click("#offer");
      await pageUntil(tab, `${size} === 640 && document.querySelector("#offer").hidden`, 40_000);
      expect(await tab.innerText("#badge")).toBe("LIVE");
      await encoder.stop();
    });
  }, 120_000);

  it("says on the player page what it shows, while nothing is opened anew", async () => {
    const fallback = { sources: ["slate"], minOutage: 0, minStable: 0 };
    await using sluice = await startSluice({ config: { streams: { live: { source: "push://", fallback }, slate: "push://" } } });
    await using slate = startEncoder(sluice.rtmp("live/slate"), { size: "320x180" });
    const first = startEncoder(sluice.rtmp("live/live"), { size: "640x360" });
    await using browser = await startBrowser();
    const tab = await browser.newPage();
    await tab.goto(sluice.http("live.html"));
    const badge = (text: string): Promise<unknown> =>
      pageUntil(
        tab,
        `document.querySelector("#badge").textContent === ${JSON.stringify(text)} && window.sluice.state === "playing"`,
        40_000,
      );
    await badge("LIVE");
    await first.stop("SIGKILL");
    await badge("OFFLINE, showing another stream");
    await using again = startEncoder(sluice.rtmp("live/live"), { size: "640x360" });
    await badge("LIVE");
    expect([slate.process.exitCode, again.process.exitCode]).toEqual([null, null]);
  }, 120_000);
});
