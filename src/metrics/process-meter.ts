import { cpus, freemem, totalmem } from "node:os";
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { Clock } from "../base/time.ts";

/** What the process and its machine do; times in seconds, memory in bytes. */
export type ProcessFacts = {
  /** How late the event loop was in the last full window: the median, the 99th percentile and the worst. */
  readonly delay: { readonly p50: number; readonly p99: number; readonly max: number };
  /** Busy part of all processors of the machine in the last full window, 0 to 1. */
  readonly machineBusy: number;
  /** Processor time of this process since its start. */
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  readonly heapBytes: number;
  readonly machineBytes: number;
  readonly machineFreeBytes: number;
  /** Unix time. */
  readonly startedAt: number;
};

/** Short enough for a usual scrape to see each bad moment, and not bound to scrapes: two readers do not disturb each other. */
const windowMs = 15_000;
const resolutionMs = 20;

/** Watches the process. Dispose to stop. */
export interface ProcessMeter extends Disposable {
  read(): ProcessFacts;
}

/** Starts to watch. Before the first window is full, it shows what there is. */
export function createProcessMeter(clock: Clock): ProcessMeter {
  const histogram = monitorEventLoopDelay({ resolution: resolutionMs });
  histogram.enable();
  const startedAt = (Date.now() - process.uptime() * 1000) / 1000;
  let processors = processorTimes();
  let full: Pick<ProcessFacts, "delay" | "machineBusy"> | undefined;
  const windowNow = (): Pick<ProcessFacts, "delay" | "machineBusy"> => {
    const now = processorTimes();
    const all = now.all - processors.all;
    return {
      delay: {
        p50: late(histogram.percentile(50)),
        p99: late(histogram.percentile(99)),
        max: late(histogram.max),
      },
      machineBusy: all > 0 ? Math.min(1, Math.max(0, (now.busy - processors.busy) / all)) : 0,
    };
  };
  const ticking = clock.every(windowMs, () => {
    full = windowNow();
    processors = processorTimes();
    histogram.reset();
  });
  return {
    read() {
      const { user, system } = process.cpuUsage();
      const { rss, heapUsed } = process.memoryUsage();
      return {
        ...(full ?? windowNow()),
        cpuSeconds: (user + system) / 1e6,
        residentBytes: rss,
        heapBytes: heapUsed,
        machineBytes: totalmem(),
        machineFreeBytes: freemem(),
        startedAt,
      };
    },
    [Symbol.dispose]() {
      ticking[Symbol.dispose]();
      histogram.disable();
    },
  };
}

/** Seconds of lateness: Node records the whole time between two looks, in nanoseconds; an empty histogram gives no number. */
function late(nanoseconds: number): number {
  const milliseconds = nanoseconds / 1e6 - resolutionMs;
  return Number.isFinite(milliseconds) && milliseconds > 0 ? Math.round(milliseconds * 1000) / 1e6 : 0;
}

function processorTimes(): { readonly busy: number; readonly all: number } {
  let busy = 0;
  let all = 0;
  for (const { times } of cpus()) {
    const working = times.user + times.nice + times.sys + times.irq;
    busy += working;
    all += working + times.idle;
  }
  return { busy, all };
}
