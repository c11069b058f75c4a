import type { Log } from "../../base/log.ts";
import type { StreamName } from "../../base/stream-name.ts";
import type { StreamRate } from "../../sessions/session.ts";
import type { Gauge, Tally } from "./gauge.ts";
import type { Gauges } from "./gauges.ts";
import { fullWords, refusal } from "./refusal.ts";

/** Milliseconds for which a stream that brought too much is not taken again. */
const bannedMs = 30_000;
/** A publisher that brings nothing for so long is forgotten. */
const silentMs = 10_000;

export type PublishersOptions = {
  readonly gauges: Gauges;
  readonly log: Log;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Ends the stream with the reason. */
  readonly end: (stream: StreamName, reason: string) => void;
};

/** Holds publishers to the limits of `ingest`: at the door, and while they push. */
export class Publishers {
  readonly #options: PublishersOptions;
  /** When the publisher of a stream came; the order is that of coming. */
  readonly #came = new Map<StreamName, number>();
  /** Streams that were ended, until when they are not taken again. */
  readonly #banned = new Map<StreamName, { readonly until: number; readonly gauge: Gauge }>();

  constructor(options: PublishersOptions) {
    this.#options = options;
  }

  /** Throws "access.full" when the stream may not be pushed now. */
  admit(stream: StreamName): void {
    const { gauges, now } = this.#options;
    const banned = this.#banned.get(stream);
    const wait = banned ? banned.until - now() : 0;
    if (banned && wait > 0) {
      banned.gauge.refused++;
      throw refusal(banned.gauge, fullWords(banned.gauge), { retryAfterMs: wait });
    }
    for (const [gauge, tally] of gauges.ofStream(stream, "ingest")) {
      if (!gauge.closedAt(gauge.used(tally, gauges.second), tally.closed)) continue;
      count(gauge, tally);
      throw refusal(gauge, fullWords(gauge));
    }
    this.#came.delete(stream);
    this.#came.set(stream, now());
  }

  /** Ends publishers as long as they bring more than is allowed, the newest first, or the oldest if the rule says so. */
  hold(rates: ReadonlyMap<StreamName, StreamRate>, second: number): void {
    const { gauges, now } = this.#options;
    for (const gauge of gauges.all) {
      if (gauge.measure !== "ingest") continue;
      for (const tally of [...gauge.tallies.values()]) {
        while (gauge.used(tally, gauges.second) > gauge.most) {
          const stream = this.#next(gauge, tally, rates);
          if (stream === undefined) break;
          // It stays in the measurement for a while: what it brought is not held against the others.
          for (const [, other] of gauges.ofStream(stream, "ingest")) other.promised.add(second, -8 * (rates.get(stream)?.down ?? 0));
          this.#end(stream, gauge, tally);
        }
      }
    }
    for (const [stream, { until }] of this.#banned) if (until <= now()) this.#banned.delete(stream);
    for (const [stream, at] of this.#came) if (!rates.has(stream) && now() - at > silentMs) this.#came.delete(stream);
  }

  /** Who was not taken may try again: other rules count. */
  forgive(): void {
    this.#banned.clear();
  }

  #end(stream: StreamName, gauge: Gauge, tally: Tally): void {
    const { log, now, end } = this.#options;
    const reason = fullWords(gauge);
    count(gauge, tally);
    this.#banned.set(stream, { until: now() + bannedMs, gauge });
    this.#came.delete(stream);
    log.write("WARN", `A publisher is ended: ${reason}`, { stream });
    end(stream, reason);
  }

  #next(gauge: Gauge, tally: Tally, rates: ReadonlyMap<StreamName, StreamRate>): StreamName | undefined {
    const order = [...this.#came.keys()];
    const coming = [...rates.keys()].filter(
      (stream) => (rates.get(stream)?.down ?? 0) > 0 && !this.#banned.has(stream) && gauge.streamKey(stream) === tally.key,
    );
    coming.sort((one, other) => order.indexOf(one) - order.indexOf(other));
    return gauge.ends ? coming[0] : coming.at(-1);
  }
}

function count(gauge: Gauge, tally: Tally): void {
  gauge.refused++;
  tally.refused++;
}
