import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ClientTrigger, MistClient } from "../support/mist-client.ts";
import { openPublisher, publishSample } from "../support/rtmp-publisher.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";
import { startTriggerServer, type TriggerCall, type TriggerServer } from "../support/trigger-server.ts";
import { get, view } from "../support/viewer.ts";

const md5 = (text: string): string => createHash("md5").update(text).digest("hex");
const behindProxy = { "X-Forwarded-For": "203.0.113.7" };

/** The list of reference/mistserver/usecases.md, last section: what a server has to do for a client of Livepeer's kind. */
describe("a client written for MistServer works unchanged", () => {
  let sluice: Sluice;
  let handler: TriggerServer;
  let client: MistClient;
  let says: (call: TriggerCall) => string | { status: number; body: string } = usual;

  beforeAll(async () => {
    handler = await startTriggerServer((call) => says(call));
    sluice = await startSluice({
      config: { account: { admin: { password: md5("secret") } }, config: { accesslog: "LOG" }, streams: { live: { source: "push://" } } },
    });
    client = connect();
  });
  afterAll(async () => {
    client?.close();
    await sluice?.[Symbol.asyncDispose]();
    await handler?.[Symbol.asyncDispose]();
  });

  function connect(password = "secret"): MistClient {
    return new MistClient({ port: sluice.ports.api, username: "admin", password, headers: behindProxy });
  }
  const entry = (more: Partial<ClientTrigger> = {}): ClientTrigger => ({ handler: handler.url, sync: true, streams: [], ...more });

  it("logs in when it is told to, and not again on the same connection", async () => {
    await client.send({ config: {} });
    expect([client.requests, client.logins]).toEqual([3, 1]);
    await client.send({ config: {} });
    expect([client.requests, client.logins]).toEqual([4, 1]);
    await client.send({ logout: true });
    await client.send({ config: {} });
    expect(client.logins).toBe(2);

    const stranger = connect("wrong");
    await expect(stranger.send({ config: {} })).rejects.toThrow("login failed");
    expect(stranger.requests).toBe(2);
    stranger.close();
  });

  it("reads the configuration by changing nothing", async () => {
    const before = await client.send({ config: {} });
    expect(before).toMatchObject({
      LTS: 1,
      authorize: { status: "OK" },
      config: { accesslog: "LOG", triggers: null },
      streams: { live: {} },
    });
    const { time: _time, ...first } = (await client.send({ config: {} }))["config"] as Record<string, unknown>;
    expect(before["config"]).toMatchObject(first);
  });

  it("writes its triggers as a whole, and reads back exactly what it wrote", async () => {
    const wanted: Readonly<Record<string, ClientTrigger>> = {
      PUSH_END: entry({ sync: false }),
      PUSH_OUT_START: entry(),
      PUSH_REWRITE: entry({ default: "" }),
      STREAM_BUFFER: entry({ sync: false }),
      LIVE_TRACK_LIST: entry({ sync: false }),
      USER_NEW: entry({ default: "false", params: "" }),
      USER_END: entry({ sync: false }),
      STREAM_SOURCE: entry({ default: "" }),
    };
    for (const [name, one] of Object.entries(wanted)) await client.addTrigger(name, one);
    expect(await client.triggers()).toEqual(Object.fromEntries(Object.entries(wanted).map(([name, one]) => [name, [one]])));
  });

  it("loses none of two changes that it makes at once, replaces by the set of streams, and deletes", async () => {
    const other = entry({ streams: ["a", "b"], sync: false });
    await Promise.all([client.addTrigger("USER_END", other), client.addTrigger("USER_END", entry({ streams: ["c"], sync: false }))]);
    expect((await client.triggers())["USER_END"]?.map(({ streams }) => streams)).toEqual([[], ["a", "b"], ["c"]]);
    await client.addTrigger("USER_END", entry({ streams: ["b", "a"], handler: `${handler.url}second` }));
    expect((await client.triggers())["USER_END"]?.map((one) => [one.streams, one.handler.endsWith("second"), one.sync])).toEqual([
      [[], false, false],
      [["c"], false, false],
      [["b", "a"], true, true],
    ]);
    await client.deleteTrigger("USER_END", ["a", "b"]);
    await client.deleteTrigger("USER_END", ["c"]);
    expect((await client.triggers())["USER_END"]).toHaveLength(1);
  });

  it("adds a stream; the answer has it", async () => {
    await client.addStream("video", "push://");
    expect(await client.send({ minimal: 1, addstream: { video: { source: "push://" } } })).toMatchObject({
      streams: { video: { name: "video", source: "push://" }, "incomplete list": 1 },
    });
  });

  it("polls streams, viewers and pushes with one call, whether something plays or not", async () => {
    expect(await client.poll()).toEqual({ activeStreams: {}, stats: {}, pushes: [], autoPushes: [] });
    const publisher = await publishSample(sluice.ports.rtmp, "video+one");
    using viewer = await view(sluice.http("video+one.flv?tkn=anna"));
    await viewer.atLeast(20_000);
    // A field that is not known, as `source` in newer MistServers, is null.
    await expect
      .poll(() => client.poll())
      .toEqual({ activeStreams: { "video+one": [null] }, stats: { "video+one": [1, expect.any(Number)] }, pushes: [], autoPushes: [] });
    publisher.socket.destroy();
  });

  it("was told of all that, each trigger with its count of lines", async () => {
    await handler.called("USER_END", () => true, 40_000);
    const lines = (name: string): readonly number[] => [...new Set(handler.of(name).map((call) => call.lines.length))];
    expect({
      PUSH_REWRITE: lines("PUSH_REWRITE"),
      STREAM_SOURCE: lines("STREAM_SOURCE"),
      USER_NEW: lines("USER_NEW"),
      USER_END: lines("USER_END"),
      LIVE_TRACK_LIST: lines("LIVE_TRACK_LIST"),
    }).toEqual({
      PUSH_REWRITE: [3],
      STREAM_SOURCE: [1],
      USER_NEW: [7],
      USER_END: [12],
      // Name and JSON, and a line break at the end.
      LIVE_TRACK_LIST: [3],
    });
    const states = handler.of("STREAM_BUFFER").map(({ lines: [name, state] }) => [name, state]);
    expect(states).toEqual([
      ["video+one", "FULL"],
      ["video+one", "EMPTY"],
    ]);
    expect(handler.of("USER_NEW")[0]?.lines.slice(0, 4)).toEqual(["video+one", "127.0.0.1", "anna", "FLV"]);
    expect(handler.of("PUSH_REWRITE")[0]?.lines[2]).toBe("video+one");
  }, 60_000);

  it.each([
    ["200 without a body", 200],
    ["204", 204],
  ])("an empty answer (%s) is an empty value: no push, no viewer, the source as it is", async (_, status) => {
    says = (call) => (call.name === "STREAM_SOURCE" ? { status, body: "" } : usual(call));
    const publisher = await openPublisher(sluice.ports.rtmp, "live");
    says = ({ name }) => (name === "PUSH_REWRITE" || name === "USER_NEW" ? { status, body: "" } : "");
    await expect(openPublisher(sluice.ports.rtmp, "video+two")).rejects.toThrow();
    expect((await get(sluice.http(`live.flv?tkn=empty${status}`))).status).not.toBe(200);
    says = usual;
    publisher.socket.destroy();
    await client.nuke("live");
  });

  it("asks again about who watches, with six lines, and cuts off who is not let in any more", async () => {
    const publisher = await publishSample(sluice.ports.rtmp, "live");
    using stays = await view(sluice.http("live.flv?tkn=stays"));
    using goes = await view(sluice.http("live.flv?tkn=goes"));
    await Promise.all([stays.atLeast(20_000), goes.atLeast(20_000)]);
    says = (call) => (call.name === "USER_NEW" ? String(call.lines[2] !== "goes") : usual(call));
    await client.invalidateSessions("live");
    await goes.closed;
    const again = handler.of("USER_NEW").filter((call) => call.lines.length === 6);
    expect(again.map((call) => call.lines[2]).toSorted()).toEqual(["goes", "stays"]);
    expect(await client.poll()).toMatchObject({ stats: { live: [1, expect.any(Number)] } });
    says = usual;

    // The text form: everybody on that stream, its publisher too.
    await client.stopSessions("live");
    await stays.closed;
    await publisher.closed;
  });

  it("deletes a stream and ends what plays there", async () => {
    const publisher = await publishSample(sluice.ports.rtmp, "video");
    await expect.poll(async () => Object.keys((await client.poll()).activeStreams)).toContain("video");
    expect(JSON.parse((await get(sluice.http("json_video.js"))).text)).toMatchObject({ type: "live", meta: { live: 1 } });
    await client.deleteStream("video");
    await publisher.closed;
    expect((await client.send({ streams: true }))["streams"]).not.toHaveProperty("video");
    await expect(openPublisher(sluice.ports.rtmp, "video")).rejects.toThrow();
  });

  it("finds no pushes: stopping and removing go well, and what would start one is refused with words", async () => {
    await client.pushStop([1, 2]);
    expect(await client.pushAutoRemove([["live", "rtmp://127.0.0.1/x"]])).toEqual([]);
    expect(await client.pushAutoAdd("live", "rtmp://127.0.0.1/x")).toEqual([]);
    const reply = await client.send({ minimal: 1, push_start: { stream: "live", target: "rtmp://127.0.0.1/x" } });
    expect(reply["error"]).toMatch(/^push_start: .*nothing was started/);
    expect((await client.poll()).pushes).toEqual([]);
  });
});

function usual({ name, lines }: TriggerCall): string {
  if (name === "PUSH_REWRITE") return lines[2] ?? "";
  return name === "USER_NEW" ? "true" : "";
}
