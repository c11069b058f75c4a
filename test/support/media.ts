import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { access, mkdir, rename, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const folder = fileURLToPath(new URL("../fixtures/generated/", import.meta.url));

export type SampleOptions = {
  readonly video?: "h264" | "hevc" | "av1" | "vp9" | "vp8";
  readonly audio?: "aac" | "mp3" | "opus" | "ac3" | "flac";
  /** Default 2. */
  readonly seconds?: number;
  /** FFmpeg's muxer name; the file has it as its ending. Default mkv. */
  readonly container?: "flv" | "mp4" | "mkv" | "mpegts" | "h264" | "hevc" | "adts" | "mp3" | "webm" | "ivf" | "obu" | "ogg";
  /** Frames between keyframes. Default 25: one second. */
  readonly gop?: number;
  /** B-frames between reference frames (h264, hevc). Default 0. */
  readonly bframes?: number;
  /** Default 160x90. */
  readonly size?: `${number}x${number}`;
  readonly sampleRate?: number;
  readonly channels?: number;
  /** More arguments for the output, such as a bitstream filter. */
  readonly extra?: readonly string[];
};

const videoEncoders = {
  h264: ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-threads", "1"],
  hevc: ["-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-tag:v", "hvc1"],
  av1: ["-c:v", "libsvtav1", "-preset", "12", "-pix_fmt", "yuv420p"],
  vp9: ["-c:v", "libvpx-vp9", "-pix_fmt", "yuv420p", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "200k"],
  vp8: ["-c:v", "libvpx", "-pix_fmt", "yuv420p", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "200k"],
} as const;

const audioEncoders = {
  aac: ["-c:a", "aac", "-b:a", "64k"],
  mp3: ["-c:a", "libmp3lame", "-b:a", "64k"],
  opus: ["-c:a", "libopus", "-b:a", "64k"],
  ac3: ["-c:a", "ac3", "-b:a", "128k"],
  flac: ["-c:a", "flac"],
} as const;

/**
 * The path of a small recording made by ffmpeg: a test picture at 25 frames a second and a tone. Made once for each set of
 * options and kept in test/fixtures/generated; safe when several tests ask at the same time.
 */
export async function sampleMedia(options: SampleOptions): Promise<string> {
  const { video, audio, seconds = 2, container = "mkv", gop = 25, bframes = 0, size = "160x90" } = options;
  const { sampleRate = 48_000, channels = 2, extra = [] } = options;
  const inputs: string[] = [];
  const outputs: string[] = [];
  if (video) {
    inputs.push("-f", "lavfi", "-i", `testsrc=size=${size}:rate=25`);
    outputs.push(...videoEncoders[video], "-g", String(gop));
    if (video === "h264")
      outputs.push("-bf", String(bframes), "-x264-params", `keyint=${gop}:min-keyint=${gop}:scenecut=0:bframes=${bframes}`);
    if (video === "hevc")
      outputs.push("-x265-params", `keyint=${gop}:min-keyint=${gop}:scenecut=0:bframes=${bframes}:pools=1:log-level=error`);
  }
  if (audio) {
    inputs.push("-f", "lavfi", "-i", `sine=frequency=440:sample_rate=${sampleRate}`);
    outputs.push(...audioEncoders[audio], "-ar", String(sampleRate), "-ac", String(channels));
  }
  const args = [...inputs, "-t", String(seconds), ...outputs, ...extra, "-f", ffmpegMuxer[container] ?? container];
  const key = createHash("sha256").update(JSON.stringify(args)).digest("hex").slice(0, 16);
  const path = `${folder}${[video, audio].filter(Boolean).join("-")}-${key}.${container}`;
  if (await exists(path)) return path;
  await mkdir(folder, { recursive: true });
  const draft = `${path}.${randomBytes(4).toString("hex")}.part`;
  try {
    await run("ffmpeg", ["-hide_banner", "-loglevel", "error", "-nostdin", "-y", ...args, draft]);
    await rename(draft, path);
  } finally {
    await rm(draft, { force: true });
  }
  return path;
}

const ffmpegMuxer: Readonly<Record<string, string>> = { mkv: "matroska" };

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** One packet as ffprobe sees it; times in seconds as text, `hash` over the data. */
export type ProbedPacket = {
  readonly codec_type: string;
  readonly pts_time: string;
  readonly dts_time: string;
  readonly size: string;
  readonly flags: string;
  readonly data_hash: string;
};

/** One stream as ffprobe sees it. */
export type ProbedStream = {
  readonly codec_name: string;
  readonly codec_type: string;
  readonly profile?: string;
  readonly width?: number;
  readonly height?: number;
  readonly sample_rate?: string;
  readonly channels?: number;
  readonly avg_frame_rate: string;
};

/** Streams and packets of a file as ffprobe sees them. */
export async function probeMedia(
  path: string,
): Promise<{ readonly streams: readonly ProbedStream[]; readonly packets: readonly ProbedPacket[] }> {
  const { stdout } = await run(
    "ffprobe",
    ["-v", "error", "-of", "json", "-show_streams", "-show_packets", "-show_data_hash", "md5", path],
    { maxBuffer: 64 * 1024 * 1024 },
  );
  return JSON.parse(stdout) as Awaited<ReturnType<typeof probeMedia>>;
}

/** The messages of ffmpeg when it decodes the whole file; empty when all is well. */
export async function decodeErrors(path: string): Promise<string> {
  const { stderr } = await run("ffmpeg", ["-hide_banner", "-loglevel", "warning", "-nostdin", "-i", path, "-f", "null", "-"]);
  return stderr;
}
