import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { TriggerName } from "../../src/triggers/table.ts";
import { startEncoder } from "../support/encoder.ts";
import { freePort } from "../support/free-port.ts";
import { type MistScene, startMistScene } from "../support/mist-scene.ts";
import { RtmpClient } from "../support/rtmp-client.ts";
import { tryRtmp } from "../support/rtmp-viewer.ts";

const names = ["STREAM_ADD", "STREAM_CONFIG", "STREAM_REMOVE", "OUTPUT_START", "OUTPUT_STOP"] as const satisfies readonly TriggerName[];
const bodies = (name: TriggerName): string[] =>
  (
    JSON.parse(readFileSync(new URL(`../fixtures/golden/triggers/${name}.json`, import.meta.url), "utf8")) as {
      requests: { body: string }[];
    }
  ).requests.map(({ body }) => body);

/** What the API changes: the recorded calls, provoked again on a real server, with the recorded effects. */
describe("the configuration through the API", () => {
  let scene: MistScene;
  const http = { connector: "HTTP", interface: "127.0.0.1", port: 8080 };
  const rtmp = { connector: "RTMP", interface: "127.0.0.1", port: 1935 };

  beforeAll(async () => {
    scene = await startMistScene(names, {
      streams: { live: { source: "push://" } },
      protocols: [http, { connector: "FLV" }, rtmp, { connector: "HLS" }],
    });
  }, 30_000);
  afterAll(() => scene?.[Symbol.asyncDispose]());

  const streams = async (): Promise<Record<string, unknown>> =>
    (await scene.sluice.api({ streams: true }))["streams"] as Record<string, unknown>;
  const logged = async (): Promise<string> => JSON.stringify((await scene.sluice.api({ log: true }))["log"]);
  /** One call of the API: its answer's streams, and what handlers were asked meanwhile. */
  async function change(command: Readonly<Record<string, unknown>>) {
    scene.mark();
    const { streams: shown } = await scene.sluice.api(command);
    return { shown, asked: scene.since().map(({ name, body }) => [name, body]) };
  }

  it("OUTPUT_START: one for each port when the server starts, with the configured entry", async () => {
    await scene.asked.called("OUTPUT_START", ({ body }) => body.includes("RTMP"));
    // MistServer had a port for DTSC too; connectors that live on the HTTP port have none there either.
    const theirs = bodies("OUTPUT_START").filter((body) => !body.includes("DTSC"));
    expect(scene.asked.of("OUTPUT_START").map(({ body }) => body)).toEqual(theirs);
  });

  it("STREAM_ADD: yes adds, no leaves it out", async () => {
    const [accepted, refused] = bodies("STREAM_ADD");
    expect(await change({ addstream: { tmpa: { source: "push://" } } })).toEqual({
      asked: [["STREAM_ADD", accepted]],
      shown: { "incomplete list": 1, tmpa: { name: "tmpa", source: "push://" } },
    });
    scene.says.STREAM_ADD = () => "false";
    expect(await change({ addstream: { tmpb: { source: "push://" } } })).toEqual({
      asked: [["STREAM_ADD", refused]],
      shown: { "incomplete list": 1 },
    });
    expect(Object.keys(await streams())).toEqual(["live", "tmpa"]);
    expect(await logged()).toMatch(/STREAM_ADD said no/);
  });

  it("STREAM_CONFIG: yes replaces, no keeps the old one; the same again is no change", async () => {
    const [accepted, refused] = bodies("STREAM_CONFIG");
    const changed = { "incomplete list": 1, tmpa: { DVR: 30_000, name: "tmpa", source: "push://" } };
    const first = { addstream: { tmpa: { source: "push://", DVR: 30_000 } } };
    expect(await change(first)).toEqual({ asked: [["STREAM_CONFIG", accepted]], shown: changed });
    expect(await change(first)).toEqual({ asked: [], shown: changed });
    scene.says.STREAM_CONFIG = () => "false";
    expect(await change({ addstream: { tmpa: { source: "push://", DVR: 70_000 } } })).toEqual({
      asked: [["STREAM_CONFIG", refused]],
      shown: changed,
    });
    expect((await streams())["tmpa"]).toMatchObject({ DVR: 30_000 });
    expect(await logged()).toMatch(/STREAM_CONFIG said no/);
  });

  it("STREAM_REMOVE: no keeps the stream, yes removes it", async () => {
    const [accepted, refused] = bodies("STREAM_REMOVE");
    scene.says.STREAM_REMOVE = () => "false";
    expect(await change({ deletestream: "tmpa" })).toEqual({ asked: [["STREAM_REMOVE", refused]], shown: { "incomplete list": 1 } });
    expect(Object.keys(await streams())).toEqual(["live", "tmpa"]);
    expect(await logged()).toMatch(/STREAM_REMOVE said no/);
    delete scene.says.STREAM_REMOVE;
    expect(await change({ deletestream: { tmpa: {} } })).toEqual({ asked: [["STREAM_REMOVE", accepted]], shown: { "incomplete list": 1 } });
    expect(Object.keys(await streams())).toEqual(["live"]);
    expect(await change({ deletestream: "tmpa" })).toEqual({ asked: [], shown: { "incomplete list": 1 } });
  });

  it("streams: asks about each difference, and a no holds for its stream alone", async () => {
    delete scene.says.STREAM_ADD;
    scene.says.STREAM_REMOVE = () => "false";
    const { asked } = await change({ streams: { one: { source: "push://" }, two: { source: "push://" } } });
    expect(asked).toEqual([
      ["STREAM_REMOVE", "live"],
      ["STREAM_ADD", 'one\n{"source":"push://"}'],
      ["STREAM_ADD", 'two\n{"source":"push://"}'],
    ]);
    expect(Object.keys(await streams())).toEqual(["live", "one", "two"]);
  });

  it("OUTPUT_START and OUTPUT_STOP: a connector comes and goes while the server runs", async () => {
    const { sluice, asked } = scene;
    const second = { connector: "RTMP", interface: "127.0.0.1", port: await freePort() };
    scene.mark();
    await sluice.api({ addprotocol: second });
    const body = JSON.stringify(second);
    await asked.called("OUTPUT_START", (call) => call.body === body);
    await using encoder = startEncoder(`rtmp://127.0.0.1:${second.port}/live/live`, { audio: false });
    await expect.poll(async () => (await sluice.api({ active_streams: true }))["active_streams"], { timeout: 20_000 }).toEqual(["live"]);
    await sluice.api({ deleteprotocol: { connector: "RTMP", port: second.port } });
    await asked.called("OUTPUT_STOP", (call) => call.body === body);
    // Who is connected goes on; who comes now is not let in here, and the first port is as it was.
    await using late = new RtmpClient(second.port);
    await late.closed;
    expect((await tryRtmp(sluice.ports.rtmp, "live")).plays).toBe(true);
    expect(encoder.process.exitCode).toBeNull();
    expect(scene.since().map(({ name }) => name)).toEqual(["OUTPUT_START", "OUTPUT_STOP"]);
  });

  it("OUTPUT_STOP: a connector without a port of its own is not told, its addresses are gone", async () => {
    const { sluice } = scene;
    scene.mark();
    await sluice.api({ deleteprotocol: { connector: "HLS" } });
    const words = async (): Promise<string> => (await fetch(sluice.http("hls/nosuch/index.m3u8"))).text();
    await expect.poll(words).toMatch(/no such|not found|nothing/i);
    await sluice.api({ addprotocol: { connector: "HLS" } });
    await expect.poll(words).toMatch(/offline/);
    expect(scene.since().filter(({ name }) => name.startsWith("OUTPUT_"))).toEqual([]);
  });

  it("no OUTPUT_STOP when the server ends", async () => {
    scene.mark();
    await scene.sluice.child.stop("SIGTERM");
    expect(scene.since("OUTPUT_STOP")).toEqual([]);
  });
});
