import { performance } from "node:perf_hooks";
import { clientsCall } from "../src/api/mist/sessions/clients.ts";
import type { ApiParts } from "../src/api/parts.ts";
import { allow } from "../src/base/decision.ts";
import type { Admission } from "../src/sessions/access-request.ts";
import type { Sessions } from "../src/sessions/session.ts";
import type { Stream } from "../src/streams/stream.ts";
import { GateBench } from "../test/support/gate-bench.ts";
import { coreScene, hlsRequest, identityOf, yes } from "./session-scene.ts";

/** One sentence of the issue, measured. */
export type Figure = { readonly what: string; readonly value: number; readonly unit: string; readonly bar?: number };

const count = Number(process.env.SLUICE_BENCH_SESSIONS ?? 100_000);
const many = `${count.toLocaleString("en")} sessions`;

function heap(): number {
  for (let times = 0; times < 4; times++) globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Middle of a sorted copy; 0 of nothing. */
function quantile(values: Iterable<number>, part: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
}

/** Sessions and places alone. */
export async function core(): Promise<readonly Figure[]> {
  const { clock, sessions } = coreScene();
  await fill((viewer) => sessions.join(identityOf(count + viewer), yes), 1_000);
  const before = heap();
  await fill((viewer) => sessions.join(identityOf(viewer), yes), count);
  const idle = (heap() - before) / count;
  const identities = Array.from({ length: count }, (_, viewer) => identityOf(viewer));
  // The ids are computed at the first request of each.
  for (const identity of identities) (await sessions.join(identity, yes))[Symbol.dispose]();
  const known = await timed(async (at) => (await sessions.join(identities[(at * 7919) % count] ?? identityOf(0), yes))[Symbol.dispose]());
  const tick = await ticks(clock);
  const open = await Promise.all(identities.map((identity) => sessions.join(identity, yes)));
  for (const one of open) one.count(1000, 10);
  const busy = await ticks(clock);
  const blocked = await clients(sessions, clock);
  return [
    { what: `memory for each idle session, ${many}, sessions and places`, value: idle, unit: "bytes", bar: 1500 },
    { what: "a known session is joined and left, median", value: known, unit: "µs", bar: 20 },
    { what: `the tick of a second, ${many}, nobody connected, longest`, value: tick, unit: "ms", bar: 20 },
    { what: `the tick of a second, ${many}, all connected, longest`, value: busy, unit: "ms", bar: 20 },
    { what: `\`clients\` over ${many}, longest turn`, value: blocked.longest, unit: "ms", bar: 20 },
    { what: `\`clients\` over ${many}, all turns together`, value: blocked.all, unit: "ms" },
  ];
}

/** Through the whole gate, with a function as handler. */
export async function gate(): Promise<readonly Figure[]> {
  const bench = new GateBench();
  bench.live();
  bench.triggers.on("USER_NEW", () => allow());
  const play = (viewer: number, connection = bench.connection()): Promise<Admission<Stream>> =>
    bench.gate.play(hlsRequest(viewer, connection));
  const visit = async (viewer: number): Promise<Disposable> => {
    const connection = bench.connection();
    const admission = await play(viewer, connection);
    return { [Symbol.dispose]: () => (admission[Symbol.dispose](), connection.close()) };
  };
  // The book of decisions and what else is bounded is full before.
  await fill((viewer) => visit(count + viewer), 12_000);
  await bench.clock.advance(30_000);
  const before = heap();
  await fill(visit, count);
  await bench.clock.advance(14_000);
  const idle = (heap() - before) / count;
  const connections = Array.from({ length: 1_000 }, () => bench.connection());
  const requests = connections.map((connection, viewer) => hlsRequest(viewer * 97, connection));
  for (const request of requests) (await bench.gate.play(request))[Symbol.dispose]();
  const known = await timed(async (at) => {
    const request = requests[at % requests.length];
    if (request) (await bench.gate.play(request))[Symbol.dispose]();
  });
  let fresh = count * 2;
  const begins = await timed(async () => {
    const one = await visit(fresh++);
    one[Symbol.dispose]();
  }, 5_000);
  await bench.close();
  return [
    {
      what: `memory for each idle session, ${many} let in through the gate by a handler, as browsers ask`,
      value: idle,
      unit: "bytes",
      bar: 1500,
    },
    { what: "a request of a known session goes through the gate, median", value: known, unit: "µs", bar: 20 },
    { what: "a new session through the gate with a function as handler, parsing included, median", value: begins, unit: "µs" },
  ];
}

/** One stream with many viewers, for ten minutes. */
export async function totals(): Promise<readonly Figure[]> {
  const { clock, sessions } = coreScene();
  const open = await Promise.all(Array.from({ length: 10_000 }, (_, viewer) => sessions.join(identityOf(viewer), yes)));
  for (let second = 0; second < 605; second++) {
    for (const one of open) one.count(1_000, 1);
    await clock.advance(1_000);
  }
  const rows = sessions.totals({})?.rows.length;
  if (rows !== 600) throw new Error(`totals gave ${rows} rows`);
  const took = await timed(async () => void sessions.totals({ streams: ["live"] }), 300);
  return [{ what: "`totals` for 600 s over a stream with 10,000 sessions, median", value: took / 1000, unit: "ms", bar: 20 }];
}

/** Calls that end before the next one begins, microseconds of the median one. */
async function timed(run: (at: number) => Promise<void>, calls = 50_000): Promise<number> {
  for (let at = 0; at < Math.min(calls, 3_000); at++) await run(at);
  const took = new Float64Array(calls);
  for (let at = 0; at < calls; at++) {
    const began = performance.now();
    await run(at);
    took[at] = (performance.now() - began) * 1000;
  }
  return quantile(took, 0.5);
}

async function fill(begin: (viewer: number) => Promise<Disposable>, viewers: number): Promise<void> {
  for (let from = 0; from < viewers; from += 1_000) {
    const begun = await Promise.all(Array.from({ length: Math.min(1_000, viewers - from) }, (_, at) => begin(from + at)));
    for (const one of begun) one[Symbol.dispose]();
  }
}

/** Ten seconds of the clock; the longest time that its timers kept the loop, without collections of garbage. */
async function ticks(clock: { advance(ms: number): Promise<void> }): Promise<number> {
  let longest = 0;
  for (let second = 0; second < 10; second++) {
    const turn = watchTurns();
    await clock.advance(1_000);
    longest = Math.max(longest, (await turn.stop()).longest);
  }
  return longest;
}

async function clients(sessions: Sessions, clock: ApiParts["clock"]): Promise<{ readonly longest: number; readonly all: number }> {
  const turn = watchTurns();
  const began = performance.now();
  const reply: Record<string, unknown> = {};
  await clientsCall.run({}, { parts: { sessions, clock } as ApiParts } as Parameters<typeof clientsCall.run>[1], reply);
  const all = performance.now() - began;
  return { longest: (await turn.stop()).longest, all };
}

/** Measures how long the loop is kept between two turns of `setImmediate`: the thread's own time, as others use this machine, too. */
function watchTurns(): { stop(): Promise<{ readonly longest: number }> } {
  let longest = 0;
  let last = threadMs();
  let going = true;
  const look = (): void => {
    const now = threadMs();
    longest = Math.max(longest, now - last);
    last = now;
    if (going) setImmediate(look);
  };
  setImmediate(look);
  return {
    async stop() {
      await new Promise((resolve) => setImmediate(resolve));
      going = false;
      return { longest };
    },
  };
}

function threadMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
