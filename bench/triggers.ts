import { fork } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { cpus, release, tmpdir } from "node:os";
import { join } from "node:path";
import { createClock } from "../src/host/clock.ts";
import { allow } from "../src/base/decision.ts";
import { createTriggers, type TriggerBus } from "../src/triggers/bus.ts";
import { freePort } from "../test/support/free-port.ts";
import { root } from "../test/support/source-files.ts";
import { viewer } from "../test/support/trigger-bus.ts";

/** One way of answering, measured: what the bus adds to the handler's own time. Microseconds. */
type Row = {
  readonly what: string;
  readonly calls: number;
  readonly perSecond: number;
  readonly addedP50: number;
  readonly addedP99: number;
};

const handlerMs = Number(process.env.SLUICE_BENCH_HANDLER_MS ?? 0);

/** A process of its own: an HTTP handler that answers "true" after a time, and tells how long it really took. */
if (process.argv[2] === "handler") {
  const [, , , port = "0", ms = "0"] = process.argv;
  createServer((request, response) => {
    const begun = performance.now();
    request.resume().on("end", () => {
      const answer = (): void => {
        response.setHeader("X-Took", String((performance.now() - begun) * 1000));
        response.end("true");
      };
      if (Number(ms) > 0) setTimeout(answer, Number(ms));
      else answer();
    });
  }).listen(Number(port), "127.0.0.1", () => process.send?.("listening"));
} else {
  await main();
}

async function main(): Promise<void> {
  // The clock's timers and kept-alive connections do not hold a process; this does, as the server's ports do.
  const awake = setInterval(() => {}, 1000);
  const rows = [
    await functions(),
    await http("HTTP, answers at once, one call after the other", 2000, 0, 1),
    await paced("HTTP, answers at once, 1,000 calls a second", 5000, 1000),
    await http("HTTP, takes 5 ms, 10,000 blocking calls, 100 at a time", 10_000, 5, 100),
    await executable(),
    await openBreaker(),
  ];
  const cells = rows.map((row) => [row.what, `${row.calls}`, row.perSecond.toFixed(0), row.addedP50.toFixed(1), row.addedP99.toFixed(1)]);
  const head = ["handler", "calls", "calls in a second", "added at the median, µs", "added at the 99th percentile, µs"];
  console.log([head, head.map(() => "---"), ...cells].map((line) => `| ${line.join(" | ")} |`).join("\n"));
  mkdirSync(join(root, "bench/results"), { recursive: true });
  const file = join(root, "bench/results", `triggers-${new Date().toISOString().replaceAll(":", "-")}.json`);
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length, kernel: release(), node: process.version };
  writeFileSync(file, `${JSON.stringify({ at: new Date().toISOString(), machine, rows }, undefined, 2)}\n`);
  clearInterval(awake);
}

function createBus(): TriggerBus {
  return createTriggers({
    log: { write: () => {} },
    clock: createClock(),
    identity: { version: "0", instance: "bench", pid: process.pid, serverId: () => "" },
  });
}

/** Fires `calls` times from `concurrency` loops; `own` gives the handler's own part of the last call in microseconds. */
async function measure(what: string, bus: TriggerBus, calls: number, concurrency: number, ownUs: number): Promise<Row> {
  for (let i = 0; i < Math.min(200, calls); i++) await bus.fire("USER_NEW", viewer);
  const added: number[] = [];
  let left = calls;
  const begun = performance.now();
  const loop = async (): Promise<void> => {
    while (left-- > 0) {
      const started = performance.now();
      await bus.fire("USER_NEW", viewer);
      added.push((performance.now() - started) * 1000 - ownUs);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, loop));
  return rowOf(what, added, performance.now() - begun);
}

function rowOf(what: string, added: number[], ms: number): Row {
  const sorted = added.toSorted((a, b) => a - b);
  const at = (part: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
  return { what, calls: added.length, perSecond: (added.length / ms) * 1000, addedP50: at(0.5), addedP99: at(0.99) };
}

async function functions(): Promise<Row> {
  await using bus = createBus();
  bus.on("USER_NEW", async () => allow());
  return await measure("function", bus, 50_000, 1, 0);
}

async function withHandler<T>(ms: number, run: (bus: TriggerBus) => Promise<T>): Promise<T> {
  const port = await freePort();
  const child = fork(import.meta.filename, ["handler", `${port}`, `${ms + handlerMs}`]);
  try {
    await new Promise((resolve) => child.once("message", resolve));
    await using bus = createBus();
    bus.configure({ USER_NEW: [{ handler: `http://127.0.0.1:${port}/`, sync: true, streams: [] }] });
    return await run(bus);
  } finally {
    child.kill();
  }
}

function http(what: string, calls: number, ms: number, concurrency: number): Promise<Row> {
  return withHandler(ms, (bus) => measure(what, bus, calls, concurrency, ms * 1000));
}

/** Calls begin on a timetable, whether earlier ones have ended or not: waiting for a slow one would hide it. */
function paced(what: string, calls: number, perSecond: number): Promise<Row> {
  return withHandler(0, async (bus) => {
    for (let i = 0; i < 500; i++) await bus.fire("USER_NEW", viewer);
    const added: number[] = [];
    const begun = performance.now();
    const running: Promise<void>[] = [];
    for (let sent = 0; sent < calls; ) {
      const due = Math.min(calls, Math.floor(((performance.now() - begun) * perSecond) / 1000));
      for (; sent < due; sent++) {
        const started = performance.now();
        running.push(bus.fire("USER_NEW", viewer).then(() => void added.push((performance.now() - started) * 1000)));
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await Promise.all(running);
    return rowOf(what, added, performance.now() - begun);
  });
}

async function executable(): Promise<Row> {
  const folder = mkdtempSync(join(tmpdir(), "sluice-bench-"));
  try {
    const file = join(folder, "handler");
    writeFileSync(file, "#!/bin/sh\necho true\n");
    chmodSync(file, 0o755);
    await using bus = createBus();
    bus.configure({ USER_NEW: [{ handler: file, sync: true, streams: [] }] });
    return await measure("executable (a shell script; its own start is in the figure)", bus, 300, 1, 0);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function openBreaker(): Promise<Row> {
  await using bus = createBus();
  bus.configure({ USER_NEW: [{ handler: `http://127.0.0.1:${await freePort()}/`, sync: true, streams: [] }] });
  return await measure("HTTP, nobody there, breaker open", bus, 20_000, 1, 0);
}
