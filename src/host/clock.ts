import type { Clock } from "../base/time.ts";

/** The real clock. Its timers never keep the process alive. */
export function createClock(): Clock {
  return {
    now: () => Date.now(),
    monotonic: () => performance.now(),
    after(ms, run) {
      const timer = setTimeout(run, ms).unref();
      return { [Symbol.dispose]: () => clearTimeout(timer) };
    },
    every(ms, run) {
      const timer = setInterval(run, ms).unref();
      return { [Symbol.dispose]: () => clearInterval(timer) };
    },
  };
}
