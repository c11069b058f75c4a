import { Counter, Gauge, Registry } from "prom-client";
import type { Clock } from "../base/time.ts";
import type { Sessions } from "../sessions/session.ts";
import type { StreamDirectory } from "../streams/stream.ts";
import type { TriggerBus } from "../triggers/bus.ts";
import type { Outbox } from "../triggers/delivery/outbox.ts";
import { createProcessMeter } from "./process-meter.ts";
import { type Facts, type LimitFact, type MetricDefinition, metrics, type PolicyFact } from "./table.ts";

/** The metrics of one server. Dispose to stop watching the process. */
export interface Metrics extends Disposable {
  /** The `Content-Type` of `text`. */
  readonly contentType: string;
  /** Reads everything now, and writes it in Prometheus' text format 0.0.4. */
  text(): Promise<string>;
  /** What the text is made from, read now. */
  facts(): Facts;
}

export type MetricsOptions = {
  readonly clock: Clock;
  readonly sessions: Pick<Sessions, "census">;
  readonly directory: Pick<StreamDirectory, "list">;
  readonly triggers: Pick<TriggerBus, "stats" | "handlers">;
  readonly outbox: Pick<Outbox, "stats">;
  readonly version: string;
  /** Read at each scrape. */
  readonly serverId: () => string;
  /** MistServer's `bandwidth.limit`, bytes per second; read at each scrape. */
  readonly bandwidthLimit: () => number;
  /** Lines that the log has written. */
  readonly logLines: () => number;
  readonly limits: { sums(): readonly LimitFact[] };
  /** Left out: there are none. */
  readonly policyCounts?: () => readonly PolicyFact[];
};

/**
 * Makes the metrics. Nothing is counted here: all values are read when they are asked for, so that what is measured pays
 * nothing. Each server has a registry of its own: two may live in one process.
 */
export function createMetrics(options: MetricsOptions): Metrics {
  const { clock, sessions, directory, triggers, outbox, version, serverId, bandwidthLimit, logLines, limits, policyCounts } = options;
  const began = clock.monotonic();
  const meter = createProcessMeter(clock);
  const registry = new Registry();
  let facts: Facts | undefined;
  for (const [name, definition] of Object.entries(metrics)) register(registry, name, definition, () => facts);
  const read = (): Facts => ({
    census: sessions.census(),
    streams: directory.list(),
    triggers: triggers.stats(),
    handlers: triggers.handlers(),
    outbox: outbox.stats(),
    process: meter.read(),
    version,
    serverId: serverId(),
    bandwidthLimit: bandwidthLimit(),
    logLines: logLines(),
    limits: limits.sums(),
    policies: policyCounts?.() ?? [],
    uptime: (clock.monotonic() - began) / 1000,
  });
  return {
    contentType: registry.contentType,
    facts: read,
    async text() {
      facts = read();
      // The registry calls every `collect` before it gives way, so that another scrape cannot mix its facts into these.
      const text = registry.metrics();
      facts = undefined;
      return await text;
    },
    [Symbol.dispose]: () => meter[Symbol.dispose](),
  };
}

/** Puts one row of the table into the registry. What is no longer there at a scrape has no line. */
function register(registry: Registry, name: string, definition: MetricDefinition, factsNow: () => Facts | undefined): void {
  const { type, help, labels = [], collect } = definition;
  const configuration = { name, help, labelNames: labels, registers: [registry] };
  const metric = type === "counter" ? new Counter({ ...configuration, collect: fill }) : new Gauge({ ...configuration, collect: fill });
  function fill(): void {
    const facts = factsNow();
    if (!facts) return;
    metric.reset();
    const values = collect(facts);
    if (typeof values === "number") metric.inc(values);
    else for (const [value, of] of values) metric.inc(of, value);
  }
}
