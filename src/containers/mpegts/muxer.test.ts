import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decodeErrors, probeMedia, type SampleOptions, sampleMedia } from "../../../test/support/media.ts";
import { concat } from "../../base/bytes.ts";
import { makeAacConfig, aacTrack } from "../../codecs/aac.ts";
import { isTrackList } from "../../media/format.ts";
import type { Packet } from "../../media/packet.ts";
import type { Track } from "../../media/track.ts";
import { mpegtsDemuxer } from "./demuxer.ts";
import { mpegts } from "./muxer.ts";
import { muxSegment } from "./segment.ts";

const run = promisify(execFile);
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mpegts-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

type Media = { readonly tracks: readonly Track[]; readonly packets: readonly Packet[] };

function demux(bytes: Uint8Array): Media {
  const demuxer = mpegtsDemuxer();
  const outputs = [...demuxer.feed(bytes), ...demuxer.flush()];
  const tracks = outputs.filter(isTrackList).at(-1)?.tracks ?? [];
  return { tracks, packets: outputs.flatMap((output) => (isTrackList(output) ? [] : [output])).sort((a, b) => a.dts - b.dts) };
}

async function sample(options: SampleOptions): Promise<Media & { readonly path: string }> {
  const path = await sampleMedia({ ...options, container: "mpegts" });
  return { ...demux(await readFile(path)), path };
}

function mux(media: Media): Uint8Array {
  const muxer = mpegts.createMuxer(media.tracks);
  return concat([muxer.header, ...media.packets.flatMap((packet) => muxer.add(packet)), ...muxer.end()]);
}

async function save(name: string, bytes: Uint8Array): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, bytes);
  return path;
}

/** A hash of what comes out of the decoder, for each stream. */
async function decoded(path: string): Promise<string> {
  const { stdout } = await run("ffmpeg", [
    "-v",
    "error",
    "-err_detect",
    "explode",
    "-i",
    path,
    "-map",
    "0",
    "-fps_mode",
    "passthrough",
    "-f",
    "streamhash",
    "-",
  ]);
  return stdout;
}

type Seen = {
  readonly pid: number;
  readonly counter: number;
  readonly start: boolean;
  readonly adaptation: Uint8Array;
  readonly payload: Uint8Array;
};

function transportPackets(bytes: Uint8Array): Seen[] {
  expect(bytes.length % 188).toBe(0);
  const seen: Seen[] = [];
  for (let at = 0; at < bytes.length; at += 188) {
    expect(bytes[at]).toBe(0x47);
    const size = bytes[at + 3]! & 0x20 ? 1 + bytes[at + 4]! : 0;
    const pid = ((bytes[at + 1]! & 0x1f) << 8) | bytes[at + 2]!;
    const adaptation = bytes.subarray(at + 4, at + 4 + size);
    seen.push({
      pid,
      counter: bytes[at + 3]! & 15,
      start: (bytes[at + 1]! & 0x40) !== 0,
      adaptation,
      payload: bytes.subarray(at + 4 + size, at + 188),
    });
  }
  return seen;
}

/** Throws when a PID's counter does not go on; `counters` holds the last ones and may come from the segment before. */
function checkCounters(packets: readonly Seen[], counters = new Map<number, number>()): Map<number, number> {
  for (const { pid, counter, payload } of packets) {
    expect(payload.length).toBeGreaterThan(0);
    const last = counters.get(pid);
    if (last !== undefined) expect(`${pid}: ${counter}`).toBe(`${pid}: ${(last + 1) & 15}`);
    counters.set(pid, counter);
  }
  return counters;
}

const samples: readonly SampleOptions[] = [
  { video: "h264", audio: "aac", bframes: 2, seconds: 3 },
  { video: "hevc", audio: "mp3", bframes: 2 },
  { video: "h264", audio: "opus" },
  { audio: "aac", sampleRate: 44_100, channels: 1 },
  { audio: "mp3", sampleRate: 22_050 },
  { audio: "opus" },
];

describe("the muxer", () => {
  it.each(samples)("gives what ffmpeg reads as the same media: $video $audio", async (options) => {
    const media = await sample(options);
    const path = await save("whole.ts", mux(media));
    expect(await decodeErrors(path)).toBe("");
    expect(await decoded(path)).toBe(await decoded(media.path));
    const [ours, theirs] = [await probeMedia(path), await probeMedia(media.path)];
    for (const kind of ["video", "audio"]) {
      const times = ({ packets }: typeof ours): string[][] => {
        const own = packets.filter((packet) => packet.codec_type === kind);
        return own.map((packet) =>
          [packet.dts_time, packet.pts_time, packet.flags.slice(0, 1)].map((text, index) =>
            index < 2 ? (Number(text) - Number(own[0]?.dts_time)).toFixed(3) : text,
          ),
        );
      };
      expect(times(ours).length).toBe(times(theirs).length);
      // ffmpeg gives joined audio frames times by their durations; a tick of 90 kHz may go to rounding.
      times(ours).forEach((row, index) => {
        const other = times(theirs)[index]!;
        expect(Math.abs(Number(row[0]) - Number(other[0]))).toBeLessThan(0.0015);
        expect(Math.abs(Number(row[1]) - Number(other[1]))).toBeLessThan(0.0015);
        if (kind === "video") expect(row[2]).toBe(other[2]);
      });
    }
  });

  it.each(samples)("is read back by our demuxer byte for byte: $video $audio", async (options) => {
    const media = await sample(options);
    const again = demux(mux(media));
    expect(again.tracks).toEqual(media.tracks);
    for (const track of media.tracks) {
      const own = ({ packets }: Media): Packet[] => packets.filter((packet) => packet.trackId === track.id);
      const shift = own(again)[0]!.dts - own(media)[0]!.dts;
      expect(own(again).length).toBe(own(media).length);
      own(again).forEach((packet, index) => {
        const other = own(media)[index]!;
        expect(Buffer.compare(packet.data, other.data)).toBe(0);
        expect(packet.keyframe).toBe(other.keyframe);
        expect(Math.abs(packet.dts - shift - other.dts)).toBeLessThanOrEqual(30);
        expect(Math.abs(packet.pts - packet.dts - (other.pts - other.dts))).toBeLessThanOrEqual(30);
      });
    }
  });

  it("puts tables, random access mark and parameter sets before each keyframe, and a clock that leads", async () => {
    const media = await sample({ video: "h264", audio: "aac", seconds: 3, bframes: 2 });
    const muxer = mpegts.createMuxer(media.tracks);
    const video = media.tracks.find((track) => track.kind === "video")!;
    let keyframes = 0;
    for (const packet of media.packets) {
      const seen = transportPackets(concat(muxer.add(packet)));
      if (packet.trackId !== video.id) continue;
      const first = seen.find((one) => one.pid === 0x100)!;
      const pcr =
        (first.adaptation[2]! * 2 ** 25 +
          (first.adaptation[3]! << 17) +
          (first.adaptation[4]! << 9) +
          (first.adaptation[5]! << 1) +
          (first.adaptation[6]! >> 7)) /
        90;
      const lead = packet.dts / 1000 + 1000 - pcr;
      expect(lead).toBeGreaterThan(100);
      expect(lead).toBeLessThan(1000);
      expect((first.adaptation[1]! & 0x40) !== 0).toBe(packet.keyframe);
      if (!packet.keyframe) continue;
      keyframes++;
      const at = seen.indexOf(first);
      expect(seen.slice(at - 2, at).map(({ pid }) => pid)).toEqual([0, 0x1000]);
      const data = first.payload.subarray(9 + first.payload[8]!);
      // Access unit delimiter, then SPS.
      expect([...data.subarray(0, 6)]).toEqual([0, 0, 0, 1, 9, 0xf0]);
      expect(data[10]! & 0x1f).toBe(7);
    }
    expect(keyframes).toBe(3);
  });

  it("counts on over everything, stuffs correctly, and wraps at 33 bits", async () => {
    const media = await sample({ video: "h264", audio: "aac", bframes: 2 });
    const shift = Math.floor(((2 ** 33 - 90_000 - 90_000) * 100) / 9);
    const muxer = mpegts.createMuxer(media.tracks);
    const first = Math.min(...media.packets.map((packet) => packet.dts));
    const moved = media.packets.map((packet) => ({ ...packet, dts: packet.dts - first + shift, pts: packet.pts - first + shift }));
    const bytes = concat(moved.flatMap((packet) => muxer.add(packet)).concat(muxer.end()));
    checkCounters(transportPackets(bytes));
    const again = demux(bytes);
    for (const track of media.tracks) {
      const times = again.packets.filter((packet) => packet.trackId === track.id).map((packet) => packet.dts);
      const wanted = moved.filter((packet) => packet.trackId === track.id).map((packet) => packet.dts + 1_000_000);
      expect(times.length).toBe(wanted.length);
      times.forEach((time, index) => expect(Math.abs(time - wanted[index]!)).toBeLessThanOrEqual(30));
    }
  });

  it("joins audio frames and saves a good part of the overhead", async () => {
    const media = await sample({ audio: "aac" });
    const bytes = mux(media);
    const starts = transportPackets(bytes).filter(({ pid, start }) => pid === 0x100 && start).length;
    expect(starts).toBeLessThan(media.packets.length / 4);
    const alone = media.packets.reduce((sum, packet) => sum + 188 * Math.ceil((packet.data.length + 7 + 14) / 184), 0);
    expect(bytes.length).toBeLessThan(alone * 0.8);
  });

  it("leaves out tracks and packets that it cannot carry", () => {
    const aac = aacTrack(2, makeAacConfig(2, 48_000, 2));
    const data: Track = { kind: "data", id: 3, codec: "json", config: new Uint8Array(0), codecString: "" };
    const flac: Track = { ...aac, id: 4, codec: "flac" };
    const broken: Track = { kind: "video", id: 1, codec: "h264", config: Uint8Array.of(1, 2, 3), codecString: "", width: 0, height: 0 };
    const muxer = mpegts.createMuxer([broken, aac, data, flac]);
    for (const id of [1, 3, 4, 9]) expect(muxer.add({ trackId: id, dts: 0, pts: 0, keyframe: true, data: new Uint8Array(10) })).toEqual([]);
    expect(
      muxer
        .add({ trackId: 2, dts: 0, pts: 0, keyframe: true, data: new Uint8Array(9000) })
        .flatMap((bytes) => transportPackets(bytes))
        .map(({ pid }) => pid),
    ).toEqual([0, 0x1000]);
    muxer.add({ trackId: 2, dts: 0, pts: 0, keyframe: true, data: new Uint8Array(10) });
    expect(concat(muxer.end()).length).toBe(188);
  });

  it("goes on after the tracks have changed", async () => {
    const before = await sample({ video: "h264", audio: "aac" });
    const after = await sample({ video: "h264", audio: "aac", size: "320x180" });
    const muxer = mpegts.createMuxer(before.tracks);
    const pieces = [muxer.header, ...before.packets.flatMap((packet) => muxer.add(packet)), ...muxer.retrack(after.tracks)];
    for (const packet of after.packets) pieces.push(...muxer.add({ ...packet, dts: packet.dts + 2_100_000, pts: packet.pts + 2_100_000 }));
    const bytes = concat([...pieces, ...muxer.end()]);
    checkCounters(transportPackets(bytes));
    const again = demux(bytes);
    expect(again.packets.length).toBe(before.packets.length + after.packets.length);
    expect(again.tracks.find((track) => track.kind === "video")).toMatchObject({ width: 320, height: 180 });
    expect(await decodeErrors(await save("changed.ts", bytes))).toBe("");
  });
});

describe("segments", () => {
  it.each(samples)("join without a break, in whatever order they were made: $video $audio", async (options) => {
    const media = await sample(options);
    const cuts: Packet[][] = [];
    const video = media.tracks.find((track) => track.kind === "video");
    media.packets.forEach((packet, index) => {
      if (cuts.length === 0 || (video ? packet.trackId === video.id && packet.keyframe : index % 20 === 0)) cuts.push([]);
      cuts.at(-1)!.push(packet);
    });
    const last = cuts.length - 1;
    const backwards = cuts.map((_, index) => muxSegment(media.tracks, cuts[last - index]!, last - index)).toReversed();
    const counters = new Map<number, number>();
    backwards.forEach((segment, index) => {
      checkCounters(transportPackets(segment), counters);
      expect(Buffer.compare(segment, muxSegment(media.tracks, cuts[index]!, index))).toBe(0);
    });
    const path = await save("joined.ts", concat(backwards));
    expect(await decodeErrors(path)).toBe("");
    expect(await decoded(path)).toBe(await decoded(media.path));
  });
});
