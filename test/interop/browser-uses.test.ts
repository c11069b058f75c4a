import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { pageUntil, startBrowser } from "../support/browser.ts";
import type { Child } from "../support/child.ts";
import { type Decided, forms, reason, startDecided } from "../support/decided.ts";
import { startEncoder } from "../support/encoder.ts";
import { sampleMedia } from "../support/media.ts";
import { get, hlsSegments } from "../support/viewer.ts";

const hidden = "hidden-stream-9";
const key = "key-5e1c0a97b3d2";
const video = 'document.querySelector("video")';

/** The uses as a viewer in a browser meets them: the player page, hls.js, and decisions that change while it plays. */
describe.each(forms)("the uses in Chromium by %s handlers", (form) => {
  const words = form === "typescript" ? reason : "not allowed";
  let server: Decided;
  let browser: Awaited<ReturnType<typeof startBrowser>>;
  const encoders: Child[] = [];
  const refused = new Set<string>();
  let full = false;
  const userOf = (url = ""): string => new URL(url).searchParams.get("user") ?? "";

  beforeAll(async () => {
    const recording = await sampleMedia({ video: "h264", audio: "aac", seconds: 90, container: "mp4", size: "320x180" });
    server = await startDecided(
      form,
      {
        DEFAULT_STREAM: ([, stream = ""]) => (stream.startsWith("tok-") ? hidden : stream === "show" ? "recording" : ""),
        USER_NEW: (lines) =>
          String(
            (lines[4] ?? "").includes("tok-") ||
              (userOf(lines[4]) !== "" && !refused.has(userOf(lines[4])) && !(full && userOf(lines[4]).startsWith("late"))),
          ),
        PUSH_REWRITE: ([, , name = ""]) => (name === key ? "secretly" : name),
        STREAM_BUFFER: () => "",
      },
      {
        streams: {
          [hidden]: { source: "push://" },
          live: { source: "push://" },
          show: { source: "push://" },
          secretly: { source: "push://" },
          recording: { source: recording },
        },
      },
    );
    browser = await startBrowser();
    for (const name of [hidden, "live"]) {
      encoders.push(startEncoder(server.sluice.rtmp(`live/${name}`)));
      await isFull(name);
    }
  }, 90_000);
  afterAll(async () => {
    await browser?.[Symbol.asyncDispose]();
    for (const encoder of encoders) await encoder.stop();
    await server?.[Symbol.asyncDispose]();
  });

  const isFull = (name: string): Promise<unknown> =>
    server.asked.called("STREAM_BUFFER", (call) => call.lines[0] === name && call.lines[1] === "FULL", 30_000);
  const asksOf = (user: string) => server.asked.of("USER_NEW").filter((call) => userOf(call.lines[4]) === user);

  async function open(path: string): Promise<Page> {
    const page = await browser.newPage();
    await page.goto(server.sluice.http(path));
    return page;
  }

  /** Resolves when the page's video has moved on by `seconds`. */
  async function plays(page: Page, seconds = 2): Promise<void> {
    const begun = await pageUntil(page, `${video}.readyState >= 3 && ${video}.currentTime > 0 && ${video}.currentTime`);
    await pageUntil(page, `${video}.currentTime > ${Number(begun) + seconds}`, 30_000 + seconds * 1000);
  }

  it.each(["hls", "flv"])("a viewing token shows the real name nowhere (%s)", async (player) => {
    const page = await browser.newPage();
    const seen: string[] = [];
    const bodies: Promise<unknown>[] = [];
    page.on("request", (request) => seen.push(request.url(), JSON.stringify(request.headers())));
    page.on("console", (message) => seen.push(message.text()));
    page.on("response", (response) => {
      seen.push(JSON.stringify(response.headers()));
      // A live FLV body has no end; its beginning is looked at in viewing-tokens.test.ts.
      if (/\.(m3u8|js|html)(\?|$)/.test(response.url()))
        bodies.push(
          response.text().then(
            (text) => seen.push(text),
            () => {},
          ),
        );
    });
    await page.goto(server.sluice.http(`tok-browser.html?player=${player}`));
    await plays(page, 5);
    seen.push(
      await page.content(),
      String(await page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie, document.title])")),
    );
    seen.push(String(await page.evaluate("JSON.stringify(performance.getEntries().map((entry) => entry.name))")));
    await Promise.all(bodies);
    await page.close();
    expect(seen.filter((text) => text.includes(hidden))).toEqual([]);
    expect(seen.some((text) => text.includes("tok-browser"))).toBe(true);
    expect(seen.some((text) => (player === "hls" ? text.includes("#EXTINF") : text.includes("tok-browser.flv")))).toBe(true);
  });

  it.each(["hls", "flv"])("a viewer who may not go on is stopped and told why (%s)", async (player) => {
    const page = await open(`live.html?player=${player}&user=dora-${player}`);
    await plays(page);
    refused.add(`dora-${player}`);
    const begun = performance.now();
    await server.sluice.api({ invalidate_sessions: "live" });
    await pageUntil(page, `window.sluice.state === "refused" && document.body.innerText.includes(${JSON.stringify(words)})`, 10_000);
    // Two seconds, and for HLS the time until the playlist is due again.
    expect(performance.now() - begun).toBeLessThan(player === "hls" ? 2000 + 3000 : 2000);
    expect(await page.evaluate(`${video}.currentTime === 0 && !${video}.currentSrc.startsWith("blob:") || ${video}.readyState === 0`)).toBe(
      true,
    );
    await page.close();
  });

  it("a viewer who may go on notices nothing when all are asked again", async () => {
    const page = await open("live.html?player=hls&user=anna");
    const fatal: string[] = [];
    page.on("console", (message) => message.type() === "error" && fatal.push(message.text()));
    await plays(page);
    const asked = asksOf("anna").length;
    expect(asked).toBe(1);
    await server.sluice.api({ invalidate_sessions: "live" });
    let last = Number(await page.evaluate(`${video}.currentTime`));
    let moved = performance.now();
    let longest = 0;
    for (const end = performance.now() + 8000; performance.now() < end; ) {
      const now = Number(await page.evaluate(`${video}.currentTime`));
      if (now > last) moved = performance.now();
      longest = Math.max(longest, performance.now() - moved);
      last = now;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(longest).toBeLessThan(1000);
    expect(await page.evaluate("[window.sluice.state, window.sluice.error ?? null, window.sluice.player]")).toEqual([
      "playing",
      null,
      "hls",
    ]);
    expect(fatal).toEqual([]);
    expect(asksOf("anna")).toHaveLength(2);
    await page.close();
  });

  it("page, information and hls.js are one viewer, asked about once in 20 seconds", async () => {
    const page = await open("live.html?player=hls&user=once");
    let segments = 0;
    page.on("request", (request) => {
      if (/\.ts\?/.test(request.url())) segments++;
    });
    await plays(page, 20);
    expect(segments).toBeGreaterThan(6);
    expect(asksOf("once")).toHaveLength(1);
    const { clients } = (await server.sluice.api({ clients: {} })) as { clients: { fields: string[]; data: unknown[][] } };
    const id = asksOf("once")[0]!.lines[5];
    const at = clients.fields.indexOf("sessid");
    expect(clients.data.filter((row) => row[at] === id)).toHaveLength(1);
    await page.close();
  });

  it("the recording gives way to the stream by stop_sessid, and the page is on it by itself", async () => {
    const page = await open("show.html?user=mover");
    await plays(page);
    expect(await page.innerText("#badge")).toBe("RECORDING");
    expect(await page.evaluate("window.sluice.player")).toBe("hls");
    const session = asksOf("mover")[0]!;
    expect(session.lines[0]).toBe("recording");
    encoders.push(startEncoder(server.sluice.rtmp("live/show")));
    await isFull("show");
    expect(await page.innerText("#badge")).toBe("RECORDING");
    await server.sluice.api({ stop_sessid: session.lines[5] });
    await pageUntil(page, 'document.querySelector("#badge").textContent === "LIVE" && window.sluice.state === "playing"', 15_000);
    await plays(page);
    expect(asksOf("mover").map((call) => call.lines[0])).toEqual(["recording", "show"]);
    await page.close();
  });

  it("whoever plays HLS without the page is asked about anew with the same parameters", async () => {
    const { sluice } = server;
    const top = sluice.http("hls/live/index.m3u8?user=plain&tkn=plain-player");
    const { playlists, segments } = await hlsSegments(top);
    await sluice.api({ stop_sessid: asksOf("plain")[0]!.lines[5] });
    expect((await fetch(segments[0]!.url)).status).toBe(200);
    await sluice.api({ stop_sessid: asksOf("plain")[0]!.lines[5] });
    const media = new URL(playlists[0]!.split("\n").find((line) => line.includes(".m3u8"))!, top).href;
    expect((await get(media)).status).toBe(200);
    expect(asksOf("plain")).toHaveLength(3);
    expect(server.asked.of("USER_NEW").filter((call) => call.lines[2] === "plain-player")).toHaveLength(3);
  });

  it("a stream that was pushed by its key starts at once when it is listed, and the page never meets the key", async () => {
    encoders.push(startEncoder(server.sluice.rtmp(`live/${key}`)));
    await isFull("secretly");
    const { active_streams: listed } = (await server.sluice.api({ active_streams: ["status"] })) as {
      active_streams: Record<string, string[]>;
    };
    expect(listed.secretly).toEqual(["Online"]);
    const page = await browser.newPage();
    const met: string[] = [];
    page.on("request", (request) => void met.push(request.url()));
    page.on(
      "response",
      (response) =>
        void response.text().then(
          (text) => met.push(text),
          () => {},
        ),
    );
    await page.goto(server.sluice.http("secretly.html?player=hls&user=anna"));
    await plays(page);
    expect(met.length).toBeGreaterThan(5);
    expect(met.join("\n")).not.toContain(key);
    await page.close();
  });

  it("while a stream is full a new viewer is refused and who is in plays on; with room again he is let in without a wait", async () => {
    const inside = await open("live.html?player=hls&user=early");
    await plays(inside);
    full = true;
    const late = await open("live.html?player=hls&user=late");
    await pageUntil(late, `window.sluice.state === "refused" && document.body.innerText.includes(${JSON.stringify(words)})`, 10_000);
    await plays(inside);
    full = false;
    await server.sluice.api({ invalidate_sessions: "live" });
    await late.reload();
    await plays(late);
    await plays(inside);
    expect(await inside.evaluate("window.sluice.state")).toBe("playing");
    await inside.close();
    await late.close();
  });
});
