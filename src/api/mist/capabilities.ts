import { cpus, freemem, loadavg, totalmem } from "node:os";
import { mistCodecNames } from "../../media/codec.ts";
import type { Protocol } from "../../protocols/protocol.ts";
import { triggerCapabilities } from "../../triggers/reference.ts";
import { type Call } from "./call.ts";

/** `capabilities`: what this server can do, and the machine that it runs on. */
export const capabilitiesCall: Call = {
  name: "capabilities",
  run(value, { parts }, reply) {
    // MistServer takes a text as the question about a source's own abilities; there are none to tell.
    reply["capabilities"] = typeof value === "string" ? {} : capabilities(parts.protocols, parts.identity.version);
  },
};

/** `load`: percentages of memory and processor. */
export const loadCall: Call = {
  name: "load",
  run(_value, _context, reply) {
    const { mem, shm } = machine().load;
    reply["load"] = { cpu: Math.min(100, Math.round(((loadavg()[0] ?? 0) / threads()) * 100)), mem, shm };
  },
};

function capabilities(protocols: readonly Protocol[], version: string): Readonly<Record<string, unknown>> {
  const connectors = protocols
    .filter(({ serve }) => serve)
    .map((protocol) => [protocol.connector, connectorOf(protocol, version)] as const);
  const inputs = protocols.filter(({ pull }) => pull).map(({ connector, description }) => inputOf(connector, description, "/*"));
  return {
    connectors: Object.fromEntries(connectors),
    inputs: Object.fromEntries([inputOf("Buffer", "A live stream that an encoder pushes in.", "push://*"), ...inputs]),
    internal_writers: [],
    triggers: triggerCapabilities(),
    ...machine(),
  };
}

function inputOf(name: string, desc: string, source: string): readonly [string, Readonly<Record<string, unknown>>] {
  return [name, { name, desc, source_match: source, codecs: [], required: {}, optional: {} }];
}

function connectorOf({ connector, description, codecs, watch }: Protocol, version: string): Readonly<Record<string, unknown>> {
  const names = codecs.play.map((codec) => `+${mistCodecNames[codec]}`);
  const first = watch[0];
  return {
    name: connector,
    friendly: connector,
    desc: description,
    deps: connector === "HTTP" || connector === "RTMP" ? "" : "HTTP",
    codecs: [names.map((name) => [name])],
    methods: watch.map(({ type, hrn, scheme, priority }) => ({ handler: scheme, hrn, priority, type })),
    ...(first && { url_rel: first.path }),
    optional: {},
    required: {},
    version,
  };
}

/** MistServer's units: memory in MiB, load times 100, processor speed in MHz, use in tenths of a percent. */
function machine() {
  const total = totalmem();
  const free = freemem();
  const [one = 0, five = 0, fifteen = 0] = loadavg().map((load) => Math.round(load * 100));
  const processors = cpus();
  const mhz = processors[0]?.speed ?? 0;
  return {
    cpu: [{ cores: processors.length, mhz, model: processors[0]?.model ?? "", threads: processors.length }],
    cpu_use: Math.min(1000, Math.round((one / 100 / threads()) * 1000)),
    load: { fifteen, five, mem: Math.round(((total - free) / total) * 1000) / 10, one, shm: 0 },
    mem: { cached: 0, free: mib(free), shmfree: 0, shmtotal: 0, swapfree: 0, swaptotal: 0, total: mib(total), used: mib(total - free) },
    speed: mhz * processors.length,
    threads: processors.length,
  } as const;
}

function threads(): number {
  return Math.max(1, cpus().length);
}

function mib(bytes: number): number {
  return Math.round(bytes / 1_048_576);
}
