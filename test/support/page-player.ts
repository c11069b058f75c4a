import { join } from "node:path";
import type { Page } from "playwright-core";
import { pageUntil } from "./browser.ts";
import type { Sluice } from "./sluice.ts";
import { root } from "./source-files.ts";

/** A player library alone in a page, with what it had to complain of. */
export type RunningPlayer = {
  readonly name: string;
  /** Resolves when the picture has gone on by so many seconds. */
  plays(seconds: number): Promise<void>;
  facts(): Promise<PlayerFacts>;
};

export type PlayerFacts = {
  /** Errors that the library says it cannot go on after. */
  readonly fatal: readonly string[];
  /** All complaints with their counts. */
  readonly errors: Readonly<Record<string, number>>;
  /** How often the media address was opened: the stream over FLV, the multivariant playlist over HLS. */
  readonly opened: number;
  /** Sizes of the picture, in their order. */
  readonly sizes: readonly string[];
  readonly time: number;
  readonly buffered: readonly (readonly [number, number])[];
  readonly ready: number;
  readonly frames: number;
};

const scripts = { hls: "node_modules/hls.js/dist/hls.js", flv: "node_modules/mpegts.js/dist/mpegts.js" } as const;
const page0 = `
  window.facts = { fatal: [], errors: {}, sizes: [] };
  window.complain = (what, fatal) => {
    facts.errors[what] = (facts.errors[what] ?? 0) + 1;
    if (fatal && facts.errors[what] === 1) facts.fatal.push(what);
  };
  const video = document.createElement("video");
  video.muted = true;
  document.body.append(video);
  video.addEventListener("resize", () => facts.sizes.push(video.videoWidth + "x" + video.videoHeight));
  video.addEventListener("error", () => complain("video: " + video.error?.message, true));
`;
const starts = {
  hls: (url: string) => `
    const hls = new Hls();
    hls.on(Hls.Events.ERROR, (_, data) => complain(data.details + (data.error ? ": " + data.error.message : ""), data.fatal));
    hls.on(Hls.Events.MANIFEST_PARSED, () => video.play());
    hls.loadSource(${JSON.stringify(url)});
    hls.attachMedia(video);`,
  flv: (url: string) => `
    const player = mpegts.createPlayer({ type: "flv", isLive: true, url: ${JSON.stringify(url)} });
    player.on(mpegts.Events.ERROR, (...what) => complain(JSON.stringify(what), true));
    player.on(mpegts.Events.LOADING_COMPLETE, () => complain("the stream has ended", true));
    player.attachMediaElement(video);
    player.load();
    player.play();`,
};

/** Plays a stream of the server in a page. */
export async function openPlayer(page: Page, sluice: Sluice, kind: "hls" | "flv", stream: string): Promise<RunningPlayer> {
  const url = sluice.http(kind === "hls" ? `hls/${stream}/index.m3u8?tkn=page-${stream}` : `${stream}.flv?tkn=page-${stream}`);
  const name = `${kind} ${stream}`;
  let opened = 0;
  page.on("request", (request) => {
    if (request.url() === url) opened++;
  });
  await page.goto(sluice.http("json_none.js"));
  await page.addScriptTag({ path: join(root, scripts[kind]) });
  await page.evaluate(`(() => {${page0}${starts[kind](url)}})()`);
  const facts = async (): Promise<PlayerFacts> => ({
    ...((await page.evaluate(`(() => {
      const video = document.querySelector("video");
      const buffered = Array.from({ length: video.buffered.length }, (_, at) => [video.buffered.start(at), video.buffered.end(at)]);
      const frames = video.getVideoPlaybackQuality().totalVideoFrames;
      return { ...facts, time: video.currentTime, buffered, ready: video.readyState, frames };
    })()`)) as Omit<PlayerFacts, "opened">),
    opened,
  });
  return {
    name,
    facts,
    plays: async (seconds) => {
      const begun = Number(await page.evaluate('document.querySelector("video").currentTime'));
      await pageUntil(page, `document.querySelector("video").currentTime > ${begun + seconds}`, 30_000).catch(async (error: unknown) => {
        throw new Error(`${name} does not play on: ${JSON.stringify(await facts())}`, { cause: error });
      });
    },
  };
}
