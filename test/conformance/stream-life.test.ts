import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { TriggerName } from "../../src/triggers/table.ts";
import { startEncoder } from "../support/encoder.ts";
import { type MistScene, startMistScene } from "../support/mist-scene.ts";
import type { TriggerCall } from "../support/trigger-server.ts";
import { get, view } from "../support/viewer.ts";

/** The triggers that are fired so far: section 4 of the first issue. */
const names = [
  ...["SYSTEM_START", "SYSTEM_STOP", "CONN_OPEN", "CONN_PLAY", "CONN_CLOSE", "RTMP_PUSH_REWRITE", "PUSH_REWRITE", "STREAM_LOAD"],
  ...["STREAM_SOURCE", "STREAM_READY", "STREAM_UNLOAD", "STREAM_PUSH", "STREAM_BUFFER", "LIVE_TRACK_LIST", "STREAM_END"],
  ...["PLAY_REWRITE", "DEFAULT_STREAM", "USER_NEW", "USER_END"],
] as TriggerName[];

type Recorded = { readonly calls: readonly (readonly [name: string, body: string])[] };
const golden = new URL("../fixtures/golden/", import.meta.url);
const recorded = (JSON.parse(readFileSync(new URL("stream-life.json", golden), "utf8")) as Recorded).calls;

/** Recorded lines of `name`, in order. */
const theirs = (name: string): string[] => recorded.filter(([one]) => one === name).map(([, body]) => body);

/**
 * The life of a live stream as a MistServer's handlers saw it, lived again on a real server: an encoder pushes, somebody
 * watches over FLV, somebody asks for a playlist, somebody for a stream that is not there, the encoder leaves, the server ends.
 */
describe("a live stream's life", () => {
  let scene: MistScene;
  const calls = (name: TriggerName): readonly TriggerCall[] => scene.asked.of(name);

  /** A body as the recording has it: its ports, `{}` for JSON, and stars for generated tokens, ids, counts. */
  function plain({ name, body }: TriggerCall): string {
    const { http, rtmp } = scene.sluice.ports;
    const lines = body.replaceAll(`127.0.0.1:${http}`, "127.0.0.1:8080").replaceAll(`127.0.0.1:${rtmp}`, "127.0.0.1:1935").split("\n");
    return masked(name, lines.map((line) => (line.startsWith("{") ? "{}" : line)).join("\n"));
  }

  function masked(name: string, body: string): string {
    const lines = body.split("\n");
    const volatile: Readonly<Record<string, readonly number[]>> = { USER_NEW: [2, 5], USER_END: [0, 4, 5, 8, 9, 10, 11] };
    for (const line of volatile[name] ?? []) lines[line] = "*";
    return lines.join("\n");
  }

  const ours = (name: TriggerName): string[] => calls(name).map(plain);
  const expected = (name: string): string[] => theirs(name).map((body) => masked(name, body));

  beforeAll(async () => {
    scene = await startMistScene(names, { streams: { live: { source: "push://" } }, serverid: "peer" });
    const { sluice, asked } = scene;
    const encoder = startEncoder(sluice.rtmp("live/live"));
    await asked.called("STREAM_BUFFER", (call) => call.lines[1] === "FULL");
    const viewer = await view(sluice.http("live.flv"));
    await viewer.atLeast(30_000);
    viewer[Symbol.dispose]();
    await asked.called("CONN_CLOSE", (call) => call.lines[2] === "FLV");
    const playlist = await view(sluice.http("hls/live/index.m3u8"), { Connection: "close" });
    await playlist.closed;
    await asked.called("CONN_CLOSE", (call) => call.lines[2] === "HLS");
    await get(sluice.http("nosuch.flv"), { Connection: "close" });
    await encoder.stop("SIGINT");
    await asked.called("STREAM_END", undefined, 40_000);
    await sluice.child.stop("SIGTERM");
  }, 90_000);
  afterAll(() => scene?.[Symbol.asyncDispose]());

  it("fires each of the 19 triggers", () => {
    expect(names).toHaveLength(19);
    expect(names.filter((name) => calls(name).length === 0)).toEqual([]);
  });

  it.each(names)("%s has the recorded headers", (name) => {
    const file = JSON.parse(readFileSync(new URL(`triggers/${name}.json`, golden), "utf8")) as {
      requests: readonly { headers: Readonly<Record<string, string>> }[];
    };
    const theirHeaders = new Set(Object.keys(file.requests[0]?.headers ?? {}).map((header) => header.toLowerCase()));
    // MistServer has no instance id yet when it starts; ours is there from the beginning.
    theirHeaders.add("x-instance");
    for (const call of calls(name)) {
      // Ours in addition: the older name of the UUID; connections are kept, MistServer opens one for each call.
      expect(Object.keys(call.headers).toSorted()).toEqual([...theirHeaders, "connection", "x-uuid"].toSorted());
      expect(call.headers["x-trigger"]).toBe(name);
      expect(call.headers["x-name"]).toBe("peer");
      expect(call.headers["content-type"]).toBe("text/plain");
      expect(call.headers["x-attempt"]).toBe("1");
    }
  });

  it.each([
    ...(["RTMP_PUSH_REWRITE", "PUSH_REWRITE", "STREAM_LOAD", "STREAM_SOURCE", "STREAM_READY", "STREAM_PUSH", "STREAM_UNLOAD"] as const),
    ...(["CONN_PLAY", "USER_NEW"] as const),
  ])("%s has the recorded lines", (name) => {
    expect(ours(name).filter((body) => !body.startsWith("nosuch"))).toEqual(expected(name));
  });

  it("PLAY_REWRITE has the recorded lines, and those of the stream that is not there", () => {
    expect(ours("PLAY_REWRITE")).toEqual([...expected("PLAY_REWRITE"), "nosuch\n127.0.0.1\nFLV\nhttp://127.0.0.1:8080/nosuch.flv"]);
    expect(ours("DEFAULT_STREAM")).toEqual(["\nnosuch\n127.0.0.1\nFLV\nhttp://127.0.0.1:8080/nosuch.flv"]);
  });

  it("CONN_OPEN has the recorded lines, once for each connection", () => {
    // MistServer asks twice for an HTTP viewer: before and after it starts the program for the real protocol. We know it at once.
    const once = expected("CONN_OPEN").filter((body) => body !== "\n127.0.0.1\nHTTP\n");
    expect(ours("CONN_OPEN")).toEqual([...once, "nosuch\n127.0.0.1\nFLV\n"]);
  });

  it("CONN_CLOSE has the recorded lines", () => {
    const nosuch = ours("CONN_CLOSE").filter((body) => body.startsWith("nosuch"));
    expect(nosuch).toEqual(["nosuch\n127.0.0.1\nFLV\nhttp://127.0.0.1:8080/nosuch.flv"]);
    expect(ours("CONN_CLOSE").filter((body) => !nosuch.includes(body))).toEqual(expected("CONN_CLOSE"));
  });

  it("STREAM_BUFFER is FULL with the health and EMPTY without, LIVE_TRACK_LIST empty at the end", () => {
    expect(ours("STREAM_BUFFER")).toEqual(expected("STREAM_BUFFER"));
    const lists = ours("LIVE_TRACK_LIST");
    expect([lists.at(0), lists.at(-1)]).toEqual(expected("LIVE_TRACK_LIST").map((body, at) => (at === 0 ? "live\n{}\n" : body)));
    const tracks = JSON.parse(calls("LIVE_TRACK_LIST").findLast(({ lines }) => lines[1]?.startsWith("{"))?.lines[1] ?? "") as object;
    expect(Object.keys(tracks).toSorted()).toEqual([
      expect.stringMatching(/^audio_AAC_1ch_44100hz_\d$/),
      expect.stringMatching(/^video_H264_320x180_25fps_\d$/),
    ]);
  });

  it("session ids are those that a handler can compute", () => {
    const localhost = Buffer.from("00000000000000000000ffff7f000001", "hex");
    const id = (stream = "", token = ""): string => createHash("sha256").update(stream).update(localhost).update(token).digest("hex");
    // The formula holds for the recording itself.
    for (const [stream, , token, , , session] of theirs("USER_NEW").map((body) => body.split("\n")))
      expect(session).toBe(id(stream, token));
    for (const { lines } of calls("USER_NEW")) expect(lines[5]).toBe(id(lines[0], lines[2]));
    for (const { lines } of calls("USER_END")) expect(lines[11]).toBe(id(lines[1], lines[0]));
    expect(new Set(calls("USER_END").map(({ lines }) => lines[11]))).toEqual(new Set(calls("USER_NEW").map(({ lines }) => lines[5])));
  });

  it("USER_END has the recorded lines with true counts", () => {
    expect(ours("USER_END")).toEqual(expected("USER_END"));
    for (const { lines } of calls("USER_END")) {
      for (const line of [4, 5, 6, 8, 9, 10]) expect(lines[line]).toMatch(/^\d+$/);
      expect(Number(lines[5])).toBeGreaterThan(0);
      expect([lines[8], lines[9], lines[10]]).toEqual([lines[4], lines[4], lines[4]]);
    }
  });

  it("STREAM_END tells what the sessions say together", () => {
    const [end] = calls("STREAM_END");
    const seconds = calls("USER_END").reduce((sum, { lines }) => sum + Number(lines[4]), 0);
    const bytes = calls("USER_END").reduce((sum, { lines }) => sum + Number(lines[5]), 0);
    // MistServer counts neither bytes nor seconds of local addresses, and seconds of idling for others.
    const [stream, down, up, viewers, inputs, outputs, viewerSeconds] = end?.lines ?? [];
    expect([stream, viewers, inputs, outputs]).toEqual(["live", "2", "1", "0"]);
    expect(Number(down)).toBeGreaterThan(10_000);
    expect(Number(up)).toBe(bytes);
    expect(Number(viewerSeconds)).toBe(seconds);
  });

  it("SYSTEM_START tells the version, SYSTEM_STOP why", () => {
    expect(calls("SYSTEM_START").map(({ body }) => body)).toEqual([expect.stringMatching(/^\d+\.\d+\.\d+/)]);
    expect(calls("SYSTEM_STOP").map(({ body }) => body)).toEqual([expect.stringMatching(/SIGTERM|Terminated/)]);
  });

  it("all in the recorded order", () => {
    const told = new Set(["CONN_CLOSE", "STREAM_BUFFER", "LIVE_TRACK_LIST", "STREAM_UNLOAD", "STREAM_END", "USER_END", "SYSTEM_STOP"]);
    const asked = (list: readonly (readonly [string, string])[]) =>
      list.filter(([name]) => !told.has(name)).map(([name, body]) => `${name} ${body}`);
    const all = scene.asked.calls.map((call) => [call.name, plain(call)] as const);
    const ourAsked = asked(all).filter((line) => !line.includes("nosuch") && !line.startsWith("SYSTEM"));
    const theirAsked = asked(recorded.map(([name, body]) => [name, masked(name, body)] as const)).filter(
      (line) => line !== "CONN_OPEN \n127.0.0.1\nHTTP\n",
    );
    // MistServer starts the stream before it asks whether it may be pushed; we ask first, so that a no costs nothing.
    const ready = theirAsked.findIndex((line) => line.startsWith("STREAM_READY"));
    const push = theirAsked.findIndex((line) => line.startsWith("STREAM_PUSH"));
    expect(push).toBe(ready + 1);
    theirAsked.splice(ready, 0, ...theirAsked.splice(push, 1));
    expect(ourAsked).toEqual(theirAsked);
    const at = (name: TriggerName, has = ""): number =>
      scene.asked.calls.findIndex((call) => call.name === name && call.body.includes(has));
    const order = [
      ...[at("SYSTEM_START"), at("STREAM_READY"), at("LIVE_TRACK_LIST"), at("STREAM_BUFFER", "FULL"), at("USER_NEW", "FLV")],
      ...[at("CONN_CLOSE", "FLV"), at("USER_NEW", "HLS"), at("CONN_CLOSE", "HLS"), at("STREAM_BUFFER", "EMPTY")],
      ...[at("USER_END", "FLV"), at("USER_END", "HLS"), at("STREAM_END"), at("SYSTEM_STOP")],
    ];
    expect(order).toEqual(order.toSorted((a, b) => a - b));
  });
});
