import type { Seat } from "../../sessions/seats.ts";
import type { StreamTags } from "../../triggers/filter.ts";
import { Gauge, measures, type Tally } from "./gauge.ts";
import type { LimitRule, LimitState, LimitSum } from "./limit.ts";
import { createHash } from "node:crypto";

/** What a new viewer was promised, until the measurement has it. */
export type Promised = { readonly second: number; readonly bits: number };

/**
 * The gauges of all rules, with what they count: seats, promises and rates. Who changes a count calls `look` in the same step, so that
 * a limit is told as closed or open when it is.
 */
export class Gauges {
  all: readonly Gauge[] = [];
  /** The newest second that was measured. */
  second = 0;
  /** Where each seat counts. */
  readonly #taken = new Map<Seat, readonly (readonly [Gauge, Tally])[]>();
  readonly #promised = new Map<Seat, Promised>();
  /** While a step runs: how those were before it that have changed. */
  #held: Map<Tally, readonly [Gauge, boolean]> | undefined;
  readonly #tell: (state: LimitState) => void;
  readonly #tagsOf: StreamTags;

  /** `tell` is called when a limit has closed or opened. */
  constructor(tagsOf: StreamTags, tell: (state: LimitState) => void) {
    this.#tagsOf = tagsOf;
    this.#tell = tell;
  }

  /** True if rates have to be measured. */
  get rated(): boolean {
    return this.all.some(({ measure }) => measure !== "sessions");
  }

  /** Other rules count from now on; those that are as before keep what they know. Everybody is counted anew. */
  use(rules: Readonly<Record<string, LimitRule>>, seats: Iterable<Seat>): void {
    const before = this.all;
    this.all = Object.entries(rules).flatMap(([name, rule]) =>
      measures
        .filter((measure) => rule[measure] !== undefined)
        .map((measure) => {
          const gauge = new Gauge(name, rule, measure, this.#tagsOf);
          const known = before.find((other) => other.name === name && other.measure === measure);
          if (known) gauge.refused = known.refused;
          if (known?.same(gauge))
            for (const [key, { closed, refused, measured }] of known.tallies)
              Object.assign(gauge.tally(key), { closed, refused, measured });
          return gauge;
        }),
    );
    this.#taken.clear();
    if (this.all.length > 0) for (const seat of seats) this.#count(seat, this.#promised.get(seat));
    this.tidy();
  }

  /** The gauges that count a viewer, with the counters. */
  of(who: Pick<Seat, "identity" | "user">): readonly (readonly [Gauge, Tally])[] {
    const found: (readonly [Gauge, Tally])[] = [];
    for (const gauge of this.all) {
      const key = gauge.measure === "ingest" ? undefined : gauge.keyOf(who);
      if (key !== undefined) found.push([gauge, gauge.tally(key)]);
    }
    return found;
  }

  /** The gauges of this measure that count a stream. */
  ofStream(stream: string, measure: "egress" | "ingest"): readonly (readonly [Gauge, Tally])[] {
    const found: (readonly [Gauge, Tally])[] = [];
    for (const gauge of this.all) {
      const key = gauge.measure === measure ? gauge.streamKey(stream) : undefined;
      if (key !== undefined) found.push([gauge, gauge.tally(key)]);
    }
    return found;
  }

  enter(seat: Seat, promised: Promised): void {
    if (this.all.length === 0) return;
    if (this.rated && promised.bits > 0) this.#promised.set(seat, promised);
    for (const [gauge, tally] of this.#count(seat, promised)) this.look(gauge, tally);
  }

  /** Gives what the seat was promised and has not been measured yet. */
  leave(seat: Seat): Promised | undefined {
    const promised = this.#promised.get(seat);
    this.#promised.delete(seat);
    const taken = this.#taken.get(seat);
    this.#taken.delete(seat);
    for (const [gauge, tally] of taken ?? []) {
      tally.seats.delete(seat);
      if (promised && gauge.measure === "egress") tally.promised.add(promised.second, -promised.bits);
      if (seat.moved) tally.moved--;
      this.look(gauge, tally);
      if (!this.#held && isIdle(gauge, tally, this.second)) gauge.tallies.delete(tally.key);
    }
    return promised;
  }

  promisedTo(seat: Seat): Promised | undefined {
    return this.#promised.get(seat);
  }

  /** Runs what is one step, and tells then what has closed or opened by it. */
  inOneStep(run: () => void): void {
    const held = (this.#held = new Map<Tally, readonly [Gauge, boolean]>());
    try {
      run();
    } finally {
      this.#held = undefined;
      for (const [tally, [gauge, before]] of held) if (tally.closed !== before) this.#tell(this.#state(gauge, tally));
    }
  }

  /** Tells if it has closed or opened. */
  look(gauge: Gauge, tally: Tally): void {
    const closed = gauge.closedAt(gauge.used(tally, this.second), tally.closed);
    if (closed === tally.closed) return;
    if (this.#held && !this.#held.has(tally)) this.#held.set(tally, [gauge, tally.closed]);
    tally.closed = closed;
    if (!this.#held) this.#tell(this.#state(gauge, tally));
  }

  /** Closes it although it is not reached: what comes next does not fit. */
  shut(gauge: Gauge, tally: Tally): void {
    if (tally.closed || gauge.used(tally, this.second) <= gauge.safe) return;
    tally.closed = true;
    this.#tell(this.#state(gauge, tally));
  }

  /** Looks at all counters, and drops those of which nothing is left. */
  tidy(): void {
    for (const gauge of this.all) {
      for (const tally of gauge.tallies.values()) {
        this.look(gauge, tally);
        if (isIdle(gauge, tally, this.second)) gauge.tallies.delete(tally.key);
      }
    }
    for (const [seat, { second }] of this.#promised) {
      if (this.second - second < 5) break;
      this.#promised.delete(seat);
    }
  }

  states(): readonly LimitState[] {
    return this.all.flatMap((gauge) =>
      [...gauge.tallies.values()].filter((tally) => !isIdle(gauge, tally, this.second)).map((tally) => this.#state(gauge, tally)),
    );
  }

  statesOf(who: Pick<Seat, "identity" | "user">): readonly LimitState[] {
    return this.of(who).map(([gauge, tally]) => this.#state(gauge, tally));
  }

  sums(): readonly LimitSum[] {
    return this.all.map((gauge) => {
      const { name, measure, most, refused } = gauge;
      let used = 0;
      for (const tally of gauge.tallies.values()) used = Math.max(used, gauge.used(tally, this.second));
      return { name, measure, used: Math.round(used), most, refused };
    });
  }

  #count(seat: Seat, promised: Promised | undefined): readonly (readonly [Gauge, Tally])[] {
    const taken = this.of(seat);
    if (taken.length > 0) this.#taken.set(seat, taken);
    for (const [gauge, tally] of taken) {
      tally.seats.add(seat);
      if (seat.moved) tally.moved++;
      if (gauge.measure === "egress" && promised) tally.promised.add(promised.second, promised.bits);
    }
    return taken;
  }

  #state(gauge: Gauge, tally: Tally): LimitState {
    const { name, rule, measure, most } = gauge;
    const { closed, refused } = tally;
    const key = rule.by === "token" ? createHash("sha256").update(tally.key).digest("hex").slice(0, 16) : tally.key;
    return { name, rule, key, measure, used: Math.round(gauge.used(tally, this.second)), most, closed, refused };
  }
}

function isIdle(gauge: Gauge, tally: Tally, second: number): boolean {
  return tally.seats.size === 0 && !tally.closed && (gauge.measure === "sessions" || tally.rate(second) === 0);
}
