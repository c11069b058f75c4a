import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { streamMeta, trackName, tracksJson } from "./track-json.ts";
import type { Track } from "./track.ts";
import type { TrackStats } from "./track-stats.ts";

type Json = Record<string, Record<string, unknown>>;
const recorded = JSON.parse(readFileSync(new URL("../../test/fixtures/golden/triggers/LIVE_TRACK_LIST.json", import.meta.url), "utf8")) as {
  requests: { body: string }[];
};
const golden = JSON.parse(recorded.requests[0]!.body.split("\n")[1]!) as Json;
const bytes = (text: unknown): Uint8Array => Uint8Array.from(String(text), (letter) => letter.charCodeAt(0));

const video: Track = {
  kind: "video",
  id: 1,
  codec: "h264",
  config: bytes(golden.video_H264_640x360_25fps_1!.init),
  codecString: "avc1.4d401e",
  width: 640,
  height: 360,
  frameRate: 25,
};
const audio: Track = {
  kind: "audio",
  id: 2,
  codec: "aac",
  config: bytes(golden.audio_AAC_2ch_44100hz_2!.init),
  codecString: "mp4a.40.2",
  sampleRate: 44_100,
  channels: 2,
};
const stats: TrackStats = {
  firstTime: 23_000,
  lastTime: 23_000,
  bytesPerSecond: 0,
  maxBytesPerSecond: 0,
  jitterMs: 120,
  frameRate: 0,
  bFrames: false,
};

describe("tracksJson", () => {
  it("is what MistServer sends for the same tracks", () => {
    const ours = tracksJson([video, audio], (id) => (id === 1 ? stats : { ...stats, firstTime: 0, lastTime: 0 }));
    const { meta_JSON__0: _ours, ...theirs } = golden;
    expect(ours).toEqual(theirs);
    expect(Object.keys(ours)).toEqual(Object.keys(theirs));
    expect(Object.keys(ours.video_H264_640x360_25fps_1 as object).sort()).toEqual(Object.keys(theirs.video_H264_640x360_25fps_1!).sort());
  });

  it("has measured rates, which are steady near the declared one", () => {
    const measured = { ...stats, frameRate: 24.97, bFrames: true, bytesPerSecond: 100_367, maxBytesPerSecond: 100_500 };
    expect(tracksJson([video], () => measured).video_H264_640x360_25fps_1).toMatchObject({
      efpks: 25_000,
      efps: 25,
      bframes: 1,
      bps: 100_367,
      maxbps: 100_500,
    });
    expect(tracksJson([video], () => ({ ...measured, frameRate: 12.5 })).video_H264_640x360_25fps_1).toMatchObject({ efpks: 12_500 });
  });
});

describe("trackName", () => {
  it("names rates, languages and data as MistServer does", () => {
    expect(trackName({ ...video, frameRate: 30_000 / 1_001 }, 0)).toBe("video_H264_640x360_29.97fps_0");
    const { frameRate: _rate, ...unknown } = video;
    expect(trackName(unknown, 0)).toBe("video_H264_640x360_0fps_0");
    expect(trackName({ ...audio, codec: "opus", sampleRate: 48_000, language: "deu" }, 3)).toBe("audio_opus_2ch_48000hz_deu_3");
    expect(trackName({ kind: "data", id: 3, codec: "json", config: new Uint8Array(0), codecString: "" }, 0)).toBe("meta_JSON__0");
  });
});

describe("streamMeta", () => {
  it("tells live streams and files apart", () => {
    const source = { tracks: [video], firstTime: 2_000_000, lastTime: 9_500_000, trackStats: () => stats };
    expect(streamMeta({ ...source, kind: "live" })).toMatchObject({
      live: 1,
      buffer_window: 7_500,
      version: 4,
      bframes: 0,
      maxkeepaway: 45_000,
      jitter: 120,
    });
    const vod = streamMeta({ ...source, kind: "vod" });
    expect(vod).toMatchObject({ vod: 1, version: 4 });
    expect(vod).not.toHaveProperty("live");
  });
});
