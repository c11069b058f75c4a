import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startChild } from "../support/child.ts";
import { flvTags, readFlv } from "../support/flv-bytes.ts";
import { decodeErrors, type ProbedPacket, probeMedia, sampleMedia } from "../support/media.ts";
import { decodeModern } from "../support/modern-ffmpeg.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";
import type { StreamInfo } from "../support/stream-info.ts";
import { get, hlsSegments } from "../support/viewer.ts";

const seconds = 6;
const frames = seconds * 25;

/** Recordings in every container as streams: real time over FLV and RTMP, a whole playlist over HLS. */
const recordings = [
  { name: "mp4", options: { video: "h264", audio: "aac", container: "mp4" }, codecs: ["h264", "aac"] },
  { name: "mkv", options: { video: "h264", audio: "aac", container: "mkv" }, codecs: ["h264", "aac"] },
  { name: "ts", options: { video: "h264", audio: "aac", container: "mpegts" }, codecs: ["h264", "aac"] },
  { name: "flv", options: { video: "h264", audio: "aac", container: "flv" }, codecs: ["h264", "aac"] },
  { name: "b-frames", options: { video: "h264", audio: "aac", container: "mp4", bframes: 2 }, codecs: ["h264", "aac"] },
  { name: "hevc", options: { video: "hevc", audio: "aac", container: "mp4" }, codecs: ["hevc", "aac"] },
] as const;

let sluice: Sluice;
let folder: string;
const fileOf = (name: string): string =>
  join(folder, `${name}.${recordings.find((one) => one.name === name)?.options.container ?? "mp4"}`.replace(".mpegts", ".ts"));

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sluice-files-"));
  const library = join(folder, "library");
  mkdirSync(library);
  for (const { name, options } of recordings) copyFileSync(await sampleMedia({ seconds, ...options }), fileOf(name));
  const mp4 = readFileSync(fileOf("mp4"));
  copyFileSync(fileOf("mp4"), join(library, "good.mp4"));
  copyFileSync(fileOf("mp4"), join(folder, "secret.mp4"));
  // Cut in the middle, so that the index at its end is missing; and something that is no video at all.
  writeFileSync(join(folder, "cut.mp4"), mp4.subarray(0, mp4.length / 2));
  writeFileSync(join(folder, "noise.mkv"), Buffer.alloc(200_000, "this is no recording "));
  writeFileSync(join(folder, "noise.ts"), Buffer.alloc(200_000, "neither is this "));
  writeFileSync(join(folder, "noise.flv"), Buffer.alloc(200_000, "nor this "));
  writeFileSync(join(folder, "empty.mp4"), "");
  const streams = {
    ...Object.fromEntries(recordings.map(({ name }) => [name, fileOf(name)])),
    missing: join(folder, "not-there.mp4"),
    folder: `${library}/`,
    ...Object.fromEntries(
      ["cut.mp4", "noise.mkv", "noise.ts", "noise.flv", "empty.mp4"].map((file) => [`bad-${file.replace(".", "-")}`, join(folder, file)]),
    ),
    show: join(folder, "gone.mp4"),
    library: `${library}/$wildcard.mp4`,
  };
  sluice = await startSluice({
    config: `
import { defineConfig, rewrite } from "sluice";
export default defineConfig({
  streams: ${JSON.stringify(streams)},
  triggers: { DEFAULT_STREAM: ({ stream }) => rewrite(stream === "show" ? "mp4" : "") },
});
`,
  });
}, 120_000);
afterAll(async () => {
  await sluice?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const sizesOf = (packets: readonly ProbedPacket[], kind: string): number[] =>
  packets.filter(({ codec_type }) => codec_type === kind).map(({ size }) => Number(size));

/** Reads HTTP-FLV to its end and notes when each part came, in ms since the first. */
async function paced(url: string): Promise<{ bytes: Uint8Array; arrivals: { at: number; length: number }[] }> {
  const response = await fetch(url);
  expect(response.status).toBe(200);
  const parts: Uint8Array[] = [];
  const arrivals: { at: number; length: number }[] = [];
  let begun: number | undefined;
  let length = 0;
  for await (const part of response.body!) {
    begun ??= performance.now();
    parts.push(part);
    length += part.length;
    arrivals.push({ at: performance.now() - begun, length });
  }
  return { bytes: Buffer.concat(parts), arrivals };
}

describe.concurrent("a recording", () => {
  it.for(recordings)("$name: information, FLV, RTMP and HLS", async ({ name, codecs }, { expect }) => {
    const info = JSON.parse((await get(sluice.http(`json_${name}.js`))).text) as StreamInfo;
    expect(info).toMatchObject({ type: "vod", width: 160, height: 90 });
    const lastMs = Math.max(...Object.values(info.meta.tracks).map(({ lastms }) => lastms));
    expect(Math.abs(lastMs - seconds * 1000)).toBeLessThan(150);
    const { packets } = await probeMedia(fileOf(name));

    const rtmpFile = join(folder, `${name}-rtmp.flv`);
    const begun = performance.now();
    await using rtmp = startChild("rtmpdump", ["-q", "-r", sluice.rtmp(`play/${name}`), "-o", rtmpFile]);
    const rtmpSeconds = rtmp.exited.then(() => (performance.now() - begun) / 1000);
    const { bytes, arrivals } = await paced(sluice.http(`${name}.flv`));

    // Real time: never more than about two seconds ahead of the clock, and not behind it.
    let taken = 0;
    let ahead = 0;
    for (const { timestampMs, body } of flvTags(bytes)) {
      taken += body.length + 15;
      const arrival = arrivals.find(({ length }) => length >= taken + 13) ?? arrivals.at(-1)!;
      ahead = Math.max(ahead, timestampMs - arrival.at);
    }
    expect(ahead).toBeLessThan(2500);
    expect(arrivals.at(-1)!.at).toBeGreaterThan((seconds - 2.5) * 1000);
    expect(arrivals.at(-1)!.at).toBeLessThan((seconds + 3) * 1000);
    expect(await rtmpSeconds).toBeGreaterThan(seconds - 2.5);

    const flvFile = join(folder, `${name}-http.flv`);
    writeFileSync(flvFile, bytes);
    for (const path of [flvFile, rtmpFile]) {
      const played = readFlv(new Uint8Array(readFileSync(path)));
      const video = played.packets.filter(({ trackId }) => trackId === 1);
      expect(video).toHaveLength(frames);
      expect(played.packets.filter(({ trackId }) => trackId === 2)).toHaveLength(sizesOf(packets, "audio").length);
      expect(played.tracks.map(({ codec }) => codec)).toEqual(codecs);
      expect(video.filter((packet, index) => index > 0 && packet.dts <= video[index - 1]!.dts)).toEqual([]);
    }
    expect(await decodeModern(flvFile)).toBe(frames);

    const { playlists, segments } = await hlsSegments(sluice.http(`hls/${name}/index.m3u8`), 1000);
    expect(playlists[1]).toContain("#EXT-X-PLAYLIST-TYPE:VOD");
    expect(playlists[1]).toContain("#EXT-X-ENDLIST");
    expect(playlists[1]).not.toContain("DISCONTINUITY");
    const lengths = [...playlists[1]!.matchAll(/#EXTINF:([\d.]+)/g)].map(([, length]) => Number(length));
    const target = Number(/TARGETDURATION:(\d+)/.exec(playlists[1]!)?.[1]);
    expect(Math.abs(lengths.reduce((sum, length) => sum + length, 0) - seconds)).toBeLessThan(0.15);
    expect(Math.max(...lengths.map(Math.round))).toBeLessThanOrEqual(target);
    const tsFile = join(folder, `${name}-hls.ts`);
    writeFileSync(tsFile, Buffer.concat(segments.map((segment) => segment.bytes)));
    const whole = await probeMedia(tsFile);
    expect(whole.streams.map(({ codec_name }) => codec_name)).toEqual(codecs);
    expect(sizesOf(whole.packets, "video")).toHaveLength(frames);
    expect(sizesOf(whole.packets, "audio")).toHaveLength(sizesOf(packets, "audio").length);
    for (const kind of ["video", "audio"]) {
      const times = whole.packets.filter(({ codec_type }) => codec_type === kind).map(({ dts_time }) => Number(dts_time));
      expect(times.filter((time, index) => index > 0 && time <= times[index - 1]!)).toEqual([]);
    }
    expect(await decodeErrors(tsFile)).toBe("");
  });
});

/** Answers of all outputs, each within a second, and none with the path in it. */
async function expectRefused(name: string, words: RegExp): Promise<void> {
  for (const path of [`${name}.flv`, `hls/${name}/index.m3u8`, `json_${name}.js`]) {
    const begun = performance.now();
    const answer = await get(sluice.http(path));
    expect([path, performance.now() - begun < 1000]).toEqual([path, true]);
    expect([path, answer.status]).toEqual([path, path.startsWith("json_") ? 200 : 404]);
    expect(answer.text).toMatch(words);
    expect(answer.text).not.toContain(folder);
  }
  const begun = performance.now();
  await using player = startChild("ffmpeg", ["-hide_banner", "-nostdin", "-i", sluice.rtmp(`play/${name}`), "-f", "null", "-"]);
  expect(await player.exited).not.toBe(0);
  expect(performance.now() - begun).toBeLessThan(3000);
  expect(player.stderr()).toMatch(words);
}

describe("a source that cannot be played", () => {
  it.each(["missing", "bad-cut-mp4", "bad-noise-mkv", "bad-noise-ts", "bad-noise-flv", "bad-empty-mp4"])(
    "%s is refused at once, in words, and the log says what is wrong with it",
    async (name) => {
      await expectRefused(name, /offline/i);
      const log = `${sluice.child.stdout()}${sluice.child.stderr()}`;
      expect(log).toMatch(new RegExp(`The source could not be opened: .*stream=${name}|${name}.*The source could not be opened`));
    },
  );

  it("falls back to what DEFAULT_STREAM says", async () => {
    const info = JSON.parse((await get(sluice.http("json_show.js"))).text) as StreamInfo;
    expect(info.type).toBe("vod");
    expect((await hlsSegments(sluice.http("hls/show/index.m3u8"))).segments[0]!.bytes.length).toBeGreaterThan(1000);
  });
});

describe("a folder of recordings", () => {
  it("plays what is in it", async () => {
    expect((JSON.parse((await get(sluice.http("json_library+good.js"))).text) as StreamInfo).type).toBe("vod");
  });

  it.each([
    "library+..%2Fsecret",
    "library+../secret",
    "library+%2e%2e%2fsecret",
    "library+x%2F..%2F..%2Fsecret",
    "library+..%5Csecret",
    "library+good.mp4%00",
  ])("gives nothing outside of it: %s", async (name) => {
    for (const path of [`json_${name}.js`, `hls/${name}/index.m3u8`, `${name}.flv`]) {
      const answer = await raw(`/${path}`);
      expect(answer).not.toMatch(/"type":"vod"|#EXTM3U|\r\n\r\nFLV/);
      expect(answer).toMatch(/^HTTP\/1\.1 (200|400|404)/);
    }
  });
});

/** A request whose path no client has tidied up. */
function raw(path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(sluice.ports.http, "127.0.0.1");
    let text = "";
    socket.on("data", (bytes: Buffer) => {
      text += bytes.toString("latin1");
    });
    socket.on("error", reject);
    socket.on("close", () => resolve(text));
    socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
  });
}
