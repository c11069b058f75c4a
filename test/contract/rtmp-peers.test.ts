import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SluiceError } from "../../src/base/errors.ts";
import type { Packet } from "../../src/media/packet.ts";
import { rtmp } from "../../src/protocols/rtmp/index.ts";
import { startChild } from "../support/child.ts";
import { createFakeHost, type FakeHost } from "../support/fake-host.ts";
import { decodeErrors, probeMedia, sampleMedia } from "../support/media.ts";
import type { MemoryStream } from "../support/memory-stream.ts";
import { probeModern, remuxModern } from "../support/modern-ffmpeg.ts";
import { playWithFfmpeg } from "../support/player.ts";

let fake: FakeHost;
let port: number;
let folder: string;

const reason = "please subscribe first";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "rtmp-peers-"));
  fake = createFakeHost({
    decide: (_, { stream }) => {
      if (stream === "refused") throw new SluiceError("access.denied", reason);
    },
  });
  const listener = await rtmp.serve?.(fake.host, { port: 0 });
  port = (listener as unknown as { port: number }).port;
});

afterAll(async () => {
  await fake[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

const url = (name: string): string => `rtmp://127.0.0.1:${port}/live/${name}`;
const md5 = (packet: Packet): string => createHash("md5").update(packet.data).digest("hex");

/** The stream, when it has come to its end. */
async function wholeStream(name: string): Promise<MemoryStream> {
  const stream = await fake.published(name);
  expect(await stream.closed).toMatchObject({ code: expect.stringMatching(/^CLEAN_(INTENDED_STOP|REMOTE_CLOSE)$/) });
  return stream;
}

/** Gives ffmpeg's arguments to copy a file to a URL. */
const copyTo = (path: string, target: string): string[] => [
  ...["-hide_banner", "-loglevel", "error", "-nostdin", "-i", path, "-c", "copy", "-f", "flv", target],
];

describe("encoders", () => {
  it.each([
    ["h264", "aac"],
    ["h264", "mp3"],
  ] as const)("ffmpeg 5.1 publishes %s and %s: every packet arrives as it is in the file", async (video, audio) => {
    const path = await sampleMedia({ video, audio, bframes: 2, sampleRate: 44_100 });
    await using encoder = startChild("ffmpeg", copyTo(path, url(`ffmpeg-${audio}`)));
    expect(await encoder.exited).toBe(0);
    const stream = await wholeStream(`ffmpeg-${audio}`);
    const { packets } = await probeMedia(path);
    for (const [kind, id] of [
      ["video", 1],
      ["audio", 2],
    ] as const) {
      const expected = packets.filter(({ codec_type }) => codec_type === kind).map(({ data_hash }) => data_hash.replace("MD5:", ""));
      expect(stream.packets.filter(({ trackId }) => trackId === id).map(md5)).toEqual(expected);
    }
    expect(stream.tracks.map(({ codec }) => codec)).toEqual([video, audio]);
  });

  it.each([
    ["rtmp2sink", "GStreamer"],
    ["rtmpsink", "librtmp, with digests in the handshake"],
  ])("%s (%s) publishes", async (sink) => {
    await using encoder = startChild("gst-launch-1.0", [
      ...["-q", "flvmux", "name=mux", "streamable=true", "!", sink, `location=${url(sink)}`],
      ...["videotestsrc", "num-buffers=50", "!", "x264enc", "tune=zerolatency", "speed-preset=ultrafast", "!", "h264parse", "!", "mux."],
      ...["audiotestsrc", "num-buffers=60", "!", "avenc_aac", "!", "aacparse", "!", "mux."],
    ]);
    expect(await encoder.exited).toBe(0);
    const stream = await wholeStream(sink);
    expect(stream.packets.filter(({ trackId }) => trackId === 1)).toHaveLength(50);
    expect(stream.packets.filter(({ trackId }) => trackId === 2).length).toBeGreaterThanOrEqual(60);
    expect(stream.tracks.map(({ codec }) => codec)).toEqual(["h264", "aac"]);
  });

  it.each([
    ["hevc", "aac"],
    ["av1", "opus"],
    ["vp9", "opus"],
    ["h264", "flac"],
  ] as const)("a modern FFmpeg publishes %s and %s in enhanced RTMP, and plays it back", async (video, audio) => {
    const path = await sampleMedia({ video, audio, seconds: 1 });
    const name = `modern-${video}-${audio}`;
    await remuxModern(path, url(name), "flv");
    const { packets } = await probeMedia(path);
    // Its muxer keeps the connection when it is closed: the packets tell the end.
    const stream = await fake.published(name);
    await stream.until((one) => one.packets.length >= packets.length);
    const count = (kind: string): number => packets.filter(({ codec_type }) => codec_type === kind).length;
    expect(stream.tracks.map(({ codec }) => codec)).toEqual([video, audio]);
    expect(stream.packets.filter(({ trackId }) => trackId === 1)).toHaveLength(count("video"));
    expect(stream.packets.filter(({ trackId }) => trackId === 2)).toHaveLength(count("audio"));

    const again = fake.open(`${name}-played`);
    again.writer.describe(stream.tracks);
    for (const packet of stream.packets) again.writer.write(packet);
    const played = probeModern(url(`${name}-played`));
    await expect.poll(() => fake.asked.some(({ request }) => request.stream === `${name}-played`), { timeout: 10_000 }).toBe(true);
    again.close({ code: "CLEAN_REMOTE_CLOSE", text: "over" });
    const sizes = (await played).packets.map((line) => Number(line.split(" ").at(-1)));
    const start = stream.packets.findIndex(({ trackId }) => trackId === 1); // the only keyframe: viewers begin there
    expect(sizes.toSorted()).toEqual(
      stream.packets
        .slice(start)
        .map(({ data }) => data.length)
        .toSorted(),
    );
  });

  it("ffmpeg, rtmp2sink and librtmp stop when they are refused, and ffmpeg prints the reason", async () => {
    const path = await sampleMedia({ video: "h264", audio: "aac" });
    await using ffmpeg = startChild("ffmpeg", copyTo(path, url("refused")));
    expect(await ffmpeg.exited).not.toBe(0);
    expect(ffmpeg.stderr()).toContain(reason);
    for (const sink of ["rtmp2sink", "rtmpsink"]) {
      await using gst = startChild("gst-launch-1.0", [
        ...["-q", "videotestsrc", "num-buffers=50", "!", "x264enc", "tune=zerolatency", "!", "h264parse", "!", "flvmux", "streamable=true"],
        ...["!", sink, `location=${url("refused")}`],
      ]);
      expect(await gst.exited).not.toBe(0);
      if (sink === "rtmp2sink") expect(gst.stderr()).toContain(reason);
    }
  });

  it("ffmpeg stops when its session is ended, and prints the reason", async () => {
    await using encoder = startChild("ffmpeg", [
      ...["-hide_banner", "-loglevel", "error", "-nostdin", "-re", "-f", "lavfi", "-i", "testsrc=size=160x90:rate=25"],
      ...["-c:v", "libx264", "-preset", "ultrafast", "-f", "flv", url("ended")],
    ]);
    const stream = await fake.published("ended");
    await stream.until(({ packets }) => packets.length > 5);
    fake.asked.find(({ request }) => request.stream === "ended")?.withdraw("your time is over");
    expect(await encoder.exited).not.toBe(0);
    expect(encoder.stderr()).toContain("your time is over");
  });
});

describe("players", () => {
  it("ffmpeg plays what ffmpeg publishes, in real time, until it ends", async () => {
    const path = await sampleMedia({ video: "h264", audio: "aac", seconds: 4 });
    const target = url("relayed");
    await using encoder = startChild("ffmpeg", ["-re", ...copyTo(path, target)]);
    const stream = await fake.published("relayed");
    await stream.until(({ packets }) => packets.length > 10);
    const { code, videoFrames, output } = await playWithFfmpeg(`${target}?tkn=viewer`, 20);
    expect(code, output).toBe(0);
    expect(videoFrames).toBeGreaterThan(60);
    expect(await encoder.exited).toBe(0);
  });

  it("rtmpdump records a file that decodes without a complaint", async () => {
    const stream = fake.open("recorded");
    const path = await sampleMedia({ video: "h264", audio: "aac" });
    await using encoder = startChild("ffmpeg", copyTo(path, url("source")));
    await encoder.exited;
    const source = await wholeStream("source");
    stream.writer.describe(source.tracks);
    for (const packet of source.packets) stream.writer.write(packet);
    const file = join(folder, "recorded.flv");
    await using player = startChild("rtmpdump", ["-q", "-r", url("recorded"), "-o", file]);
    await expect.poll(() => fake.asked.some(({ request }) => request.stream === "recorded"), { timeout: 10_000 }).toBe(true);
    stream.close({ code: "CLEAN_REMOTE_CLOSE", text: "over" });
    await player.exited;
    expect((await probeMedia(file)).packets.length).toBeGreaterThan(30);
    expect(await decodeErrors(file)).toBe("");
  });

  it("ffmpeg and rtmpdump stop when they are refused, and ffmpeg prints the reason", async () => {
    const { code, output } = await playWithFfmpeg(url("refused"), 5);
    expect(code).not.toBe(0);
    expect(output).toContain(reason);
    expect((await playWithFfmpeg(url("nothing"), 5)).output).toContain("nothing is offline");
    await using player = startChild("rtmpdump", ["-q", "-r", url("refused"), "-o", join(folder, "refused.flv")]);
    expect(await player.exited).not.toBe(0);
  });
});
