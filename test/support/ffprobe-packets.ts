import { type Child, startChild } from "./child.ts";

export type ProbedTimes = {
  readonly child: Child;
  /** Resolves when the input has ended: decode times in seconds by stream index, in the order in which packets came. */
  readonly times: Promise<ReadonlyMap<number, readonly number[]>>;
};

/** An ffprobe that reads `url` on one connection until it ends. */
export function probeTimes(url: string): ProbedTimes {
  const args = ["-v", "error", "-show_entries", "packet=stream_index,dts_time", "-of", "csv=p=0", url];
  const child = startChild("ffprobe", args);
  let text = "";
  child.process.stdout?.on("data", (chunk: Buffer) => (text += chunk.toString()));
  const times = child.exited.then((code) => {
    if (code !== 0) throw new Error(`ffprobe ended with ${code}: ${child.stderr()}`);
    const byStream = new Map<number, number[]>();
    for (const [, index, dts] of text.matchAll(/^(\d+),([\d.]+)/gm)) {
      const list = byStream.get(Number(index)) ?? [];
      list.push(Number(dts));
      byStream.set(Number(index), list);
    }
    return byStream;
  });
  times.catch(() => {});
  return { child, times };
}
