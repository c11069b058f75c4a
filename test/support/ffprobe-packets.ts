import { type Child, startChild } from "./child.ts";

export type ProbedTimes = {
  readonly child: Child;
  /** Resolves when the input has ended: decode times in seconds of `video` and `audio`, in the order in which packets came. */
  readonly times: Promise<ReadonlyMap<string, readonly number[]>>;
};

/** An ffprobe that reads `url` on one connection until it ends. */
export function probeTimes(url: string): ProbedTimes {
  const args = ["-v", "error", "-show_entries", "packet=codec_type,dts_time", "-of", "csv=p=0", url];
  const child = startChild("ffprobe", args);
  let text = "";
  child.process.stdout?.on("data", (chunk: Buffer) => (text += chunk.toString()));
  const times = child.exited.then((code) => {
    if (code !== 0) throw new Error(`ffprobe ended with ${code}: ${child.stderr()}`);
    const byStream = new Map<string, number[]>();
    for (const [, kind = "", dts] of text.matchAll(/^(video|audio),([\d.]+)/gm)) {
      const list = byStream.get(kind) ?? [];
      list.push(Number(dts));
      byStream.set(kind, list);
    }
    return byStream;
  });
  times.catch(() => {});
  return { child, times };
}
