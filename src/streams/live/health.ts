import type { Micros } from "../../base/time.ts";
import { fpks, type JsonObject, mistCodec, steady, trackName } from "../../media/track-json.ts";
import type { Track } from "../../media/track.ts";
import type { TrackMeter } from "./track-meter.ts";

/** A publisher that has sent nothing for longer than this is frozen. */
const frozenMs = 5_000;

export type HealthInput = {
  readonly tracks: readonly Track[];
  readonly meter: (id: number) => TrackMeter | undefined;
  readonly oldest: Micros;
  /** Milliseconds since the last packet; 0 before the first. */
  readonly silentMs: number;
  readonly maxKeepAwayMs: number;
};

/**
 * MistServer's health JSON of a live stream, and its `issues` in MistServer's words. One is ours:
 * `no data for <N>ms! ` while a publisher is frozen, which MistServer tells only when data is back, if at all.
 * Tracks without packets raise no issue.
 */
export function healthOf(input: HealthInput): JsonObject {
  const health: Record<string, unknown> = {};
  const names: string[] = [];
  let issues = input.silentMs > frozenMs ? `no data for ${Math.round(input.silentMs)}ms! ` : "";
  let jitter = 0;
  let buffer = 0;
  let playing = 0;
  let hlsVideo = false;
  let hlsAudio = false;
  for (const track of input.tracks) {
    const name = trackName(track, track.id);
    const meter = input.meter(track.id);
    const stats = meter?.stats(input.oldest);
    const keys = track.kind === "data" ? undefined : meter?.keys();
    const bufferMs = stats ? Math.round((stats.lastTime - stats.firstTime) / 1000) : 0;
    names.push(name);
    health[name] = {
      buffer: bufferMs,
      codec: mistCodec(track),
      id: track.id,
      idx: track.id,
      jitter: stats?.jitterMs ?? 0,
      kbits: Math.round(((stats?.bytesPerSecond ?? 0) * 8) / 1000),
      ...(keys ? { keys } : {}),
      ...details(track, stats?.frameRate ?? 0, stats?.bFrames ?? false),
    };
    if (track.kind === "data" || !meter?.active) continue;
    playing++;
    buffer = Math.max(buffer, bufferMs);
    jitter = Math.max(jitter, stats?.jitterMs ?? 0);
    hlsVideo ||= track.codec === "h264" || track.codec === "hevc";
    hlsAudio ||= track.codec === "aac" || track.codec === "mp3" || track.codec === "ac3";
    if (!keys) continue;
    const codec = mistCodec(track);
    if (keys.frame_ms_max > 500) issues += `unstable connection (${keys.frame_ms_max}ms ${codec} frame)! `;
    if (keys.frames_min < 6) issues += `unstable connection (${keys.frames_min} ${codec} frame(s) in key)! `;
    if (keys.ms_max > keys.ms_min * 1.3)
      issues += `unstable key interval (${Math.round((keys.ms_max / keys.ms_min - 1) * 100)}% ${codec} variance)! `;
  }
  if (jitter > 500) issues += `High jitter (${jitter}ms)! `;
  if (playing > 1 && hlsVideo && !hlsAudio) issues += "HLS no audio!";
  if (playing > 1 && hlsAudio && !hlsVideo) issues += "HLS no video!";
  const members = { ...health, buffer, ...(issues ? { issues } : {}), jitter, maxkeepaway: input.maxKeepAwayMs, tracks: names };
  return Object.fromEntries(Object.entries(members).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function details(track: Track, frameRate: number, bframes: boolean): JsonObject {
  if (track.kind === "audio") return { channels: track.channels, rate: track.sampleRate };
  if (track.kind === "data") return {};
  const declared = fpks(track.frameRate);
  const measured = steady(frameRate, track.frameRate);
  return {
    bframes,
    efpks: measured,
    efps: measured / 1000,
    fpks: declared,
    fps: declared / 1000,
    height: track.height,
    width: track.width,
  };
}
