import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { concat } from "../../src/base/bytes.ts";
import { adtsHeader, parseAacConfig } from "../../src/codecs/aac.ts";
import { h264AnnexBHeader, h264FromAnnexB, h264ToAnnexB, makeH264Config } from "../../src/codecs/h264.ts";
import { hevcAnnexBHeader, hevcFromAnnexB, hevcToAnnexB, hevcTrack, makeHevcConfig } from "../../src/codecs/hevc.ts";
import { flvDemuxer } from "../../src/containers/flv/demuxer.ts";
import { flvFormat } from "../../src/containers/flv/muxer.ts";
import { isTrackList } from "../../src/media/format.ts";
import type { Packet } from "../../src/media/packet.ts";
import type { Track } from "../../src/media/track.ts";
import { decodeErrors, probeMedia, type ProbedPacket, sampleMedia } from "../support/media.ts";
import { decodeModern, probeModern, remuxModern } from "../support/modern-ffmpeg.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluice-flv-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function readFlv(path: string): Promise<{ tracks: readonly Track[]; packets: Packet[] }> {
  const demuxer = flvDemuxer();
  const outputs = [...demuxer.feed(new Uint8Array(await readFile(path))), ...demuxer.flush()];
  return {
    tracks: outputs.findLast(isTrackList)?.tracks ?? [],
    packets: outputs.flatMap((output) => (isTrackList(output) ? [] : [output])),
  };
}

async function writeFlv(path: string, tracks: readonly Track[], packets: readonly Packet[]): Promise<void> {
  const muxer = flvFormat.createMuxer(tracks);
  await writeFile(path, concat([muxer.header, ...packets.flatMap((packet) => muxer.add(packet)), ...muxer.end()]));
}

const facts = (packets: readonly ProbedPacket[]): string[] =>
  packets.map(({ codec_type, pts_time, dts_time, size, flags, data_hash }) =>
    [codec_type, pts_time, dts_time, size, flags, data_hash].join(" "),
  );

describe("legacy FLV of ffmpeg", () => {
  it.each([
    { video: "h264", audio: "aac", bframes: 2 },
    { video: "h264", audio: "mp3", bframes: 0 },
    { video: "h264", bframes: 2 },
    { audio: "aac" },
    { audio: "mp3", sampleRate: 22_050, channels: 1 },
    { audio: "aac", sampleRate: 44_100, channels: 6 },
  ] as const)("comes out of our muxer with the same packets: %o", async (options) => {
    const theirs = await sampleMedia({ ...options, container: "flv" });
    const { tracks, packets } = await readFlv(theirs);
    const ours = join(folder, `${JSON.stringify(options).replace(/\W/g, "")}.flv`);
    await writeFlv(ours, tracks, packets);
    const [before, after] = [await probeMedia(theirs), await probeMedia(ours)];
    expect(facts(after.packets)).toEqual(facts(before.packets));
    expect(packets).toHaveLength(before.packets.length);
    expect(after.streams.map(({ codec_name, width, height }) => [codec_name, width, height])).toEqual(
      before.streams.map(({ codec_name, width, height }) => [codec_name, width, height]),
    );
    expect(await decodeErrors(ours)).toBe("");
  });
});

describe("enhanced FLV of a modern FFmpeg", () => {
  it.each([
    { video: "hevc", audio: "aac", bframes: 2, codecStrings: ["hvc1.1.6.L30.90", "mp4a.40.2"] },
    { video: "hevc", audio: "opus", bframes: 0, codecStrings: ["hvc1.1.6.L30.90", "opus"] },
    { video: "av1", audio: "opus", codecStrings: ["av01.0.00M.08", "opus"] },
    { video: "vp9", audio: "mp3", codecStrings: ["vp09.00.10.08", "mp4a.40.34"] },
    { video: "h264", audio: "ac3", codecStrings: ["avc1.4d400b", "ac-3"] },
    { video: "h264", audio: "flac", codecStrings: ["avc1.4d400b", "flac"] },
  ] as const)("is read, and it reads and decodes ours: $video and $audio", async ({ codecStrings, ...options }) => {
    const source = await sampleMedia({ bframes: 2, ...options, container: "mkv" });
    const theirs = join(folder, `theirs-${options.video}-${options.audio}.flv`);
    await remuxModern(source, theirs, "flv");
    const { tracks, packets } = await readFlv(theirs);
    expect(tracks.map(({ codec }) => codec)).toEqual([options.video, options.audio]);
    expect(tracks.map(({ codecString }) => codecString)).toEqual(codecStrings);
    expect(tracks[0]).toMatchObject({ width: 160, height: 90, frameRate: 25 });
    expect(tracks[1]).toMatchObject({ sampleRate: 48_000, channels: 2 });
    const video = packets.filter(({ trackId }) => trackId === 1);
    expect(video.flatMap(({ keyframe }, i) => (keyframe ? [i] : []))).toEqual([0, 25]);
    const ours = join(folder, `ours-${options.video}-${options.audio}.flv`);
    await writeFlv(ours, tracks, packets);
    expect(await probeModern(ours)).toEqual(await probeModern(theirs));
    expect(await decodeModern(ours)).toBe(50);
  });
});

describe("canonical packets as raw streams", () => {
  it("H.264 in Annex B is decoded by ffmpeg, and comes back the same", async () => {
    const { tracks, packets } = await readFlv(await sampleMedia({ video: "h264", container: "flv", bframes: 2 }));
    const config = tracks[0]!.config;
    const units = packets.map(({ data, keyframe }) => concat(h264ToAnnexB(data, keyframe, h264AnnexBHeader(config))));
    const path = join(folder, "raw.h264");
    await writeFile(path, concat(units));
    expect(await decodeErrors(path)).toBe("");
    expect((await probeMedia(path)).packets).toHaveLength(50);
    const back = units.map(h264FromAnnexB);
    expect(back.map(({ data, keyframe }) => ({ data, keyframe }))).toEqual(packets.map(({ data, keyframe }) => ({ data, keyframe })));
    expect(makeH264Config(back[0]!.sps, back[0]!.pps)).toEqual(config);
  });

  it("H.265 in Annex B is decoded by ffmpeg, and comes back the same", async () => {
    const theirs = join(folder, "raw-hevc.flv");
    await remuxModern(await sampleMedia({ video: "hevc", bframes: 2 }), theirs, "flv");
    const { tracks, packets } = await readFlv(theirs);
    const units = packets.map(({ data, keyframe }) => concat(hevcToAnnexB(data, keyframe, hevcAnnexBHeader(tracks[0]!.config))));
    const path = join(folder, "raw.hevc");
    await writeFile(path, concat(units));
    expect(await decodeErrors(path)).toBe("");
    const back = units.map(hevcFromAnnexB);
    expect(back.map(({ data, keyframe }) => ({ data, keyframe }))).toEqual(packets.map(({ data, keyframe }) => ({ data, keyframe })));
    const remade = hevcTrack(1, makeHevcConfig(back[0]!.vps, back[0]!.sps, back[0]!.pps));
    expect({ ...remade, config: undefined }).toEqual({ ...tracks[0], config: undefined });
  });

  it("AAC with ADTS headers is decoded by ffmpeg", async () => {
    const { tracks, packets } = await readFlv(await sampleMedia({ audio: "aac", container: "flv" }));
    const config = parseAacConfig(tracks[0]!.config);
    const path = join(folder, "raw.aac");
    await writeFile(path, concat(packets.flatMap(({ data }) => [adtsHeader(config, data.length), data])));
    expect(await decodeErrors(path)).not.toMatch(/error|invalid/i);
    expect((await probeMedia(path)).packets).toHaveLength(packets.length);
  });
});
