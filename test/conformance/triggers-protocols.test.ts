import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import type { TriggerName } from "../../src/triggers/table.ts";
import type { Child } from "../support/child.ts";
import { startEncoder } from "../support/encoder.ts";
import { sampleMedia } from "../support/media.ts";
import { type MistScene, startMistScene } from "../support/mist-scene.ts";
import { openRtmp } from "../support/rtmp-viewer.ts";
import { get, hlsSegments, view } from "../support/viewer.ts";

const names = [
  ...["CONN_OPEN", "PLAY_REWRITE", "DEFAULT_STREAM", "STREAM_LOAD", "STREAM_SOURCE", "STREAM_READY", "STREAM_UNLOAD", "STREAM_BUFFER"],
  ...["USER_NEW", "CONN_PLAY", "CONN_CLOSE", "OUTPUT_END", "USER_END"],
] as TriggerName[];

/** Where the payload of a viewer's trigger names the connector. */
const connectorLine: Readonly<Record<string, number>> = {
  ...{ CONN_OPEN: 2, PLAY_REWRITE: 2, CONN_PLAY: 2, CONN_CLOSE: 2, OUTPUT_END: 2, USER_END: 2 },
  ...{ DEFAULT_STREAM: 3, USER_NEW: 3 },
};

let scene: MistScene;
let encoder: Child;

beforeAll(async () => {
  const film = await sampleMedia({ video: "h264", audio: "aac", seconds: 2, container: "mp4" });
  const push = { source: "push://" };
  const films = Object.fromEntries(["flv", "ws", "hls", "rtmp"].map((how) => [`film-${how}`, { source: film, inputtimeout: 1 }]));
  scene = await startMistScene(names, { streams: { live: push, gone: push, ...films } });
  encoder = startEncoder(scene.sluice.rtmp("live/live"));
  await scene.asked.called("STREAM_BUFFER", ({ lines }) => lines[0] === "live" && lines[1] === "FULL");
}, 60_000);
afterAll(async () => {
  await encoder?.stop();
  await scene?.[Symbol.asyncDispose]();
});
afterEach(() => scene.reset());

/** Every way to watch: opens `stream`, resolves when media has come, and leaves when it is told to. */
const ways: readonly (readonly [how: string, connector: string, watch: (stream: string, token: string) => Promise<() => void>])[] = [
  [
    "flv",
    "FLV",
    async (stream, token) => {
      const viewer = await view(scene.sluice.http(`${stream}.flv?tkn=${token}`));
      await viewer.atLeast(1_000);
      return () => viewer[Symbol.dispose]();
    },
  ],
  [
    "ws",
    "FLV",
    async (stream, token) => {
      const socket = new WebSocket(scene.sluice.http(`${stream}.flv?tkn=${token}`).replace("http:", "ws:"));
      await new Promise((resolve, reject) => socket.once("message", resolve).once("error", reject));
      return () => socket.close();
    },
  ],
  [
    "hls",
    "HLS",
    async (stream, token) => {
      const { segments } = await hlsSegments(scene.sluice.http(`hls/${stream}/index.m3u8?tkn=${token}`));
      expect(segments[0]?.bytes.length).toBeGreaterThan(1_000);
      return () => undefined;
    },
  ],
  [
    "rtmp",
    "RTMP",
    async (stream, token) => {
      const { client, outcome } = await openRtmp(scene.sluice.ports.rtmp, `${stream}?tkn=${token}`);
      expect(outcome.plays).toBe(true);
      return () => client.socket.destroy();
    },
  ],
];

/** Ends the viewer's session and resolves when all that comes of it since the mark has been told. */
async function end(token: string, connector: string): Promise<void> {
  const asked = await scene.asked.called("USER_NEW", ({ lines }) => lines[2] === token);
  await scene.sluice.api({ stop_sessid: asked.lines[5] });
  await scene.asked.called("USER_END", ({ lines }) => lines[0] === token);
  // It comes after CONN_CLOSE. Requests of HLS have none, and leave their connections open for a while.
  if (connector !== "HLS") await scene.asked.called("OUTPUT_END", (call) => scene.since().includes(call) && call.lines[2] === connector);
}

/** Where the payloads of `name` since the mark name their connectors. */
const connectors = (name: TriggerName): (string | undefined)[] => scene.since(name).map(({ lines }) => lines[connectorLine[name] ?? 0]);

describe.each(ways)("a viewer over %s (%s)", (how, connector, watch) => {
  it("of a live stream: each trigger is asked and told with the connector", async () => {
    const token = `live-${how}`;
    scene.mark();
    const leave = await watch("live", token);
    // Each of a player's HLS requests may have a connection of its own.
    for (const name of ["CONN_OPEN", "PLAY_REWRITE", "USER_NEW", "CONN_PLAY"] as const)
      expect([name, [...new Set(connectors(name))]]).toEqual([name, [connector]]);
    expect(scene.since("USER_NEW").map(({ lines }) => [lines[0], lines[2]])).toEqual([["live", token]]);
    expect(scene.since("PLAY_REWRITE")).toHaveLength(1);
    expect(scene.since("CONN_PLAY").map(({ lines }) => lines[0])).toEqual(scene.since("CONN_PLAY").map(() => "live"));
    leave();
    await end(token, connector);
    expect(connectors("USER_END")).toEqual([connector]);
    if (connector === "HLS") return;
    for (const name of ["CONN_OPEN", "CONN_PLAY", "CONN_CLOSE", "OUTPUT_END"] as const)
      expect([name, connectors(name).filter((one) => one === connector)]).toEqual([name, [connector]]);
  });

  it("of an offline stream: DEFAULT_STREAM is asked once and leads to what plays", async () => {
    const token = `gone-${how}`;
    scene.says.DEFAULT_STREAM = () => "live";
    scene.mark();
    const leave = await watch("gone", token);
    expect(scene.since("DEFAULT_STREAM").map(({ lines }) => [lines[1], lines[3]])).toEqual([["gone", connector]]);
    expect(scene.since("USER_NEW").map(({ lines }) => [lines[0], lines[3]])).toEqual([["live", connector]]);
    leave();
    await end(token, connector);
  });

  it("of a recording: it is loaded, and unloaded when nobody has used it for its time", async () => {
    const [stream, token] = [`film-${how}`, `vod-${how}`];
    scene.mark();
    const leave = await watch(stream, token);
    const about = (name: TriggerName): string[] =>
      scene
        .since(name)
        .map(({ body }) => body)
        .filter((body) => body.startsWith(stream));
    // Recorded as `vod`, and `vod`, `MP4`.
    expect([about("STREAM_LOAD"), about("STREAM_SOURCE"), about("STREAM_READY")]).toEqual([[stream], [stream], [`${stream}\nMP4`]]);
    leave();
    await end(token, connector);
    await scene.asked.called("STREAM_UNLOAD", ({ body }) => body === `${stream}\nMP4\ncancelable`);
  });

  it("who is refused: one USER_NEW, no CONN_PLAY, no USER_END", async () => {
    scene.says.USER_NEW = () => "false";
    scene.mark();
    await expect(watch("live", `no-${how}`)).rejects.toThrow();
    if (connector === "HLS")
      expect((await get(scene.sluice.http(`hls/live/index.m3u8?tkn=no-${how}`), { Connection: "close" })).status).toBe(403);
    expect(scene.since("USER_NEW").map(({ lines }) => [lines[2], lines[3]])).toEqual([[`no-${how}`, connector]]);
    expect(scene.since("CONN_PLAY")).toEqual([]);
    await scene.asked.called("CONN_CLOSE", (call) => scene.since().includes(call));
    // If there were a session it would be told of now; the end of one that there is shows that it has had its time.
    await scene.sluice.api({ stop_sessid: scene.since("USER_NEW")[0]?.lines[5] });
    await scene.reset();
    (await watch("live", `yes-${how}`))();
    await end(`yes-${how}`, connector);
    expect(scene.since("USER_END").map(({ lines }) => lines[0])).toEqual([`yes-${how}`]);
  });
});
