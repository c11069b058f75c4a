/** Media time in integer microseconds, one timeline for each stream. */
export type Micros = number;

/** The wall clock in milliseconds and timers, handed in so that tests can hold time still. */
export interface Clock {
  /** Unix time in milliseconds. */
  now(): number;
  /** Monotonic milliseconds; only differences mean anything. */
  monotonic(): number;
  /** Calls `run` once after `ms`; dispose to cancel. Never keeps the process alive by itself. */
  after(ms: number, run: () => void): Disposable;
  /** Calls `run` every `ms`; dispose to stop. Never keeps the process alive by itself. */
  every(ms: number, run: () => void): Disposable;
}

const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** A span written as milliseconds or as text: `"250ms"`, `"30s"`, `"5m"`, `"2h"`, `"1d"`. */
export type Duration = number | `${number}${keyof typeof unitMs}`;

/** Milliseconds of a `Duration`. Throws a `RangeError` that shows the accepted forms. */
export function durationMs(value: Duration): number {
  if (typeof value === "number" && value >= 0) return value;
  const parts = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(String(value));
  if (!parts)
    throw new RangeError(`"${value}" is no duration: write milliseconds as a number, or a text such as "250ms", "30s", "5m", "2h"`);
  return Number(parts[1]) * unitMs[parts[2] as keyof typeof unitMs];
}

/**
 * Makes a wrapping clock (RTMP: 32 bits of ms, MPEG-TS: 33 bits of 90 kHz) endless.
 * The returned function takes raw values in arrival order and gives values that continue over the wrap,
 * in both directions, as long as neighbours are less than half a turn apart.
 */
export function unwrapper(bits: number): (raw: number) => number {
  const turn = 2 ** bits;
  let last: number | undefined;
  return (raw) => {
    if (last === undefined) {
      last = raw;
      return raw;
    }
    let delta = (raw - last) % turn;
    if (delta > turn / 2) delta -= turn;
    else if (delta < -turn / 2) delta += turn;
    last += delta;
    return last;
  };
}
