import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import type { TriggerName } from "../../src/triggers/table.ts";
import type { Child } from "../support/child.ts";
import { startEncoder } from "../support/encoder.ts";
import { sampleMedia } from "../support/media.ts";
import { type MistScene, startMistScene } from "../support/mist-scene.ts";
import { openPublisher, publishSample } from "../support/rtmp-publisher.ts";
import { openRtmp } from "../support/rtmp-viewer.ts";
import type { TriggerCall } from "../support/trigger-server.ts";
import { get, hlsSegments, view } from "../support/viewer.ts";

const names = ["OUTPUT_END", "CONN_STOP", "CONN_CLOSE", "INPUT_ABORT", "LIVE_BANDWIDTH", "STREAM_BUFFER", "SYSTEM_STOP"] as const;
const recorded = (name: TriggerName): string[][] =>
  (
    JSON.parse(readFileSync(new URL(`../fixtures/golden/triggers/${name}.json`, import.meta.url), "utf8")) as {
      requests: { body: string }[];
    }
  ).requests.map(({ body }) => body.split("\n"));

const folder = mkdtempSync(join(tmpdir(), "sluice-outputs-"));
let scene: MistScene;
let film: string;

beforeAll(async () => {
  film = await sampleMedia({ video: "h264", audio: "aac", seconds: 2, container: "mp4" });
  writeFileSync(join(folder, "bad.mp4"), "this is no MP4");
  const push = { source: "push://" };
  scene = await startMistScene(names, {
    streams: {
      ...{ live: push, gone: push, heavy: push, light: push, frozen: push, paused: { source: "push://", resume: 1 } },
      ...{ film: { source: film }, bad: { source: join(folder, "bad.mp4") }, missing: { source: join(folder, "nofile.mp4") } },
    },
  });
}, 60_000);
afterAll(async () => {
  await scene?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});
afterEach(async () => {
  if (scene.sluice.child.process.exitCode === null) await scene.reset();
});

const port = (): number => scene.sluice.ports.rtmp;
const about = (stream: string, protocol?: string) => (call: TriggerCall) =>
  call.lines[0] === stream && (protocol === undefined || call.lines[2] === protocol);

/** The ways to watch that last, each until `enough` bytes or messages have come, or until the server ends it. */
const ways: readonly (readonly [
  how: string,
  protocol: string,
  watch: (name: string) => Promise<{ leave(): void; ended: Promise<unknown> }>,
])[] = [
  [
    "FLV over HTTP",
    "FLV",
    async (name) => {
      const viewer = await view(scene.sluice.http(`${name}.flv`));
      await viewer.atLeast(5_000);
      return { leave: () => viewer[Symbol.dispose](), ended: viewer.closed };
    },
  ],
  [
    "FLV over a WebSocket",
    "FLV",
    async (name) => {
      const socket = new WebSocket(scene.sluice.http(`${name}.flv`).replace("http:", "ws:"));
      const ended = new Promise((resolve) => socket.once("close", resolve));
      await new Promise<void>((resolve) => {
        let messages = 0;
        socket.on("message", () => ++messages === 3 && resolve());
      });
      return { leave: () => socket.close(), ended };
    },
  ],
  [
    "RTMP",
    "RTMP",
    async (name) => {
      const { client } = await openRtmp(port(), name);
      await client.until((one) => one.received.filter(({ type }) => type === 9).length > 5);
      return { leave: () => client.socket.destroy(), ended: client.closed };
    },
  ],
];

/** The lines with which OUTPUT_END says the same at each try: numbers are checked by themselves. */
const words = (lines: readonly string[] = []): (string | undefined)[] => [...lines.slice(0, 3), ...lines.slice(10)];

describe("OUTPUT_END", () => {
  let encoder: Child;
  beforeAll(async () => {
    encoder = startEncoder(scene.sluice.rtmp("live/live"));
    await scene.asked.called("STREAM_BUFFER", (call) => call.lines[0] === "live");
  });
  afterAll(() => encoder?.stop());

  const [viewerEnd = [], , , , publisherEnd = []] = recorded("OUTPUT_END");

  it.each(ways)("a viewer over %s leaves: the recorded lines, after CONN_CLOSE", async (_, protocol, watch) => {
    scene.mark();
    const viewer = await watch("live");
    // Media time of what was sent last: the stream has been ready since it had three segments of two seconds.
    expect(await position("live", protocol)).toBeGreaterThan(2);
    viewer.leave();
    const { lines } = await scene.asked.called("OUTPUT_END", (call) => scene.since().includes(call) && about("live", protocol)(call));
    expect(words(lines)).toEqual(words(viewerEnd).with(2, protocol));
    expect(lines).toHaveLength(13);
    const [bytes = 0, seconds = 0, start = 0, end = 0, mediaMs = 0, first = 0, last = 0] = lines.slice(3, 10).map(Number);
    expect(bytes).toBeGreaterThan(5_000);
    expect([end - start - seconds, last - first]).toEqual([expect.toSatisfy((gap: number) => Math.abs(gap) <= 1), mediaMs]);
    expect(mediaMs).toBeGreaterThanOrEqual(0);
    expect(last).toBeGreaterThan(0);
    const order = scene.since().filter((call) => call.lines[2] === protocol && about("live")(call));
    expect(order.map(({ name }) => name)).toEqual(["CONN_CLOSE", "OUTPUT_END"]);
  });

  /** `position` of the newest session over this connector, seconds. */
  async function position(stream: string, protocol: string): Promise<number> {
    const { clients } = await scene.sluice.api({ clients: { streams: [stream], protocols: [protocol], fields: ["position"] } });
    return (clients as { data: number[][] }).data.at(-1)?.[0] ?? 0;
  }

  it("a viewer over HLS has a position too: the end of its newest segment", async () => {
    const { segments } = await hlsSegments(scene.sluice.http("hls/live/index.m3u8"));
    expect(segments).toHaveLength(1);
    expect(await position("live", "HLS")).toBeGreaterThan(2);
  });

  it("a publisher over RTMP says that it stops: the recorded lines, without media", async () => {
    await encoder.stop("SIGINT");
    const { lines } = await scene.asked.called("OUTPUT_END", (call) => call.lines[10] === "CLEAN_INTENDED_STOP");
    expect(words(lines)).toEqual(words(publisherEnd));
    expect(lines.slice(7, 10)).toEqual(publisherEnd.slice(7, 10));
    // The handshake and the answers to its commands.
    expect(Number(lines[3])).toBeGreaterThan(3_000);
  });

  it("none for HLS, stream information and refusals", async () => {
    await using publisher = await publishSample(port(), "gone");
    await scene.asked.called("STREAM_BUFFER", about("gone"));
    scene.mark();
    for (const path of ["hls/gone/index.m3u8", "json_gone.js", "nosuch.flv"]) {
      await get(scene.sluice.http(path), { Connection: "close" });
    }
    await scene.asked.called("CONN_CLOSE", about("nosuch"));
    publisher.socket.end();
    await scene.asked.called("OUTPUT_END", about("gone", "RTMP"));
    expect(scene.since("OUTPUT_END").map(({ lines }) => lines.slice(0, 3))).toEqual([["gone", "", "RTMP"]]);
  });
});

describe("CONN_STOP", () => {
  it.each(ways)("the end of a recording over %s: stream, host, connector and an empty line", async (_, protocol, watch) => {
    scene.mark();
    await (await watch("film")).ended;
    const end = await scene.asked.called("OUTPUT_END", (call) => scene.since().includes(call) && about("film", protocol)(call));
    expect(scene.since("CONN_STOP").map(({ body }) => body)).toEqual([`film\n127.0.0.1\n${protocol}\n`]);
    expect(end.lines.slice(10)).toEqual(["CLEAN_EOF", "end of stream", ""]);
    // What was sent last: the recording has two seconds.
    expect(Number(end.lines[9])).toBeGreaterThan(1_000);
    expect(Number(end.lines[9])).toBeLessThanOrEqual(2_100);
  });
});

describe("INPUT_ABORT", () => {
  const outputs: readonly (readonly [string, (name: string) => Promise<unknown>])[] = [
    ["FLV", (name) => get(scene.sluice.http(`${name}.flv`))],
    ["HLS", (name) => get(scene.sluice.http(`hls/${name}/index.m3u8`))],
    ["stream information", (name) => get(scene.sluice.http(`json_${name}.js`))],
    ["RTMP", async (name) => (await openRtmp(port(), name)).client[Symbol.asyncDispose]()],
  ];
  const cases = recorded("INPUT_ABORT").flatMap((lines) => outputs.map(([how, ask]) => ({ lines, how, ask, name: lines[0] ?? "" })));

  it.each(cases)("$name file, asked for over $how: the recorded lines", async ({ lines, ask, name }) => {
    scene.mark();
    await ask(name);
    const call = await scene.asked.called("INPUT_ABORT", (one) => scene.since().includes(one) && about(name)(one));
    // Volatile: where the file is, the process, and the words.
    const [stream, , binary, , code] = lines;
    const file = name === "bad" ? "bad.mp4" : "nofile.mp4";
    expect(call.lines).toEqual([
      stream,
      join(folder, file),
      binary,
      `${scene.sluice.child.process.pid}`,
      code,
      expect.stringContaining(file),
    ]);
    expect(scene.since("INPUT_ABORT")).toHaveLength(1);
  });
});

describe("LIVE_BANDWIDTH", () => {
  it("tells each change of the rate, at most once a second; a no ends the stream and tells its publisher", async () => {
    const encoder = startEncoder(scene.sluice.rtmp("live/heavy"), { rate: "400k" });
    const rate = (at: number) =>
      scene.asked.called(
        "LIVE_BANDWIDTH",
        (call) => about("heavy")(call) && scene.asked.of("LIVE_BANDWIDTH").filter(about("heavy"))[at] !== undefined,
      );
    await rate(2);
    const calls = scene.asked.of("LIVE_BANDWIDTH").filter(about("heavy"));
    expect(calls[0]?.lines).toHaveLength(recorded("LIVE_BANDWIDTH")[0]?.length ?? 0);
    // 400 kbit/s of picture and 64 of sound, in bytes.
    for (const { lines } of calls) expect(Number(lines[1])).toSatisfy((value: number) => value > 20_000 && value < 120_000);
    for (const [at, { lines, at: when }] of calls.entries()) {
      const before = calls[at - 1];
      if (!before) continue;
      expect(lines[1]).not.toBe(before.lines[1]);
      expect(when - before.at).toBeGreaterThan(900);
    }
    scene.says.LIVE_BANDWIDTH = (call) => String(call.lines[0] !== "heavy");
    const abort = await scene.asked.called("INPUT_ABORT", about("heavy"));
    expect(abort.lines.toSpliced(3, 1)).toEqual(["heavy", "push://", "MistInBuffer", "TRIGGER", "LIVE_BANDWIDTH trigger returned false"]);
    await encoder.exited;
    const { lines } = await scene.asked.called("OUTPUT_END", about("heavy"));
    expect(lines[10]).toBe("CLEAN_CONTROLLER_REQ");
    const empty = await scene.asked.called("STREAM_BUFFER", (call) => about("heavy")(call) && call.lines[1] === "EMPTY");
    // The server ended it, so the last media time is told.
    expect(empty.lines[2]).toMatch(/^\d+$/);
  });

  it("`params`: only from so many bytes a second on", async () => {
    const at = (path: string, params: string) => ({ handler: `${scene.asked.url}${path}`, sync: true, params });
    await scene.configure(scene.table({ LIVE_BANDWIDTH: [at("low", "1000"), at("high", "10000000"), at("none", "")] }));
    await using encoder = startEncoder(scene.sluice.rtmp("live/light"));
    await scene.asked.called("LIVE_BANDWIDTH", (call) => about("light")(call) && call.path === "/none");
    const paths = new Set(
      scene.asked
        .of("LIVE_BANDWIDTH")
        .filter(about("light"))
        .map(({ path }) => path),
    );
    expect([...paths]).toEqual(["/low", "/none"]);
    expect(encoder.process.exitCode).toBeNull();
  });

  it("tells a refused publisher why over RTMP", async () => {
    scene.says.LIVE_BANDWIDTH = () => "false";
    await using client = await publishSample(port(), "light");
    const { description } = await client.status("NetStream.Publish.Denied");
    expect(description).toMatch(/ended/);
    await client.closed;
  });
});

describe("STREAM_BUFFER", () => {
  const states = (stream: string): string[] =>
    scene
      .since("STREAM_BUFFER")
      .filter(about(stream))
      .map(({ lines }) => lines.slice(1, 2).join());

  it("FULL, DRY while the encoder is frozen, RECOVER, EMPTY: the recorded sequence", async () => {
    scene.mark();
    const encoder = startEncoder(scene.sluice.rtmp("live/frozen"));
    await scene.asked.called("STREAM_BUFFER", (call) => about("frozen")(call) && call.lines[1] === "FULL");
    encoder.process.kill("SIGSTOP");
    const dry = await scene.asked.called("STREAM_BUFFER", (call) => about("frozen")(call) && call.lines[1] === "DRY");
    // MistServer tells it when data is back; who waits for a frozen encoder wants to know it now.
    expect(JSON.parse(dry.lines[2] ?? "")).toMatchObject({ issues: expect.stringContaining("no data for") });
    encoder.process.kill("SIGCONT");
    await scene.asked.called("STREAM_BUFFER", (call) => about("frozen")(call) && call.lines[1] === "RECOVER", 45_000);
    await encoder.stop("SIGINT");
    const empty = await scene.asked.called("STREAM_BUFFER", (call) => about("frozen")(call) && call.lines[1] === "EMPTY");
    expect(empty.body).toBe("frozen\nEMPTY");
    const theirs = recorded("STREAM_BUFFER")
      .slice(0, 4)
      .map(([, state]) => state);
    expect(states("frozen")).toEqual(theirs);
  });

  it("with `resume`: EMPTY when the publisher leaves, FULL when the next one goes on", async () => {
    scene.mark();
    const first = await publishSample(port(), "paused");
    await scene.asked.called("STREAM_BUFFER", (call) => about("paused")(call) && call.lines[1] === "FULL");
    first.socket.end();
    await scene.asked.called("STREAM_BUFFER", (call) => about("paused")(call) && call.lines[1] === "EMPTY");
    await using second = await publishSample(port(), "paused");
    await expect.poll(() => states("paused").filter((state) => state === "FULL").length, { timeout: 10_000 }).toBe(2);
    // MistServer says nothing between the two (weak-points); the media goes on in one buffer.
    expect(states("paused").filter((state) => state === "FULL" || state === "EMPTY")).toEqual(["FULL", "EMPTY", "FULL"]);
    second.socket.end();
  });
});

describe("SYSTEM_STOP", () => {
  it.each<[how: string, stop: () => Promise<unknown>, reason: RegExp]>([
    ["SIGTERM", async () => scene.sluice.child.process.kill("SIGTERM"), /SIGTERM/],
    ["SIGINT", async () => scene.sluice.child.process.kill("SIGINT"), /SIGINT/],
    ["the API", () => scene.sluice.api({ shutdown: true }), /API/],
  ])("over %s: a no keeps the server, with what is published and watched", async (how, stop, reason) => {
    const name = `gone+${how}`;
    await using client = await openPublisher(port(), name);
    scene.says.SYSTEM_STOP = () => "false";
    scene.mark();
    await stop();
    const { body } = await scene.asked.called("SYSTEM_STOP", (call) => scene.since().includes(call));
    expect(body).toMatch(reason);
    expect((await get(`http://127.0.0.1:${scene.sluice.ports.api}/healthz`)).status).toBe(200);
    expect(client.socket.destroyed).toBe(false);
    // What comes late of the streams before is none of this.
    expect(scene.since().filter((call) => call.name === "SYSTEM_STOP" || about(name)(call))).toHaveLength(1);
  });

  it("a yes ends it in order, once", async () => {
    scene.mark();
    await scene.sluice.api({ shutdown: true });
    expect(await scene.sluice.child.exited).toBe(0);
    expect(scene.since("SYSTEM_STOP")).toHaveLength(1);
  });
});
