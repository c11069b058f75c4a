import { copyFile, mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { probeMedia, type SampleOptions, sampleMedia } from "../../../test/support/media.ts";
import type { Packet } from "../../media/packet.ts";
import type { VodSource } from "../../streams/stream.ts";
import { presentationDelay } from "./decode-times.ts";
import { file } from "./index.ts";

async function openSource(path: string): Promise<VodSource> {
  const input = file.pull?.(path);
  if (!input) throw new Error(`no input for ${path}`);
  return input.open();
}

async function all(packets: AsyncIterable<Packet>): Promise<Packet[]> {
  const list: Packet[] = [];
  for await (const packet of packets) list.push(packet);
  return list;
}

const samples: readonly (SampleOptions & { readonly input: string })[] = [
  { container: "mp4", video: "h264", audio: "aac", bframes: 2, seconds: 5, input: "MP4" },
  { container: "mp4", video: "hevc", audio: "aac", bframes: 3, seconds: 3, input: "MP4" },
  { container: "mp4", video: "h264", seconds: 3, input: "MP4" },
  { container: "mp4", audio: "aac", seconds: 3, input: "MP4" },
  { container: "mkv", video: "h264", audio: "aac", bframes: 2, seconds: 5, input: "EBML" },
  { container: "webm", video: "vp9", audio: "opus", seconds: 3, input: "EBML" },
  { container: "mpegts", video: "h264", audio: "aac", bframes: 2, seconds: 5, input: "TS" },
  { container: "mpegts", video: "hevc", audio: "mp3", seconds: 3, input: "TS" },
  { container: "flv", video: "h264", audio: "aac", bframes: 2, seconds: 5, input: "FLV" },
];

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluice-file-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe.each(samples)("$container with $video and $audio", (sample) => {
  let path = "";
  beforeAll(async () => {
    path = await sampleMedia(sample);
    if (sample.container === "mpegts") {
      path = join(folder, `${sample.video}.ts`);
      await copyFile(await sampleMedia(sample), path);
    }
  }, 60_000);

  it("gives every packet once, in order of decode time, from 0 on", async () => {
    await using source = await openSource(path);
    const packets = await all(source.read(0));
    expect(source.input).toBe(sample.input);
    expect(source.tracks.map((track) => track.codec)).toEqual([sample.video, sample.audio].filter(Boolean));
    const shifts: number[] = [];
    for (const track of source.tracks) {
      const mine = packets.filter((packet) => packet.trackId === track.id);
      const theirs = (await probeMedia(path)).packets.filter((packet) => packet.codec_type === track.kind);
      expect(mine.length).toBeGreaterThanOrEqual(theirs.length - 1);
      expect(mine.length).toBeLessThanOrEqual(theirs.length + 1);
      const skipped = Math.max(0, theirs.length - mine.length);
      for (const [i, packet] of mine.entries()) {
        const shown = theirs[i + skipped]?.pts_time;
        if (shown !== undefined) shifts.push(packet.pts - Number(shown) * 1e6);
        expect(packet.pts).toBeGreaterThanOrEqual(packet.dts);
        if (i > 0) expect(packet.dts).toBeGreaterThan(mine[i - 1]!.dts);
      }
      expect(mine.filter((packet) => packet.keyframe)).toHaveLength(track.kind === "video" ? sample.seconds! : mine.length);
    }
    // All times of the file are moved by the same, so sound and picture stay together; ffprobe takes Opus' pre-skip of 7 ms off.
    expect(Math.max(...shifts) - Math.min(...shifts)).toBeLessThan(sample.audio === "opus" ? 8_000 : 2_500);
    expect(packets[0]!.dts).toBeLessThan(100_000);
    expect(packets).toEqual([...packets].sort((a, b) => a.dts - b.dts));
    expect(Math.abs(source.duration - sample.seconds! * 1e6)).toBeLessThan(250_000);
  });

  it("can be read from every keyframe, and the parts make up the whole", async () => {
    await using source = await openSource(path);
    const keyframes = await source.keyframes();
    const whole = await all(source.read(0));
    // The sound of a recording is a little longer than asked for, so without video there may be one place more.
    expect(keyframes.length - sample.seconds!).toBeLessThanOrEqual(sample.video ? 0 : 1);
    expect(keyframes.length).toBeGreaterThanOrEqual(sample.seconds!);
    const video = source.tracks.find((track) => track.kind === "video");
    const parts: Packet[] = [];
    for (const [i, from] of keyframes.entries()) {
      const part = await all(source.read(from));
      if (video) {
        const first = part.find((packet) => packet.trackId === video.id);
        expect([first?.dts, first?.keyframe]).toEqual([from, true]);
      }
      const end = keyframes[i + 1] ?? Number.POSITIVE_INFINITY;
      parts.push(...part.filter((packet) => packet.dts < end));
    }
    const since = whole.filter((packet) => packet.dts >= keyframes[0]!);
    expect(parts.map(({ trackId, dts, data }) => [trackId, dts, data.length])).toEqual(
      since.map(({ trackId, dts, data }) => [trackId, dts, data.length]),
    );
  });
});

describe("what is wrong with a file", () => {
  it.each(["mp4", "mkv", "ts", "flv", "webm", "mov", "m4v", "m2ts"])("names a missing .%s", async (ending) => {
    await expect(openSource(`/nowhere/at-all.${ending}`)).rejects.toMatchObject({
      code: "source.failed",
      message: `the file "/nowhere/at-all.${ending}" does not exist`,
    });
  });

  it.each(["mp4", "mkv", "ts", "flv", "m2ts"])("says that a .%s of noise cannot be read", async (ending) => {
    const path = join(folder, `noise.${ending}`);
    await writeFile(
      path,
      Uint8Array.from({ length: 400_000 }, (_, i) => (i * 7919 + (i >> 3)) & 0xff),
    );
    await expect(openSource(path)).rejects.toMatchObject({ code: "source.failed", message: expect.stringContaining(path) });
  });

  it("refuses an empty file and a folder", async () => {
    const path = join(folder, "empty.mp4");
    await (await open(path, "w")).close();
    await expect(openSource(path)).rejects.toMatchObject({ code: "source.failed", message: `the file "${path}" is empty` });
    await expect(openSource(`${folder}/x.mp4/../../.flv`)).rejects.toMatchObject({ code: "source.failed" });
  });

  it.each(["mp4", "mkv", "mpegts", "flv"] as const)("plays or refuses a %s that is cut in the middle, and ends", async (container) => {
    const whole = await sampleMedia({ container, video: "h264", audio: "aac", bframes: 2, seconds: 5 });
    const path = join(folder, `cut.${container === "mpegts" ? "ts" : container}`);
    const bytes = await readFile(whole);
    await writeFile(path, bytes.subarray(0, Math.floor(bytes.length / 2)));
    const outcome = await openSource(path).then(
      async (source) => {
        await using opened = source;
        return (await all(opened.read(0))).length;
      },
      (error: { code: string }) => error.code,
    );
    expect(outcome === "source.failed" || (typeof outcome === "number" && outcome > 20)).toBe(true);
  });
});

describe("sources", () => {
  it.each(["push://", "/a/b.txt", "http://host/a.mp4", "rtmp://host/a.flv", "srt://:1", "a.mp4?x=1"])("leaves %s to others", (source) => {
    expect(file.pull?.(source)).toBeUndefined();
  });
  it.each(["/a/b.mp4", "file:///a/b.MKV", "rel/a.ts", "/a b/ü.flv"])("takes %s", (source) => {
    expect(file.pull?.(source)?.kind).toBe("vod");
  });
});

describe("decode times", () => {
  it("delays presentation by the depth of the reordering", () => {
    expect(presentationDelay([0, 3, 1, 2, 6, 4, 5], true)).toBe(1);
    expect(presentationDelay([0, 4, 2, 1, 3], true)).toBe(2);
    expect(presentationDelay([0, 1, 2], true)).toBe(0);
  });
});
