import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { pageUntil, startBrowser } from "../support/browser.ts";
import { type EdgeRequest, startEdge } from "../support/edge.ts";
import { type Child, startChild } from "../support/child.ts";
import { startEncoder } from "../support/encoder.ts";
import { openRtmp } from "../support/rtmp-viewer.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";
import { get, view } from "../support/viewer.ts";

/** A page of somebody's: hls.js as it comes, with nothing set but where it may begin. */
const page = `(url) => {
  const video = document.createElement("video");
  video.muted = true;
  document.body.append(video);
  const hls = new Hls();
  window.seen = { fatal: [], errors: [], ended: false };
  hls.on(Hls.Events.ERROR, (_, { fatal, details }) => (fatal ? seen.fatal : seen.errors).push(details));
  video.addEventListener("ended", () => (seen.ended = true));
  window.video = video;
  hls.loadSource(url);
  hls.attachMedia(video);
  hls.on(Hls.Events.MANIFEST_PARSED, () => video.play());
}`;

/** A viewer's yes ends while it watches: what each kind of player gets, and what it does then. */
describe.each([false, true])("a yes that becomes a no, with shared segments: %s", (shared) => {
  const all = new AsyncDisposableStack();
  let sluice: Sluice;
  let edge: Awaited<ReturnType<typeof startEdge>>;
  let encoders: Child[];

  beforeAll(async () => {
    const config = `
      import { allow, deny } from "sluice";
      export default {
        protocols: { hls: { sharedSegments: ${shared} } },
        triggers: { USER_NEW: ({ recheck, stream }) => (recheck ? deny("your time is up") : (console.error("LET IN", stream), allow())) },
      };`;
    sluice = all.use(await startSluice({ config }));
    edge = all.use(await startEdge(sluice.ports.http));
    // Each test has a stream of its own: the no is for all who watch it.
    encoders = ["chromium", "ffmpeg", "flv"].map((name) => all.use(startEncoder(sluice.rtmp(`live/${name}`))));
    await Promise.all(encoders.map((encoder) => encoder.printed(/frame=/)));
  });
  afterAll(() => all.disposeAsync());

  const end = async (stream: string): Promise<number> => {
    await sluice.api({ invalidate_sessions: stream });
    return performance.now();
  };
  const after = (time: number, stream: string): EdgeRequest[] =>
    edge.requests.filter(({ at, path }) => at > time && path.includes(`/hls/${stream}/`));
  const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

  it("ends the programme in hls.js, without a fatal error, and it asks no more", async () => {
    await using browser = await startBrowser();
    const tab = await browser.newPage();
    const base = `http://127.0.0.1:${edge.port}`;
    await tab.goto(`${base}/json_chromium.js`);
    await tab.addScriptTag({ url: `${base}/player/hls.js` });
    await tab.evaluate(`(${page})("${base}/hls/chromium/index.m3u8")`);
    await pageUntil(tab, "window.video.currentTime > 3");
    const time = await end("chromium");
    await pageUntil(tab, "window.seen.ended");
    // No storm comes later, either: also not when the half minute in which the playlist has an end is over.
    await pause(15_000);
    const requests = after(time, "chromium");
    expect(await tab.evaluate("window.seen.fatal")).toEqual([]);
    expect(requests.length, JSON.stringify(requests)).toBeLessThanOrEqual(4);
    expect(requests.at(-1)?.status).toBe(200);
  });

  it("ends the programme in ffmpeg: it stops by itself, with success, after a request or two", async () => {
    await using player = startChild("ffmpeg", [
      "-hide_banner",
      "-nostdin",
      "-i",
      `http://127.0.0.1:${edge.port}/hls/ffmpeg/index.m3u8`,
      "-f",
      "null",
      "-",
    ]);
    await player.printed(/frame=\s*[1-9]\d\d /);
    const time = await end("ffmpeg");
    expect(await player.exited).toBe(0);
    const requests = after(time, "ffmpeg");
    expect(requests.length, JSON.stringify(requests)).toBeLessThanOrEqual(3);
  });

  it("closes FLV, WebSocket and RTMP within two seconds, those that can be told with the reason; who comes again is refused", async () => {
    const viewer = await view(sluice.http("flv.flv?tkn=a"));
    await viewer.atLeast(20_000);
    const socket = new WebSocket(sluice.http("flv.flv?tkn=b").replace("http", "ws"));
    await new Promise((resolve, reject) => socket.once("message", resolve).once("error", reject));
    const closed = new Promise<[number, string]>((resolve) => socket.once("close", (code, reason) => resolve([code, reason.toString()])));
    const { client } = await openRtmp(sluice.ports.rtmp, "flv");
    await using _leaving = client;
    const time = await end("flv");
    await viewer.closed;
    await client.closed;
    expect(await closed).toEqual([1008, "your time is up"]);
    expect(performance.now() - time).toBeLessThan(2000);
    const status = client.commands.filter(([command]) => command === "onStatus").at(-1)?.[3];
    expect(status).toMatchObject({ level: "error", code: "NetStream.Play.Failed", description: "your time is up" });
    const again = await get(sluice.http("flv.flv?tkn=a"));
    expect([again.status, again.text.split("\n")[0]]).toEqual([403, "your time is up"]);
    const playlist = await get(sluice.http("hls/flv/index.m3u8?tkn=a"));
    expect(playlist.status).toBe(403);
  });
});
