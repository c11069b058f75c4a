import { execFileSync, fork, spawn } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { cpus, release, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { root } from "../test/support/source-files.ts";
import type { LoadMessage, LoadResult } from "./load.ts";
import { type Cost, costOf } from "./process-cost.ts";
import { type Server, servers } from "./servers.ts";
import type { LoadOrder } from "./viewers.ts";

type Scenario = { readonly kind: LoadOrder["kind"]; readonly server: string; readonly viewers: number };
type Row = Scenario & { readonly load: LoadResult; readonly cpuCores: number; readonly idleBytes: number; readonly residentBytes: number };

const { values: flags } = parseArgs({
  options: {
    only: { type: "string" },
    short: { type: "boolean", default: false },
    seconds: { type: "string" },
    viewers: { type: "string" },
  },
});
const windowMs = Number(flags.seconds ?? (flags.short ? 5 : 15)) * 1000;
const many = Number(flags.viewers ?? (flags.short ? 100 : 500));
const scenarios: Scenario[] = [
  { kind: "flv" as const, server: "sluice", viewers: many },
  { kind: "flv" as const, server: "node-media-server", viewers: many },
  { kind: "rtmp" as const, server: "sluice", viewers: many },
  { kind: "rtmp" as const, server: "node-media-server", viewers: many },
  { kind: "rtmp" as const, server: "nginx", viewers: many },
  { kind: "hls" as const, server: "sluice", viewers: many },
  { kind: "hls" as const, server: "nginx", viewers: many },
  ...(flags.short ? [] : [{ kind: "flv" as const, server: "sluice", viewers: many * 3 }]),
].filter((one) => !flags.only || `${one.kind}-${one.server}-${one.viewers}`.includes(flags.only));

/** A 2 Mbit/s stream, encoded once and sent by copying: the encoder's own cost stays out of the picture. */
function sample(): string {
  const file = join(tmpdir(), "sluice-bench-2mbit.flv");
  if (existsSync(file)) return file;
  const picture = [
    "-f",
    "lavfi",
    "-i",
    "testsrc2=size=640x360:rate=30,noise=alls=20:allf=t",
    "-f",
    "lavfi",
    "-i",
    "sine=440:sample_rate=44100",
  ];
  const video = [
    "-c:v",
    "libx264",
    "-preset",
    "veryfast",
    "-b:v",
    "1900k",
    "-minrate",
    "1900k",
    "-maxrate",
    "1900k",
    "-bufsize",
    "950k",
    "-g",
    "60",
    "-keyint_min",
    "60",
    "-sc_threshold",
    "0",
    "-bf",
    "0",
    "-pix_fmt",
    "yuv420p",
  ];
  execFileSync("ffmpeg", [
    "-y",
    "-loglevel",
    "error",
    "-nostdin",
    ...picture,
    "-t",
    "60",
    ...video,
    "-c:a",
    "aac",
    "-b:a",
    "96k",
    "-f",
    "flv",
    `${file}.part`,
  ]);
  execFileSync("mv", [`${file}.part`, file]);
  return file;
}

async function measure(scenario: Scenario): Promise<Row> {
  const start = servers[scenario.server];
  if (!start) throw new Error(`no server "${scenario.server}"`);
  await using server = await start();
  const encoder = spawn(
    "ffmpeg",
    ["-loglevel", "error", "-nostdin", "-re", "-stream_loop", "-1", "-i", sample(), "-c", "copy", "-f", "flv", server.publishUrl],
    { stdio: ["ignore", "ignore", "inherit"] },
  );
  try {
    await new Promise((resolve) => setTimeout(resolve, 9000));
    const idle = costOf(server.pid);
    return await load(scenario, server, idle);
  } finally {
    encoder.kill("SIGKILL");
  }
}

function load(scenario: Scenario, server: Server, idle: Cost): Promise<Row> {
  const { kind, viewers } = scenario;
  const address = server[kind];
  if (!address) throw new Error(`${server.name} has no ${kind}`);
  const path = "path" in address ? address.path : address.stream;
  const order: LoadOrder = { kind, port: address.port, path, app: "app" in address ? address.app : "", viewers, joinRate: 150, windowMs };
  const child = fork(join(root, "bench/load.ts"));
  let begun: Cost | undefined;
  return new Promise<Row>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", () => reject(new Error("the load ended without a result")));
    child.on("message", (message: LoadMessage) => {
      if (message.kind === "window-begins") {
        begun = costOf(server.pid);
        return;
      }
      const now = costOf(server.pid);
      const cpu = now.cpuSeconds - (begun ?? now).cpuSeconds;
      resolve({
        ...scenario,
        load: message.result,
        cpuCores: cpu / (message.result.windowMs / 1000),
        idleBytes: idle.residentBytes,
        residentBytes: now.residentBytes,
      });
    });
    child.send(order);
  }).finally(() => child.kill());
}

const columns = [
  "output",
  "server",
  "viewers",
  "receiving",
  "Mbit/s each",
  "server CPU, cores",
  "CPU ms per viewer-second",
  "KB per viewer",
  "first byte p50/p99 ms",
  "longest gap p50/p99/max ms",
  "load's CPU, cores",
];

function line(row: Row): string[] {
  const { load } = row;
  const seconds = load.windowMs / 1000;
  return [
    row.kind,
    row.server,
    `${row.viewers}`,
    `${load.receiving}`,
    ((load.bytes * 8) / 1e6 / seconds / row.viewers).toFixed(2),
    row.cpuCores.toFixed(3),
    ((row.cpuCores * 1000) / row.viewers).toFixed(3),
    ((row.residentBytes - row.idleBytes) / 1024 / row.viewers).toFixed(0),
    `${load.firstByte.p50.toFixed(0)}/${load.firstByte.p99.toFixed(0)}`,
    `${load.gap.p50.toFixed(0)}/${load.gap.p99.toFixed(0)}/${load.gap.max.toFixed(0)}`,
    (load.ownCpuSeconds / seconds).toFixed(3),
  ];
}

function table(rows: readonly Row[]): string {
  const body = [columns, columns.map(() => "---"), ...rows.map(line)];
  return body.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** The goals of the issue as ratios of figures measured in this run. */
function ratios(rows: readonly Row[]): string[] {
  const cost = (kind: string, server: string): number | undefined => {
    const row = rows.find((one) => one.kind === kind && one.server === server && one.viewers === many);
    return row && row.cpuCores / row.viewers;
  };
  const found: string[] = [];
  for (const [kind, other] of [
    ["flv", "node-media-server"],
    ["rtmp", "node-media-server"],
    ["rtmp", "nginx"],
    ["hls", "nginx"],
  ] as const) {
    const ours = cost(kind, "sluice");
    const theirs = cost(kind, other);
    if (ours !== undefined && theirs)
      found.push(`${kind}: sluice needs ${(ours / theirs).toFixed(2)} of the CPU of ${other} for each viewer`);
  }
  return found;
}

const rows: Row[] = [];
for (const scenario of scenarios) {
  process.stderr.write(`${scenario.kind} ${scenario.server} ${scenario.viewers} ...\n`);
  rows.push(await measure(scenario));
}
console.log(`${table(rows)}\n\n${ratios(rows).join("\n")}`);
const machine = { cpu: cpus()[0]?.model, cores: cpus().length, memoryBytes: totalmem(), kernel: release(), node: process.version };
mkdirSync(join(root, "bench/results"), { recursive: true });
const file = join(root, "bench/results", `${new Date().toISOString().replaceAll(":", "-")}.json`);
writeFileSync(file, `${JSON.stringify({ at: new Date().toISOString(), machine, rows, ratios: ratios(rows) }, undefined, 2)}\n`);
console.log(`\nwritten: ${file.slice(root.length + 1)}`);
