import type { SessionCensus, SessionType, StreamCounters } from "../sessions/session.ts";
import { type Stream, streamStates } from "../streams/stream.ts";
import type { HandlerInfo, TriggerStats } from "../triggers/bus.ts";
import type { OutboxStats } from "../triggers/delivery/outbox.ts";
import type { ProcessFacts } from "./process-meter.ts";

/** Everything that one scrape is made from, read at the same moment. */
export type Facts = {
  readonly census: SessionCensus;
  readonly streams: readonly Stream[];
  readonly triggers: Readonly<Record<string, TriggerStats>>;
  readonly handlers: readonly HandlerInfo[];
  readonly outbox: OutboxStats;
  readonly process: ProcessFacts;
  readonly version: string;
  readonly serverId: string;
  /** Bytes per second, as the operator wrote it (`bandwidth`). */
  readonly bandwidthLimit: number;
  readonly logLines: number;
  /** One for each measure of each declared limit. */
  readonly limits: readonly LimitFact[];
  /** What policies have answered since the start. */
  readonly policies: readonly PolicyFact[];
  /** Seconds since the server began. */
  readonly uptime: number;
};

/** How often a policy has answered so. */
export type PolicyFact = { readonly policy: string; readonly result: string; readonly count: number };

/** What a limit comes to: of the name that is fullest, and of all names. */
export type LimitFact = {
  readonly name: string;
  readonly measure: string;
  readonly used: number;
  readonly most: number;
  readonly refused: number;
};

/** A value and its labels. */
export type Sample = readonly [value: number, labels: Readonly<Record<string, string>>];

/** One metric: what it is called is its key in the table. */
export type MetricDefinition = {
  readonly type: "counter" | "gauge";
  /** One line for people; for `# HELP` and the reference page. */
  readonly help: string;
  readonly labels?: readonly string[];
  /** Its value, or one for each set of labels. */
  readonly collect: (facts: Facts) => number | Iterable<Sample>;
};

/** MistServer's words for the types of sessions. */
const sessTypes = { viewers: "viewer", incoming: "input", outgoing: "output", unspecified: "unspecified" } as const satisfies Readonly<
  Record<string, SessionType>
>;

const breakerStates = { closed: 0, "half-open": 1, open: 2 } as const;

/** The one table of metrics: the text, the reference page and the tests follow from it. MistServer's names where it has one. */
export const metrics = {
  mist_logs: {
    type: "counter",
    help: "Lines of the log since the start.",
    collect: ({ logLines }) => logLines,
  },
  mist_cpu: {
    type: "gauge",
    help: "Use of all processors of the machine over the last 15 seconds, in tenths of a percent.",
    collect: ({ process }) => Math.round(process.machineBusy * 1000),
  },
  mist_mem_total: {
    type: "gauge",
    help: "Memory of the machine, KiB.",
    collect: ({ process }) => Math.round(process.machineBytes / 1024),
  },
  mist_mem_used: {
    type: "gauge",
    help: "Memory of the machine that is in use, KiB.",
    collect: ({ process }) => Math.round((process.machineBytes - process.machineFreeBytes) / 1024),
  },
  mist_viewseconds_total: {
    type: "counter",
    help: "Seconds that viewers have watched since the start, together.",
    collect: ({ census }) => census.ever.viewSeconds,
  },
  mist_sessions_count: {
    type: "counter",
    help: "Sessions since the start, by type; one that was on several streams counts on each. `unspecified` is not counted.",
    labels: ["sessType"],
    collect: ({ census: { ever } }) => [
      [ever.views, { sessType: "viewers" }],
      [ever.totalInputs, { sessType: "incoming" }],
      [ever.totalOutputs, { sessType: "outgoing" }],
    ],
  },
  mist_sessions_total: {
    type: "gauge",
    help: "Sessions now, by type; `cached`: all that are remembered, with those that ended within the last ten minutes.",
    labels: ["sessType"],
    collect: ({ census }) => [
      ...Object.entries(sessTypes).map(([sessType, type]): Sample => [census.now[type], { sessType }]),
      [census.remembered, { sessType: "cached" }],
    ],
  },
  mist_outputs: {
    type: "gauge",
    help: "Viewers now, by the connector of their newest connection.",
    labels: ["output"],
    collect: ({ census }) => [...census.viewersBy].map(([output, viewers]): Sample => [viewers, { output }]),
  },
  mist_bw_total: {
    type: "counter",
    help: "Bytes of streams since the start: `up` was sent, `down` was received.",
    labels: ["direction"],
    collect: ({ census: { ever } }) => directions(ever),
  },
  mist_bw_limit: {
    type: "gauge",
    help: "Bytes per second that the machine's line has, as the operator wrote it (`bandwidth`); it limits nothing.",
    collect: ({ bandwidthLimit }) => bandwidthLimit,
  },
  mist_sessions: {
    type: "gauge",
    help: "Sessions of a stream now, by type.",
    labels: ["stream", "sessType"],
    collect: perStream((stream, { viewers, inputs, outputs, unspecified }) => [
      [viewers, { stream, sessType: "viewers" }],
      [inputs, { stream, sessType: "incoming" }],
      [outputs, { stream, sessType: "outgoing" }],
      [unspecified, { stream, sessType: "unspecified" }],
    ]),
  },
  mist_viewcount: {
    type: "counter",
    help: "Sessions of viewers that a stream has had; begins anew after its last session has ended.",
    labels: ["stream"],
    collect: perStream((stream, { views }) => [[views, { stream }]]),
  },
  mist_viewseconds: {
    type: "counter",
    help: "Seconds that a stream was watched, by all viewers together; begins anew after its last session has ended.",
    labels: ["stream"],
    collect: perStream((stream, { viewSeconds }) => [[viewSeconds, { stream }]]),
  },
  mist_bw: {
    type: "counter",
    help: "Bytes of a stream: `up` was sent, `down` was received; begins anew after its last session has ended.",
    labels: ["stream", "direction"],
    collect: perStream((stream, counters) => directions(counters, { stream })),
  },
  mist_trigger_count: {
    type: "counter",
    help: "Calls of a trigger's handlers.",
    labels: ["trigger"],
    collect: perTrigger(({ count }) => count),
  },
  mist_trigger_time: {
    type: "counter",
    help: "Milliseconds that the handlers of a trigger took, together.",
    labels: ["trigger"],
    collect: perTrigger(({ ms }) => ms),
  },
  mist_trigger_fails: {
    type: "counter",
    help: "Calls of a trigger's handlers that failed, with those that were not made because a breaker was open or all places were taken. A no is no failure.",
    labels: ["trigger"],
    collect: perTrigger(({ fails }) => fails),
  },
  sluice_handler_calls_in_flight: {
    type: "gauge",
    help: "Calls of a handler that are under way.",
    labels: ["trigger", "handler", "id"],
    collect: perHandler(({ inFlight }) => inFlight),
  },
  sluice_handler_calls_waiting: {
    type: "gauge",
    help: "Calls of a handler that wait for a free place (`maxCalls`).",
    labels: ["trigger", "handler", "id"],
    collect: perHandler(({ waiting }) => waiting),
  },
  sluice_handler_breaker_state: {
    type: "gauge",
    help: "Breaker of a handler: 0 closed (it is asked), 1 half-open (it is tried), 2 open (it is left alone). Handlers without one have no line.",
    labels: ["trigger", "handler", "id"],
    collect: perHandler(({ breaker }) => breaker && breakerStates[breaker.state]),
  },
  sluice_outbox_pending: {
    type: "gauge",
    help: "Reliable notifications that have not arrived and are tried again.",
    collect: ({ outbox }) => outbox.waiting,
  },
  sluice_outbox_dead: {
    type: "gauge",
    help: "Reliable notifications that were given up and are kept.",
    collect: ({ outbox }) => outbox.dead,
  },
  sluice_outbox_bytes: {
    type: "gauge",
    help: "Bytes of all notifications that are kept, about.",
    collect: ({ outbox }) => outbox.bytes,
  },
  sluice_outbox_delivered_total: {
    type: "counter",
    help: "Reliable notifications that have arrived since the start.",
    collect: ({ outbox }) => outbox.delivered,
  },
  sluice_outbox_failed_attempts_total: {
    type: "counter",
    help: "Attempts to deliver a reliable notification that failed since the start.",
    collect: ({ outbox }) => outbox.failed,
  },
  sluice_outbox_lost_total: {
    type: "counter",
    help: "Reliable notifications that were lost since the start, because the outbox was full.",
    collect: ({ outbox }) => outbox.refused,
  },
  sluice_limit_used: {
    type: "gauge",
    help: "What is used of a declared limit, in the name (user, token, network, stream) that is fullest; sessions, or bits per second.",
    labels: ["limit", "measure"],
    collect: perLimit(({ used }) => used),
  },
  sluice_limit_most: {
    type: "gauge",
    help: "What a declared limit allows in one name; sessions, or bits per second.",
    labels: ["limit", "measure"],
    collect: perLimit(({ most }) => most),
  },
  sluice_limit_refused_total: {
    type: "counter",
    help: "Clients that were refused, ended or sent elsewhere because of a declared limit.",
    labels: ["limit", "measure"],
    collect: perLimit(({ refused }) => refused),
  },
  sluice_policy_decisions_total: {
    type: "counter",
    help: "Answers of policies since the start: `allow`, `deny`, `rewrite`, `keep` (no opinion), `failed`.",
    labels: ["policy", "result"],
    collect: ({ policies }) => policies.map(({ policy, result, count }): Sample => [count, { policy, result }]),
  },
  sluice_streams: {
    type: "gauge",
    help: "Streams by state; those that play are `ready`.",
    labels: ["state"],
    collect: ({ streams }) => streamStates.map((state): Sample => [streams.filter((one) => one.state === state).length, { state }]),
  },
  sluice_stream_input_bytes_per_second: {
    type: "gauge",
    help: "Bytes per second of all tracks of a live stream as they come in, over the last seconds.",
    labels: ["stream"],
    collect: ({ streams }) =>
      streams
        .filter(({ kind }) => kind === "live")
        .map(
          (stream): Sample => [
            stream.tracks.reduce((sum, { id }) => sum + (stream.trackStats(id)?.bytesPerSecond ?? 0), 0),
            { stream: stream.name },
          ],
        ),
  },
  sluice_event_loop_delay_seconds: {
    type: "gauge",
    help: "How late the event loop was over the last 15 seconds; percentile 100 is the worst moment.",
    labels: ["percentile"],
    collect: ({ process: { delay } }) => [
      [delay.p50, { percentile: "50" }],
      [delay.p99, { percentile: "99" }],
      [delay.max, { percentile: "100" }],
    ],
  },
  sluice_heap_used_bytes: {
    type: "gauge",
    help: "Memory of JavaScript objects in use.",
    collect: ({ process }) => process.heapBytes,
  },
  sluice_uptime_seconds: {
    type: "gauge",
    help: "Seconds since the server began.",
    collect: ({ uptime }) => uptime,
  },
  sluice_info: {
    type: "gauge",
    help: "Always 1; the labels say what runs.",
    labels: ["version", "node", "serverid"],
    collect: ({ version, serverId }) => [[1, { version, node: process.versions.node, serverid: serverId }]],
  },
  process_cpu_seconds_total: {
    type: "counter",
    help: "Processor time that the process has used, seconds.",
    collect: ({ process }) => process.cpuSeconds,
  },
  process_resident_memory_bytes: {
    type: "gauge",
    help: "Memory of the process that is held in RAM.",
    collect: ({ process }) => process.residentBytes,
  },
  process_start_time_seconds: {
    type: "gauge",
    help: "When the process began, Unix time.",
    collect: ({ process }) => process.startedAt,
  },
} as const satisfies Readonly<Record<string, MetricDefinition>>;

const noCounters: StreamCounters = {
  viewers: 0,
  inputs: 0,
  outputs: 0,
  unspecified: 0,
  views: 0,
  totalInputs: 0,
  totalOutputs: 0,
  viewSeconds: 0,
  up: 0,
  down: 0,
};

/** Streams that have a session, and those that play without one. */
function perStream(samples: (stream: string, counters: StreamCounters) => readonly Sample[]): MetricDefinition["collect"] {
  return ({ census, streams }) => {
    const counted = new Map(census.streams);
    for (const { name } of streams) if (!counted.has(name)) counted.set(name, noCounters);
    return [...counted].flatMap(([stream, counters]) => samples(stream, counters));
  };
}

function directions({ up, down }: { readonly up: number; readonly down: number }, labels: Sample[1] = {}): readonly Sample[] {
  return [
    [up, { ...labels, direction: "up" }],
    [down, { ...labels, direction: "down" }],
  ];
}

function perLimit(value: (limit: LimitFact) => number): MetricDefinition["collect"] {
  return ({ limits }) => limits.map((limit): Sample => [value(limit), { limit: limit.name, measure: limit.measure }]);
}

function perTrigger(value: (stats: TriggerStats) => number): MetricDefinition["collect"] {
  return ({ triggers }) => Object.entries(triggers).map(([trigger, stats]): Sample => [value(stats), { trigger }]);
}

/** The id tells apart what has the same label: two entries whose URLs differ in the query only, which may hold secrets and is never shown. */
function perHandler(value: (calls: HandlerInfo["calls"]) => number | undefined): MetricDefinition["collect"] {
  return ({ handlers }) =>
    handlers.flatMap(({ trigger, handler, id, calls }): readonly Sample[] => {
      const number = value(calls);
      return number === undefined ? [] : [[number, { trigger, handler, id }]];
    });
}
