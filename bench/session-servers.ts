import { fork } from "node:child_process";
import { join } from "node:path";
import { GateBench } from "../test/support/gate-bench.ts";
import { freePort } from "../test/support/free-port.ts";
import { HlsCrowd } from "../test/support/hls-crowd.ts";
import { publishSample } from "../test/support/rtmp-publisher.ts";
import { type Sluice, startSluice } from "../test/support/sluice.ts";
import { root } from "../test/support/source-files.ts";
import { startTriggerServer } from "../test/support/trigger-server.ts";
import { costOf } from "./process-cost.ts";
import type { Figure } from "./session-parts.ts";
import { hlsRequest } from "./session-scene.ts";
import type { RushOrder, RushResult } from "./session-rush.ts";

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const perSecond = Number(process.env.SLUICE_BENCH_RATE ?? 5_000);
const rushSeconds = 10;

function configOf(handler: string): Readonly<Record<string, unknown>> {
  const entry = { handler, streams: [] };
  const triggers = { USER_NEW: [{ ...entry, sync: true }], USER_END: [{ ...entry, sync: false }] };
  return { config: { triggers }, streams: { live: { name: "live", source: "push://" } } };
}

async function liveServer(config: Readonly<Record<string, unknown>>): Promise<Sluice> {
  const environment = process.env.SLUICE_BENCH_PROFILE
    ? { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${process.env.SLUICE_BENCH_PROFILE}` }
    : undefined;
  const sluice = await startSluice({ config, ...(environment && { environment }) });
  await publishSample(sluice.ports.rtmp, "live");
  return sluice;
}

/** The same without the HTTP server in front: gate, sessions and triggers with the load in one process, the handler in another. */
export async function asked(): Promise<readonly Figure[]> {
  const port = await freePort();
  const handler = fork(join(root, "bench/triggers.ts"), ["handler", `${port}`, "0"]);
  await new Promise((resolve) => handler.once("message", resolve));
  const bench = new GateBench();
  bench.live();
  bench.triggers.configure({ USER_NEW: [{ handler: `http://127.0.0.1:${port}/`, sync: true, streams: [] }] });
  let begun = 0;
  const sessions = async (most: number): Promise<void> => {
    const loop = async (): Promise<void> => {
      while (begun < most) {
        const connection = bench.connection();
        const admission = await bench.gate.play(hlsRequest(begun++, connection));
        admission[Symbol.dispose]();
        connection.close();
      }
    };
    await Promise.all(Array.from({ length: 200 }, loop));
  };
  try {
    await sessions(10_000);
    const [cpu, began] = [process.cpuUsage(), performance.now()];
    await sessions(60_000);
    const { user, system } = process.cpuUsage(cpu);
    const each = (user + system) / 50_000;
    const what = "new sessions through the gate and an HTTP USER_NEW, load in the same process";
    return [
      { what: `${what}: CPU for each`, value: each, unit: "µs", bar: 200 },
      { what: `${what}: as many as one core has time for`, value: 1e6 / each, unit: "a second", bar: 5_000 },
      { what: `${what}: reached here`, value: 50_000 / ((performance.now() - began) / 1000), unit: "a second" },
    ];
  } finally {
    handler.kill();
    await bench.close();
  }
}

/** New sessions on a timetable, each through an HTTP USER_NEW in a process of its own; the load is a third process. */
export async function rush(): Promise<readonly Figure[]> {
  const port = await freePort();
  const handler = fork(join(root, "bench/triggers.ts"), ["handler", `${port}`, "0"]);
  await new Promise((resolve) => handler.once("message", resolve));
  const { USER_NEW } = (configOf(`http://127.0.0.1:${port}/`)["config"] as { triggers: { USER_NEW: unknown } }).triggers;
  const sluice = await liveServer({ config: { triggers: { USER_NEW } }, streams: { live: { name: "live", source: "push://" } } });
  const path = "/hls/live/index.m3u8";
  try {
    while ((await fetch(sluice.http(`${path.slice(1)}?tkn=first`))).status !== 200) await pause(100);
    await load({ port: sluice.ports.http, path: `${path}`, perSecond: 1_000, seconds: 3 });
    const pids = [sluice.child.process.pid ?? 0, handler.pid ?? 0];
    const before = pids.map((pid) => costOf(pid).cpuSeconds);
    const result = await load({ port: sluice.ports.http, path: `${path}`, perSecond, seconds: rushSeconds });
    const used = pids.map((pid, at) => costOf(pid).cpuSeconds - (before[at] ?? 0));
    const [server = 0, asked = 0] = used.map((seconds) => (seconds / result.ms) * 1000);
    const own = (result.ownCpuSeconds / result.ms) * 1000;
    const what = `${perSecond.toLocaleString("en")} new sessions a second through an HTTP USER_NEW`;
    return [
      { what: `${what}: let in`, value: (result.letIn / result.ms) * 1000, unit: "a second", bar: perSecond },
      { what: `${what}: server's CPU for each`, value: ((used[0] ?? 0) / result.letIn) * 1e6, unit: "µs" },
      { what: `${what}: server and load together`, value: server + own, unit: "cores", bar: 1 },
      { what: `${what}: handler`, value: asked, unit: "cores" },
      { what: `${what}: answered, median`, value: result.p50, unit: "ms" },
      { what: `${what}: answered, 99th percentile`, value: result.p99, unit: "ms" },
    ];
  } finally {
    handler.kill();
    await sluice[Symbol.asyncDispose]();
  }
}

function load(order: RushOrder): Promise<RushResult> {
  const child = fork(join(root, "bench/session-rush.ts"));
  child.send(order);
  return new Promise((resolve, reject) => {
    child.once("message", (result) => resolve(result as RushResult));
    child.once("exit", (code) => reject(new Error(`the load ended with ${code}`)));
  });
}

/** One thousand hls.js-like clients for a minute. The truth is known as an interval at each moment; how far the count is outside counts. */
export async function crowd(): Promise<readonly Figure[]> {
  const viewers = 1_000;
  await using handler = await startTriggerServer(() => "true");
  await using sluice = await liveServer(configOf(handler.url));
  using players = new HlsCrowd({ url: sluice.http("hls/live/index.m3u8"), viewers, pollMs: 2_000 });
  let worst = 0;
  const compare = async (truth: () => readonly [least: number, most: number]): Promise<number> => {
    const [least] = truth();
    const reply = await sluice.api({ clients: { fields: ["sessid"], protocols: ["HLS"] } });
    const count = (reply["clients"] as { data: readonly unknown[] | null }).data?.length ?? 0;
    const [, most] = truth();
    worst = Math.max(worst, least - count, count - most);
    return count;
  };
  const here = (): readonly [number, number] => [players.playing, players.watching];
  for (let group = 0; group < viewers / 10; group++) {
    await Promise.all(Array.from({ length: 10 }, () => players.join()));
    if (group % 10 === 0) await compare(here);
  }
  const pid = sluice.child.process.pid ?? 0;
  const [before, began] = [costOf(pid).cpuSeconds, performance.now()];
  for (let second = 0; second < 60; second++) {
    await pause(1_000);
    await compare(here);
  }
  const cores = (costOf(pid).cpuSeconds - before) / ((performance.now() - began) / 1000);
  await Promise.all(Array.from({ length: viewers }, () => players.leave()));
  const alive = (): readonly [number, number] => {
    const now = performance.now();
    const lasts = players.lastAnswers;
    return [lasts.filter((last) => now < last + 14_000).length, lasts.filter((last) => now < last + 17_000).length];
  };
  while ((await compare(alive)) > 0 && alive()[1] > 0) await pause(500);
  while (handler.of("USER_END").length < viewers && performance.now() - began < 90_000) await pause(100);
  const what = "1,000 players of HLS for a minute";
  return [
    { what: `${what}: USER_NEW`, value: handler.of("USER_NEW").length, unit: "calls", bar: viewers },
    { what: `${what}: USER_END`, value: handler.of("USER_END").length, unit: "calls", bar: viewers },
    { what: `${what}: the count was wrong by at most`, value: worst, unit: "viewers", bar: 1 },
    { what: `${what}: requests that failed`, value: players.problems.length, unit: "requests", bar: 0 },
    { what: `${what}: server's CPU while all watch`, value: cores, unit: "cores" },
  ];
}
