import { formatAddress, parseAddress } from "../../base/address.ts";
import { type StreamName, streamName } from "../../base/stream-name.ts";
import { oldestSeat, type Seat, type Who } from "../../sessions/seats.ts";
import { type StreamFilter, type StreamTags, streamFilter } from "../../triggers/filter.ts";
import type { LimitRule, LimitState } from "./limit.ts";
import { Reservations } from "./reservations.ts";

export type Measure = LimitState["measure"];
export const measures = ["sessions", "egress", "ingest"] as const satisfies readonly Measure[];

/** One counter of a gauge: what is used in one name. */
export class Tally {
  readonly key: string;
  /** In the order in which they came, but for those that have moved here from another user. */
  readonly seats = new Set<Seat>();
  moved = 0;
  /** Bits per second. */
  measured = 0;
  closed = false;
  refused = 0;
  /** There may be a counter for each viewer: those of sessions need none. */
  #promised: Reservations | undefined;

  constructor(key: string) {
    this.key = key;
  }

  get promised(): Reservations {
    return (this.#promised ??= new Reservations());
  }

  /** Bits per second in use when `second` is the newest that was measured. */
  rate(second: number): number {
    return Math.max(0, this.measured + (this.#promised?.at(second) ?? 0));
  }
}

/** One measure of one rule: who is counted, and in whose name. It counts nothing by itself. */
export class Gauge {
  readonly name: string;
  readonly rule: LimitRule;
  readonly measure: Measure;
  readonly most: number;
  /** Where it opens again, in the measure's unit. */
  readonly safe: number;
  /** True if the oldest is ended for who comes. */
  readonly ends: boolean;
  /** Where else who comes is sent. */
  readonly fallback: StreamName | undefined;
  readonly tallies = new Map<string, Tally>();
  /** Clients ever. */
  refused = 0;
  readonly #filter: StreamFilter;

  constructor(name: string, rule: LimitRule, measure: Measure, tagsOf: StreamTags) {
    this.name = name;
    this.rule = rule;
    this.measure = measure;
    this.most = rule[measure] ?? Number.POSITIVE_INFINITY;
    this.safe = this.most * (rule.safe ?? (measure === "sessions" ? 1 : 0.9));
    const { onReached = "refuse" } = rule;
    this.ends = onReached === "end-oldest";
    this.fallback = typeof onReached === "object" ? streamName(onReached.fallback) : undefined;
    this.#filter = streamFilter(rule.streams ?? [], tagsOf);
  }

  /** True if it measures the same in the same way. */
  same({ name, measure, rule }: Gauge): boolean {
    return name === this.name && measure === this.measure && JSON.stringify(rule) === JSON.stringify(this.rule);
  }

  /** In whose name a viewer is counted; undefined: not at all. Who was sent to the fallback is not. */
  keyOf({ identity, user }: Who): string | undefined {
    const { stream, token, madeToken, address } = identity;
    if (!this.#isFor(stream)) return undefined;
    switch (this.rule.by) {
      case "user":
        return user || undefined;
      case "token":
        return madeToken ? undefined : token || undefined;
      case "address":
        return networkOf(address, this.rule.prefix);
      default:
        return this.streamKey(stream);
    }
  }

  /** In whose name what goes through a stream is counted; undefined: not at all. */
  streamKey(stream: StreamName): string | undefined {
    if (!this.#isFor(stream)) return undefined;
    return this.rule.by === "stream" ? stream : "server";
  }

  tally(key: string): Tally {
    let tally = this.tallies.get(key);
    if (!tally) this.tallies.set(key, (tally = new Tally(key)));
    return tally;
  }

  /** What is in use; `second` is the newest that was measured. */
  used(tally: Tally, second: number): number {
    return this.measure === "sessions" ? tally.seats.size : tally.rate(second);
  }

  /** True from when it was reached until the safe mark. */
  closedAt(used: number, closed: boolean): boolean {
    return used >= this.most || (closed && used > this.safe);
  }

  /** Who has to go next. */
  oldest(tally: Tally, leaving: ReadonlySet<Seat>): Seat | undefined {
    if (tally.moved > 0) return oldestSeat(tally.seats, leaving);
    for (const seat of tally.seats) if (!leaving.has(seat)) return seat;
    return undefined;
  }

  #isFor(stream: StreamName): boolean {
    return stream !== this.fallback && this.#filter(stream);
  }
}

/** The network of an address with so many bits, `203.0.113.0/24`; the address itself when all count. Text that is no address stays. */
function networkOf(address: string, { ipv4 = 32, ipv6 = 128 }: NonNullable<LimitRule["prefix"]> = {}): string {
  const bytes = parseAddress(address);
  if (!bytes) return address;
  const short = !formatAddress(bytes).includes(":");
  const bits = short ? ipv4 : ipv6;
  if (bits >= (short ? 32 : 128)) return formatAddress(bytes);
  const kept = bits + (short ? 96 : 0);
  const network = bytes.map((byte, at) => byte & (0xff << Math.min(8, Math.max(0, 8 * (at + 1) - kept))));
  return `${formatAddress(network)}/${bits}`;
}
