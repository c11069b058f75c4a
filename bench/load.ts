import type { Socket } from "node:net";
import { type LoadOrder, startFlvViewer, startHlsViewer, startRtmpViewer, type Viewer } from "./viewers.ts";

/** What comes back. Times in ms; gaps and bytes are those of the window only. */
export type LoadResult = {
  readonly viewers: number;
  readonly receiving: number;
  readonly bytes: number;
  readonly windowMs: number;
  readonly firstByte: { readonly p50: number; readonly p99: number };
  readonly gap: { readonly p50: number; readonly p99: number; readonly max: number };
  readonly ownCpuSeconds: number;
  readonly ended: number;
};

export type LoadMessage = { readonly kind: "window-begins" } | { readonly kind: "result"; readonly result: LoadResult };

const start: Readonly<Record<LoadOrder["kind"], (order: LoadOrder, viewer: Viewer) => Socket>> = {
  flv: startFlvViewer,
  rtmp: startRtmpViewer,
  hls: startHlsViewer,
};
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Raw sockets that read into one shared buffer and throw it away: cheap, so that the server is what is measured. */
async function run(order: LoadOrder): Promise<void> {
  const viewers: Viewer[] = [];
  const sockets: Socket[] = [];
  const step = 20;
  while (viewers.length < order.viewers) {
    const now = Math.min(order.viewers - viewers.length, Math.max(1, Math.round((order.joinRate * step) / 1000)));
    for (let i = 0; i < now; i++) {
      const viewer: Viewer = { begun: performance.now(), firstByte: 0, last: 0, gap: 0, bytes: 0, ended: false };
      viewers.push(viewer);
      sockets.push(start[order.kind](order, viewer));
    }
    await pause(step);
  }
  await pause(order.kind === "hls" ? 5000 : 3000);
  const begun = performance.now();
  for (const viewer of viewers) {
    viewer.bytes = 0;
    viewer.gap = 0;
  }
  const cpu = process.cpuUsage();
  process.send?.({ kind: "window-begins" } satisfies LoadMessage);
  await pause(order.windowMs);
  const used = process.cpuUsage(cpu);
  const now = performance.now();
  const firstBytes = viewers.filter((viewer) => viewer.firstByte > 0).map((viewer) => viewer.firstByte - viewer.begun);
  const gaps = viewers.map((viewer) => Math.max(viewer.gap, now - (viewer.last || begun)));
  const result: LoadResult = {
    viewers: viewers.length,
    receiving: viewers.filter((viewer) => viewer.bytes > 0).length,
    bytes: viewers.reduce((sum, viewer) => sum + viewer.bytes, 0),
    windowMs: now - begun,
    firstByte: { p50: quantile(firstBytes, 0.5), p99: quantile(firstBytes, 0.99) },
    gap: { p50: quantile(gaps, 0.5), p99: quantile(gaps, 0.99), max: quantile(gaps, 1) },
    ownCpuSeconds: (used.user + used.system) / 1e6,
    ended: viewers.filter((viewer) => viewer.ended).length,
  };
  process.send?.({ kind: "result", result } satisfies LoadMessage);
  for (const socket of sockets) socket.destroy();
}

function quantile(values: readonly number[], at: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * at))] ?? Number.NaN;
}

process.once("message", (order: LoadOrder) => {
  void run(order).finally(() => setTimeout(() => process.exit(0), 200));
});
