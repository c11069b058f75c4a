import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { encodeAmf0 } from "../../src/containers/amf/amf0.ts";
import { type Child, startChild } from "../support/child.ts";
import { flvTags, legacyHevcTags, readFlv } from "../support/flv-bytes.ts";
import { decodeErrors, probeMedia, sampleMedia, type SampleOptions } from "../support/media.ts";
import { decodeModern, probeModern, remuxModern } from "../support/modern-ffmpeg.ts";
import { RtmpClient } from "../support/rtmp-client.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";
import { whenPlayable } from "../support/stream-info.ts";
import { root } from "../support/source-files.ts";
import { get, hlsSegments } from "../support/viewer.ts";

const reason = "please subscribe first";
const seconds = 9;

/** Every encoder that users have, into the real server, and out again over each output. */
let sluice: Sluice;
let folder: string;
const samples = new Map<string, string>();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluice-encoders-"));
  sluice = await startSluice({
    config: `
import { allow, defineConfig, deny } from "sluice";
export default defineConfig({
  streams: { in: { source: "push://", segmentsize: 900 } },
  triggers: { STREAM_PUSH: ({ stream }) => (stream === "in+refused" ? deny(${JSON.stringify(reason)}) : allow()) },
});
`,
  });
  for (const one of encoders) if (one.media) samples.set(one.name, await sampleMedia({ seconds, ...one.media }));
}, 180_000);
afterAll(async () => {
  await sluice?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

type Publishing = { readonly done: Promise<void> } & AsyncDisposable;
type Encoder = {
  readonly name: string;
  readonly media?: Pick<SampleOptions, "video" | "audio" | "bframes" | "container" | "sampleRate">;
  readonly start: (url: string, file: string) => Publishing | Promise<Publishing>;
  /** RFC 6381 strings and MistServer's names of the tracks. */
  readonly tracks: readonly { readonly codec: string; readonly codecstring: RegExp }[];
  /** What HLS carries of it, as ffprobe names it; nothing: HLS says no in words. */
  readonly hls: readonly string[];
};

const asPublishing = (child: Child): Publishing => ({
  done: child.exited.then((code) => {
    if (code !== 0) throw new Error(`the encoder ended with ${code}: ${child.stderr()}`);
  }),
  [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
});
const ffmpegCopy = (url: string, file: string): Child =>
  startChild("ffmpeg", ["-hide_banner", "-loglevel", "error", "-nostdin", "-re", "-i", file, "-c", "copy", "-f", "flv", url]);
const modern = (url: string, file: string): Child =>
  startChild(process.execPath, [join(root, "test/support/modern-publisher.ts"), file, url]);
const gstreamer = (sink: string, url: string): Child =>
  startChild("gst-launch-1.0", [
    ...["-q", "flvmux", "name=mux", "streamable=true", "!", sink, `location=${url}`, "videotestsrc", "is-live=true"],
    ...[`num-buffers=${seconds * 25}`, "!", "video/x-raw,width=160,height=90,framerate=25/1", "!", "x264enc", "tune=zerolatency"],
    ...["speed-preset=ultrafast", "key-int-max=25", "!", "h264parse", "!", "mux.", "audiotestsrc", "is-live=true"],
    ...[`num-buffers=${Math.floor((seconds * 44_100) / 1024)}`, "!", "avenc_aac", "!", "aacparse", "!", "mux."],
  ]);

/** Sends tags over our own client at their time, as a small hardware encoder does. */
async function raw(url: string, file: string): Promise<Publishing> {
  const flv = join(folder, "legacy.flv");
  await remuxModern(file, flv, "flv");
  const tags = await legacyHevcTags(flv);
  const client = new RtmpClient(sluice.ports.rtmp);
  client.connect("live");
  client.command("createStream", null);
  client.command("publish", null, new URL(url).pathname.split("/").at(-1), "live");
  await client.status("NetStream.Publish.Start");
  const begun = performance.now();
  const send = async (): Promise<void> => {
    for (const { type, timestampMs, body } of tags) {
      const early = timestampMs - (performance.now() - begun);
      if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
      const payload = type === 18 ? Buffer.concat([encodeAmf0(["@setDataFrame"]), body]) : body;
      client.send({ type, payload, timestamp: timestampMs });
    }
    client.command("deleteStream", null, 1);
  };
  return { done: send(), [Symbol.asyncDispose]: () => client[Symbol.asyncDispose]() };
}

const avc = { codec: "H264", codecstring: /^avc1\.[0-9a-f]{6}$/ };
const hevc = { codec: "HEVC", codecstring: /^hvc1\.1\.6\.L30\.90$/ };
const aac = { codec: "AAC", codecstring: /^mp4a\.40\.2$/ };
const mp3 = { codec: "MP3", codecstring: /^mp4a\.40\.34$/ };
const av1 = { codec: "AV1", codecstring: /^av01\.0\.00M\.08$/ };
const vp9 = { codec: "VP9", codecstring: /^vp09\.00\.10\.08$/ };
const opus = { codec: "opus", codecstring: /^opus$/ };
const byFfmpeg = (url: string, file: string): Publishing => asPublishing(ffmpegCopy(url, file));
const byModern = (url: string, file: string): Publishing => asPublishing(modern(url, file));

const encoders: readonly Encoder[] = [
  {
    name: "ffmpeg-h264-aac",
    media: { video: "h264", audio: "aac", bframes: 2 },
    start: byFfmpeg,
    tracks: [avc, aac],
    hls: ["h264", "aac"],
  },
  {
    name: "ffmpeg-h264-mp3",
    media: { video: "h264", audio: "mp3", sampleRate: 44_100 },
    start: byFfmpeg,
    tracks: [avc, mp3],
    hls: ["h264", "mp3"],
  },
  { name: "rtmp2sink", start: (url) => asPublishing(gstreamer("rtmp2sink", url)), tracks: [avc, aac], hls: ["h264", "aac"] },
  { name: "librtmp", start: (url) => asPublishing(gstreamer("rtmpsink", url)), tracks: [avc, aac], hls: ["h264", "aac"] },
  {
    name: "modern-hevc-aac",
    media: { video: "hevc", audio: "aac", bframes: 2 },
    start: byModern,
    tracks: [hevc, aac],
    hls: ["hevc", "aac"],
  },
  { name: "modern-av1-opus", media: { video: "av1", audio: "opus" }, start: byModern, tracks: [av1, opus], hls: [] },
  { name: "modern-vp9-opus", media: { video: "vp9", audio: "opus" }, start: byModern, tracks: [vp9, opus], hls: [] },
  { name: "modern-vp9-mp3", media: { video: "vp9", audio: "mp3" }, start: byModern, tracks: [vp9, mp3], hls: ["mp3"] },
  { name: "modern-h264-mp3", media: { video: "h264", audio: "mp3" }, start: byModern, tracks: [avc, mp3], hls: ["h264", "mp3"] },
  { name: "legacy-hevc", media: { video: "hevc", audio: "aac" }, start: raw, tracks: [hevc, aac], hls: ["hevc", "aac"] },
];

/** All of HTTP-FLV from now until the stream ends, in a file. */
async function capture(name: string): Promise<{ readonly path: string; readonly bytes: Uint8Array }> {
  const response = await fetch(sluice.http(`${name}.flv`));
  expect(response.status).toBe(200);
  const bytes = new Uint8Array(await response.arrayBuffer());
  const path = join(folder, `${name}.flv`);
  await writeFile(path, bytes);
  return { path, bytes };
}

async function checkHls(name: string, expected: readonly string[]): Promise<void> {
  const url = sluice.http(`hls/${name}/index.m3u8`);
  if (expected.length === 0) {
    const answer = await get(url);
    expect(answer.status).toBe(415);
    expect(answer.text).toMatch(/no track of the stream plays over HLS, which takes h264, hevc, aac, mp3/);
    return;
  }
  const { segments } = await hlsSegments(url, 3);
  const path = join(folder, `${name}.ts`);
  await writeFile(path, Buffer.concat(segments.map(({ bytes }) => bytes)));
  const { streams, packets } = await probeMedia(path);
  expect(streams.map(({ codec_name }) => codec_name)).toEqual(expected);
  const frames = packets.filter(({ codec_type }) => codec_type === "video").length;
  if (streams[0]?.codec_type === "video") expect(frames).toBe(segments.length * 25);
  expect(await decodeErrors(path)).toBe("");
}

describe.concurrent("encoders", () => {
  it.for(encoders)("$name is played over every output that can carry it", async ({ name, start, tracks, hls, media }, { expect }) => {
    const stream = `in+${name}`;
    const file = samples.get(name) ?? "";
    await using publishing = await start(sluice.rtmp(`live/${stream}`), file);
    const failed = publishing.done.then(() => Promise.reject(new Error(`${name} ended before its stream played`)));
    failed.catch(() => {});
    const info = await whenPlayable(sluice, stream, failed);
    expect(info).toMatchObject({ width: 160, height: 90, type: "live" });
    const told = Object.values(info.meta.tracks).toSorted((a, b) => b.type.localeCompare(a.type));
    expect(told.map(({ codec }) => codec)).toEqual(tracks.map(({ codec }) => codec));
    for (const [index, { codecstring }] of tracks.entries()) expect(told[index]?.codecstring).toMatch(codecstring);
    expect(told[0]).toMatchObject({ width: 160, height: 90 });

    const [flv, rtmp] = await Promise.all([capture(stream), probeModern(sluice.rtmp(`play/${stream}`)), checkHls(stream, hls)]);
    await publishing.done;

    // From a keyframe on to the last frame of the source, all of them, and each can be decoded.
    const played = readFlv(flv.bytes);
    const video = played.packets.filter(({ trackId }) => trackId === 1);
    expect(flvTags(flv.bytes).find(({ kind }) => kind.startsWith("video") && kind !== "video config")?.kind).toBe("video key");
    expect(await decodeModern(flv.path)).toBe(video.length);
    const rtmpVideo = rtmp.packets.filter((line) => line.startsWith("0 ")).map((line) => Number(line.split(" ").at(-1)));
    if (media) {
      const source = (await probeMedia(file)).packets;
      const sizes = source.filter(({ codec_type }) => codec_type === "video").map(({ size }) => Number(size));
      expect(sizes).toHaveLength(seconds * 25);
      expect(video.length).toBeGreaterThan(50);
      expect(video.map(({ data }) => data.length)).toEqual(sizes.slice(-video.length));
      expect(rtmpVideo).toEqual(sizes.slice(-rtmpVideo.length));
      const sound = played.packets.filter(({ trackId }) => trackId === 2).map(({ data }) => data.length);
      const sourceSound = source.filter(({ codec_type }) => codec_type === "audio").map(({ size }) => Number(size));
      expect(sound).toEqual(sourceSound.slice(-sound.length));
    }
    expect(rtmpVideo.length).toBeGreaterThan(50);
    expect(played.tracks.map(({ codecString }) => codecString)).toEqual(told.map(({ codecstring }) => codecstring));
  });
});

describe("a refused publisher stops", () => {
  const url = (): string => sluice.rtmp("live/in+refused");

  it("ffmpeg ends and prints the reason", async () => {
    await using ffmpeg = ffmpegCopy(url(), samples.get("ffmpeg-h264-aac") ?? "");
    expect(await ffmpeg.exited).not.toBe(0);
    expect(ffmpeg.stderr()).toContain(reason);
  });

  it("a modern FFmpeg ends and prints the reason", async () => {
    await using publisher = modern(url(), samples.get("modern-hevc-aac") ?? "");
    expect(await publisher.exited).not.toBe(0);
    expect(publisher.stderr()).toContain(reason);
  });

  it.each(["rtmp2sink", "rtmpsink"])("GStreamer's %s ends", async (sink) => {
    await using gst = gstreamer(sink, url());
    expect(await gst.exited).not.toBe(0);
    // librtmp tells only its own log of the reason.
    if (sink === "rtmp2sink") expect(gst.stderr()).toContain(reason);
  });

  it("and its stream never was", async () => {
    expect(JSON.parse((await get(sluice.http("json_in+refused.js"))).text)).toMatchObject({ error: "Stream is offline" });
  });
});
