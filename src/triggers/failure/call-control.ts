import { SluiceError } from "../../base/errors.ts";
import type { Clock } from "../../base/time.ts";
import { Breaker, type BreakerEvents, type BreakerOptions, type BreakerStatus, defaultBreaker } from "./breaker.ts";
import { type SlotOptions, Slots } from "./slots.ts";

/** How many calls one handler gets at once, and when it is left alone (false: never). */
export type CallLimits = SlotOptions & { readonly breaker: BreakerOptions | false };

/** `CallLimits` as a person writes them. */
export type CallLimitOptions = {
  /**
   * Calls in flight to this handler at most; more wait in line. Left out: 128 for functions and HTTP (as many connections
   * are kept; more calls would only wait there, unseen), 32 for executables (each is a process).
   */
  readonly maxCalls: number;
  /** Milliseconds that a call waits for its turn before the handler counts as busy. Left out: 5000, or 60000 for who is only told. */
  readonly maxWaitMs: number;
  /** When a handler that fails is left alone. Left out: see `defaultBreaker`; false: never. Who is only told is always tried. */
  readonly breaker: false | Partial<BreakerOptions>;
};

/** What a handler does at this moment. */
export type CallStatus = {
  readonly inFlight: number;
  readonly waiting: number;
  /** Undefined: it has none. */
  readonly breaker: BreakerStatus | undefined;
};

const defaultMaxCalls = { function: 128, http: 128, exec: 32 } as const;
/** As long as a viewer waits for a page; the handler's own time comes on top. */
const askedWaitMs = 5000;
const toldWaitMs = 60_000;

/** Reads the options of one handler; `path` goes before the field's name in errors. Throws "config.invalid". */
export function readCallLimits(
  options: { readonly [K in keyof CallLimitOptions]?: unknown },
  kind: keyof typeof defaultMaxCalls,
  asked: boolean,
  path: string,
): CallLimits {
  const { maxCalls = defaultMaxCalls[kind], maxWaitMs = asked ? askedWaitMs : toldWaitMs, breaker } = options;
  if (!isNumber(maxCalls, 1) || !Number.isInteger(maxCalls)) throw wrong(`${path}maxCalls`, maxCalls, "a whole number above 0");
  if (!isNumber(maxWaitMs, 0)) throw wrong(`${path}maxWaitMs`, maxWaitMs, "milliseconds, 0 for no wait");
  return { maxCalls, maxWaitMs, breaker: asked && readBreaker(breaker, `${path}breaker`) };
}

function readBreaker(value: unknown, path: string): BreakerOptions | false {
  if (value === false) return false;
  if (value === undefined || value === null || value === true) return defaultBreaker;
  if (typeof value !== "object" || Array.isArray(value)) throw wrong(path, value, "false, or an object");
  const known = Object.keys(defaultBreaker);
  for (const key of Object.keys(value)) if (!known.includes(key)) throw wrong(path, value, `an object with some of ${known.join(", ")}`);
  const read: BreakerOptions = { ...defaultBreaker, ...value };
  if (!isNumber(read.failures, 1) || !Number.isInteger(read.failures))
    throw wrong(`${path}.failures`, read.failures, "a whole number above 0");
  if (!isNumber(read.rate, 0) || read.rate === 0 || read.rate >= 1) throw wrong(`${path}.rate`, read.rate, "a number above 0 and below 1");
  if (!isNumber(read.pauseMs, 1)) throw wrong(`${path}.pauseMs`, read.pauseMs, "milliseconds above 0");
  if (!isNumber(read.maxPauseMs, 1)) throw wrong(`${path}.maxPauseMs`, read.maxPauseMs, "milliseconds above 0");
  return { ...read, maxPauseMs: Math.max(read.maxPauseMs, read.pauseMs) };
}

/** All calls to one handler go through here. */
export class CallControl {
  readonly #slots: Slots;
  readonly #breaker: Breaker | undefined;

  constructor(limits: CallLimits, clock: Clock, events: BreakerEvents) {
    this.#slots = new Slots(limits, clock);
    this.#breaker = limits.breaker ? new Breaker(limits.breaker, clock, events) : undefined;
  }

  /**
   * Makes the call when it is its turn. Rejects with what the call rejects with; with a `HandlerFailure` "open" or "busy"
   * when it is not made; or with the reason of a signal that is aborted while it waits. Once made it is not disturbed.
   */
  async run<T>(call: () => Promise<T>, signals: readonly AbortSignal[]): Promise<T> {
    const breaker = this.#breaker;
    if (breaker?.refuses) throw breaker.refusal;
    const turn = this.#slots.take(signals);
    if (turn) await turn;
    try {
      if (!breaker) return await call();
      // It may have opened while this call waited.
      if (breaker.refuses) throw breaker.refusal;
      return await breaker.run(call);
    } finally {
      this.#slots.release();
    }
  }

  status(): CallStatus {
    return { inFlight: this.#slots.inFlight, waiting: this.#slots.waiting, breaker: this.#breaker?.status() };
  }
}

function isNumber(value: unknown, least: number): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= least;
}

function wrong(path: string, value: unknown, wanted: string): SluiceError {
  return new SluiceError("config.invalid", `${path}: here stands ${JSON.stringify(value)?.slice(0, 80)}; there must be ${wanted}`);
}
