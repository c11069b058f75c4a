import { startChild } from "./child.ts";

export type Played = { readonly code: number | NodeJS.Signals; readonly videoFrames: number; readonly output: string };

/** Lets a real ffmpeg play `url` for `seconds` of media (or until the end) and counts the frames that it decoded. */
export async function playWithFfmpeg(url: string, seconds: number, limitMs = 30_000): Promise<Played> {
  await using player = startChild("ffmpeg", [
    "-hide_banner",
    "-nostdin",
    "-loglevel",
    "info",
    "-i",
    url,
    "-t",
    `${seconds}`,
    "-f",
    "null",
    "-",
  ]);
  const limit = setTimeout(() => void player.stop(), limitMs);
  const code = await player.exited;
  clearTimeout(limit);
  const output = player.stderr();
  const frames = [...output.matchAll(/frame=\s*(\d+)/g)].at(-1)?.[1];
  return { code, videoFrames: Number(frames ?? 0), output };
}
