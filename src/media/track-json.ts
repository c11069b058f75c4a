import type { Micros } from "../base/time.ts";
import { mistCodecNames } from "./codec.ts";
import type { Track, TrackId } from "./track.ts";
import type { TrackStats } from "./track-stats.ts";

/** A JSON object in MistServer's field names. */
export type JsonObject = Readonly<Record<string, unknown>>;

const noStats: TrackStats = {
  firstTime: 0,
  lastTime: 0,
  bytesPerSecond: 0,
  maxBytesPerSecond: 0,
  jitterMs: 0,
  frameRate: 0,
  bFrames: false,
};

const h264Profiles: Readonly<Record<number, string>> = {
  0x42: "Baseline",
  0x4d: "Main",
  0x58: "Extended",
  0x64: "High",
  0x6e: "High 10",
  0x7a: "High 4:2:2",
  0xf4: "High 4:4:4",
};

/** MistServer's word for a track's codec: `H264`, `opus`, `JSON`. */
export function mistCodec(track: Track): string {
  return track.kind === "data" ? "JSON" : mistCodecNames[track.codec];
}

/** Thousandths of frames per second as whole number, as MistServer counts them. */
export function fpks(framesPerSecond: number | undefined): number {
  return Math.round((framesPerSecond ?? 0) * 1000);
}

/** MistServer's name of a track, unique in its stream: `video_H264_640x360_25fps_1`, `audio_AAC_2ch_44100hz_2`. */
export function trackName(track: Track, idx: number): string {
  const codec = mistCodec(track);
  switch (track.kind) {
    case "video":
      return `video_${codec}_${track.width}x${track.height}_${rate(fpks(track.frameRate))}fps_${idx}`;
    case "audio":
      return `audio_${codec}_${track.channels}ch_${track.sampleRate}hz${language(track.language)}_${idx}`;
    case "data":
      return `meta_${codec}__${idx}`;
  }
}

/** A track as LIVE_TRACK_LIST and the stream information show it; times in ms, rates in bytes per second. */
export function trackJson(track: Track, stats: TrackStats | undefined, idx: number): JsonObject {
  const { firstTime, lastTime, bytesPerSecond, maxBytesPerSecond, jitterMs, frameRate, bFrames } = stats ?? noStats;
  const common = {
    bps: bytesPerSecond,
    codec: mistCodec(track),
    codecstring: track.codecString,
    firstms: ms(firstTime),
    idx,
    init: latin1(track.config),
    jitter: jitterMs,
    lastms: ms(lastTime),
    maxbps: maxBytesPerSecond,
    nowms: ms(lastTime),
    trackid: track.id,
  };
  switch (track.kind) {
    case "video": {
      const declared = fpks(track.frameRate);
      const measured = steady(frameRate, track.frameRate);
      return {
        ...common,
        ...(bFrames ? { bframes: 1 } : {}),
        efpks: measured,
        efps: measured / 1000,
        fpks: declared,
        fps: declared / 1000,
        ...(track.codec === "h264" && track.config.length >= 4 ? h264(track.config) : {}),
        height: track.height,
        type: "video",
        width: track.width,
      };
    }
    case "audio":
      return {
        ...common,
        channels: track.channels,
        ...(track.language ? { lang: track.language } : {}),
        rate: track.sampleRate,
        size: 16,
        type: "audio",
      };
    case "data":
      return { ...common, type: "meta" };
  }
}

/** All tracks by name: MistServer's LIVE_TRACK_LIST and `meta.tracks`. A track's id is its index too. */
export function tracksJson(tracks: readonly Track[], stats: (id: TrackId) => TrackStats | undefined): JsonObject {
  const entries = tracks.map((track): [string, JsonObject] => [trackName(track, track.id), trackJson(track, stats(track.id), track.id)]);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** What `streamMeta` reads of a stream. */
export type MetaSource = {
  readonly kind: "live" | "vod";
  readonly tracks: readonly Track[];
  readonly firstTime: Micros;
  readonly lastTime: Micros;
  trackStats(id: TrackId): TrackStats | undefined;
};

/** The `meta` of MistServer's stream information. */
export function streamMeta(stream: MetaSource, maxKeepAwayMs = 45_000): JsonObject {
  const stats = stream.tracks.map((track) => stream.trackStats(track.id) ?? noStats);
  const bframes = stats.some((track) => track.bFrames) ? 1 : 0;
  const tracks = tracksJson(stream.tracks, (id) => stream.trackStats(id));
  if (stream.kind === "vod") return { bframes, tracks, version: 4, vod: 1 };
  return {
    bframes,
    buffer_window: ms(stream.lastTime - stream.firstTime),
    jitter: Math.max(0, ...stats.map((track) => track.jitterMs)),
    live: 1,
    maxkeepaway: maxKeepAwayMs,
    tracks,
    version: 4,
  };
}

/** The measured rate in thousandths; near the declared one it is that, so that it does not flicker. */
export function steady(measured: number, declared: number | undefined): number {
  if (declared && Math.abs(measured - declared) < declared * 0.02) return fpks(declared);
  return fpks(measured);
}

function rate(thousandths: number): string {
  return String(Number((thousandths / 1000).toPrecision(6)));
}

function language(code: string | undefined): string {
  return code && code !== "und" ? `_${code}` : "";
}

function ms(micros: Micros): number {
  return Math.round(micros / 1000);
}

function latin1(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

/** Profile and level stand in the second and fourth byte of avcC, ISO/IEC 14496-15, 5.3.3.1.2. */
function h264(config: Uint8Array): JsonObject {
  const profile = config[1] ?? 0;
  return { h264_level: String((config[3] ?? 0) / 10), h264_profile: h264Profiles[profile] ?? String(profile) };
}
