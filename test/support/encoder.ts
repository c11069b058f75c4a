import { type Child, startChild } from "./child.ts";

export type EncoderOptions = {
  /** Distance of keyframes in frames at 25 fps; 25 is one second. */
  readonly gop?: number;
  readonly seconds?: number;
  readonly size?: string;
  /** Video bit rate, as ffmpeg takes it. */
  readonly rate?: string;
  readonly audio?: boolean;
  /** Sound of one channel at 48 kHz, in place of the usual. */
  readonly mono?: boolean;
  /** The pattern: several streams are told apart by it. */
  readonly pattern?: "testsrc" | "smptebars" | "rgbtestsrc";
  readonly format?: string;
};

/** An ffmpeg that pushes a test picture and a tone in real time until it is ended. */
export function startEncoder(url: string, options: EncoderOptions = {}): Child {
  const {
    gop = 25,
    seconds = 600,
    size = "320x180",
    rate = "300k",
    audio = true,
    mono = false,
    pattern = "testsrc",
    format = "flv",
  } = options;
  const tone = audio ? ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100"] : [];
  return startChild("ffmpeg", [
    ...["-hide_banner", "-loglevel", "info", "-nostdin", "-re", "-f", "lavfi", "-i", `${pattern}=size=${size}:rate=25`, ...tone],
    ...[
      "-t",
      `${seconds}`,
      "-c:v",
      "libx264",
      "-preset",
      "ultrafast",
      "-tune",
      "zerolatency",
      "-pix_fmt",
      "yuv420p",
      "-g",
      `${gop}`,
      "-keyint_min",
      `${gop}`,
      "-sc_threshold",
      "0",
    ],
    ...["-b:v", rate, ...(audio ? ["-c:a", "aac", "-b:a", "64k", ...(mono ? ["-ac", "1", "-ar", "48000"] : [])] : []), "-f", format, url],
  ]);
}
