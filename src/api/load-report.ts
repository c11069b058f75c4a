import { readFileSync } from "node:fs";
import type { Protocol } from "../protocols/protocol.ts";
import type { StreamCounters } from "../sessions/session.ts";
import { bandwidthOf, serverTags } from "./mist/settings/kept.ts";
import type { ApiParts } from "./parts.ts";

type Numbers = readonly number[];

/**
 * MistServer's numbers as JSON, which its load balancer polls: lists are [viewers, inputs, outputs, ...], [up, down] and
 * [sent, lost, retransmitted]. What is not counted here (packets, shared memory, bytes of exempt networks) is 0.
 */
export function loadReport(parts: ApiParts): Readonly<Record<string, unknown>> {
  const { configuration, metrics, protocols } = parts;
  const { settings } = configuration;
  const { census, process, triggers, streams, logLines } = metrics.facts();
  const { now, ever } = census;
  const counted = new Map<string, StreamCounters | undefined>(streams.map(({ name }) => [name, undefined]));
  for (const [name, counters] of census.streams) counted.set(name, counters);
  const { location } = settings.kept;
  return {
    cpu: Math.round(process.machineBusy * 1000),
    mem_total: Math.round(process.machineBytes / 1024),
    mem_used: Math.round((process.machineBytes - process.machineFreeBytes) / 1024),
    shm_total: 0,
    shm_used: 0,
    logs: logLines,
    curr: [now.viewer, now.input, now.output, now.unspecified, census.remembered],
    tot: [ever.views, ever.totalInputs, ever.totalOutputs, 0],
    st: machineTraffic(),
    bw: [ever.up, ever.down],
    obw: [0, 0],
    pkts: [0, 0, 0],
    bwlimit: bandwidthOf(settings).limit,
    triggers,
    ...(location !== undefined && { loc: location }),
    streams: Object.fromEntries([...counted].map(([name, counters]) => [name, streamReport(counters)])),
    output_counts: Object.fromEntries(census.viewersBy),
    conf_streams: Object.keys(settings.streams),
    tags: serverTags(settings),
    outputs: outputs(protocols, parts),
  };
}

function streamReport(counters: StreamCounters | undefined): Readonly<Record<string, Numbers>> {
  if (!counters) return { tot: [0, 0, 0], bw: [0, 0], curr: [0, 0, 0, 0], pkts: [0, 0, 0] };
  const { views, totalInputs, totalOutputs, up, down, viewers, inputs, outputs: out, unspecified } = counters;
  return { tot: [views, totalInputs, totalOutputs], bw: [up, down], curr: [viewers, inputs, out, unspecified], pkts: [0, 0, 0] };
}

/** Where to watch by connector: `HOST` stands for the server's name, `$` for the stream's. */
function outputs(protocols: readonly Protocol[], { listening }: Pick<ApiParts, "listening">): Readonly<Record<string, string>> {
  const ports = listening();
  return Object.fromEntries(
    protocols.flatMap(({ connector, watch }) => {
      const first = watch[0];
      const port = ports.find((open) => open.connector === connector)?.port;
      return first && port !== undefined ? [[connector, `${first.scheme}://HOST:${port}${first.path}`] as const] : [];
    }),
  );
}

/** Bytes that all network interfaces but loopback have sent and received since the machine's start; zeros where Linux does not tell. */
function machineTraffic(): readonly [up: number, down: number] {
  let text = "";
  try {
    text = readFileSync("/proc/net/dev", "utf8");
  } catch {
    return [0, 0];
  }
  let [up, down] = [0, 0];
  for (const line of text.split("\n")) {
    const [, name, rest] = /^\s*([^:\s]+):\s*(.*)$/.exec(line) ?? [];
    if (name === undefined || name === "lo") continue;
    const columns = (rest ?? "").trim().split(/\s+/).map(Number);
    down += columns[0] ?? 0;
    up += columns[8] ?? 0;
  }
  return [up, down];
}
