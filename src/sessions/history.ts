import { baseName, type StreamName } from "../base/stream-name.ts";
import type { SessionType, StreamRate, TotalsQuery, TotalsRow } from "./session.ts";

/** Seconds that are remembered. */
const historySeconds = 600;
/** Rates are averages over this many seconds. */
const rateSeconds = 5;
/** One more than is shown, so that the oldest second still has its 5-second average. */
const slots = historySeconds + rateSeconds;

/**
 * What goes through one stream over one connector by one type of session. Connections add to `up` and `down`
 * (bytes, plain additions, nothing else happens in the packet path); each second moves the difference into a slot.
 *
 *     slot of second s = s mod 605:   [ sessions | bytes up | bytes down ]
 */
export class Flow {
  readonly stream: StreamName;
  readonly protocol: string;
  readonly type: SessionType;
  /** Bytes ever. */
  up = 0;
  down = 0;
  /** Sessions that count here; set anew by the tick. */
  sessions = 0;
  /** The last second with a session. */
  lastUsed: number;
  readonly #sessions = new Uint32Array(slots);
  readonly #up = new Float64Array(slots);
  readonly #down = new Float64Array(slots);
  #seenUp = 0;
  #seenDown = 0;

  constructor(stream: StreamName, protocol: string, type: SessionType, second: number) {
    this.stream = stream;
    this.protocol = protocol;
    this.type = type;
    this.lastUsed = second;
  }

  /** Closes the second `second`; `missed` seconds before it passed without a tick and had no bytes. */
  close(second: number, missed: number): void {
    const up = this.up - this.#seenUp;
    const down = this.down - this.#seenDown;
    this.#seenUp = this.up;
    this.#seenDown = this.down;
    for (let past = Math.min(missed, slots - 1); past >= 0; past--) {
      const slot = (second - past) % slots;
      this.#sessions[slot] = this.sessions;
      this.#up[slot] = past === 0 ? up : 0;
      this.#down[slot] = past === 0 ? down : 0;
    }
    if (this.sessions > 0 || up > 0 || down > 0) this.lastUsed = second;
  }

  sessionsAt(second: number): number {
    return this.#sessions[second % slots] ?? 0;
  }

  /** Bytes per second over the 5 seconds that end with `second`. */
  upAt(second: number): number {
    return average(this.#up, second);
  }

  downAt(second: number): number {
    return average(this.#down, second);
  }
}

function average(bytes: Float64Array, second: number): number {
  let sum = 0;
  for (let past = 0; past < rateSeconds; past++) sum += bytes[(((second - past) % slots) + slots) % slots] ?? 0;
  return Math.round(sum / rateSeconds);
}

/**
 * The last 600 seconds of all flows. Seconds here are those of the monotonic clock; `totals` translates to and from
 * Unix time, so that a corrected wall clock tears no hole. A session that has ended counts no more from the next second on.
 */
export class History {
  readonly #flows = new Map<string, Flow>();
  #second: number;
  readonly #started: number;

  /** `second`: the monotonic second that is going on. */
  constructor(second: number) {
    this.#second = second;
    this.#started = second;
  }

  /** The second that is going on. */
  get second(): number {
    return this.#second;
  }

  flow(stream: StreamName, protocol: string, type: SessionType): Flow {
    const key = `${type} ${protocol} ${stream}`;
    let flow = this.#flows.get(key);
    if (!flow) {
      flow = new Flow(stream, protocol, type, this.#second);
      this.#flows.set(key, flow);
    }
    return flow;
  }

  flows(): Iterable<Flow> {
    return this.#flows.values();
  }

  /** Closes all seconds before `now`. Flows unused for 600 seconds are dropped. */
  advance(now: number): void {
    if (now <= this.#second) return;
    const missed = now - 1 - this.#second;
    for (const [key, flow] of this.#flows) {
      flow.close(now - 1, missed);
      if (flow.sessions === 0 && now - flow.lastUsed > slots) this.#flows.delete(key);
    }
    this.#second = now;
  }

  /** What goes through each stream, over the last 5 whole seconds: to its viewers, from its publisher. Streams without either are left out. */
  rates(): ReadonlyMap<StreamName, StreamRate> {
    const rates = new Map<StreamName, { up: number; down: number; viewers: number }>();
    for (const flow of this.#flows.values()) {
      if (flow.type !== "viewer" && flow.type !== "input") continue;
      const rate = flow.type === "viewer" ? flow.upAt(this.#second - 1) : flow.downAt(this.#second - 1);
      if (rate === 0) continue;
      let sum = rates.get(flow.stream);
      if (!sum) rates.set(flow.stream, (sum = { up: 0, down: 0, viewers: 0 }));
      if (flow.type === "input") sum.down += rate;
      else {
        sum.up += rate;
        sum.viewers += flow.sessions;
      }
    }
    return rates;
  }

  /** Streams with a session within the last 600 seconds, sorted. */
  streams(): readonly StreamName[] {
    return [...new Set([...this.#flows.values()].map((flow) => flow.stream))].sort();
  }

  /** One row for each second from the first to the last that has something to tell; undefined when none has. `unixNow` in seconds. */
  totals(
    query: TotalsQuery,
    unixNow: number,
  ): { readonly start: number; readonly end: number; readonly rows: readonly TotalsRow[] } | undefined {
    const newest = this.#second - 1;
    const toUnix = unixNow - this.#second;
    const from = Math.max(instant(query.start, unixNow - historySeconds, unixNow) - toUnix, newest - historySeconds + 1, this.#started);
    const to = Math.min(instant(query.end, unixNow, unixNow) - toUnix, newest);
    const flows = [...this.#flows.values()].filter(
      (flow) =>
        flow.type !== "unspecified" &&
        picks(query.streams, flow.stream, baseName(flow.stream)) &&
        picks(query.protocols, flow.protocol, flow.protocol.split(":")[0] ?? ""),
    );
    const rows: TotalsRow[] = [];
    let first: number | undefined;
    let last = 0;
    for (let second = from; second <= to; second++) {
      const row = rowAt(flows, second);
      if (row.clients + row.inputs + row.outputs + row.upbps + row.downbps > 0) {
        first ??= second;
        last = second;
      }
      if (first !== undefined) rows.push(row);
    }
    if (first === undefined) return undefined;
    return { start: first + toUnix, end: last + toUnix, rows: rows.slice(0, last - first + 1) };
  }
}

function rowAt(flows: readonly Flow[], second: number): TotalsRow {
  const row = { clients: 0, inputs: 0, outputs: 0, downbps: 0, upbps: 0 };
  for (const flow of flows) {
    const sessions = flow.sessionsAt(second);
    if (flow.type === "viewer") row.clients += sessions;
    else if (flow.type === "input") row.inputs += sessions;
    else row.outputs += sessions;
    row.upbps += flow.upAt(second);
    row.downbps += flow.downAt(second);
  }
  return row;
}

/** Unix seconds of a query's bound: absent or 0 is `otherwise`, negative counts back from now. */
function instant(bound: number | undefined, otherwise: number, unixNow: number): number {
  if (!bound) return otherwise;
  return Math.floor(bound < 0 ? unixNow + bound : bound);
}

function picks(list: readonly string[] | undefined, full: string, short: string): boolean {
  return !list || list.length === 0 || list.includes(full) || list.includes(short);
}
