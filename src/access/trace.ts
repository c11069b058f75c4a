import type { Clock } from "../base/time.ts";

/** One step of a decision: what was asked, how long the answer took, and what came of it. Never a key or a token. */
export type TraceStep = { readonly step: string; readonly ms: number; readonly text: string };

const mostSteps = 32;

/** The steps of one decision, kept until it has ended. */
export class Trace {
  readonly steps: TraceStep[] = [];
  readonly #clock: Clock;
  #last: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#last = clock.monotonic();
  }

  /** Notes a step that has just ended. */
  add(step: string, text: string): void {
    const now = this.#clock.monotonic();
    if (this.steps.length < mostSteps) this.steps.push({ step, ms: Math.round(now - this.#last), text });
    this.#last = now;
  }

  toString(): string {
    return this.steps.map(({ step, ms, text }) => `${step} (${ms} ms): ${text}`).join("; ");
  }
}
