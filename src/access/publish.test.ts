import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { settle } from "../../test/support/fake-clock.ts";
import { GateBench } from "../../test/support/gate-bench.ts";
import { type Deny, deny, type Yes } from "../base/decision.ts";
import type { VideoTrack } from "../media/track.ts";

const left = { code: "CLEAN_REMOTE_CLOSE", text: "connection closed" } as const;
const video: VideoTrack = {
  kind: "video",
  id: 1,
  codec: "h264",
  config: Uint8Array.of(1, 77, 64, 30),
  codecString: "avc1.4d401e",
  width: 640,
  height: 360,
};

let bench: GateBench;
beforeEach(() => {
  bench = new GateBench();
});
afterEach(() => bench.close());

const refusal = (request: Parameters<typeof bench.gate.publish>[0]): Promise<unknown> =>
  bench.gate.publish(request).then(
    () => "let in",
    (error: unknown) => error,
  );

describe("a publisher", () => {
  it("is asked about in the recorded order with the recorded lines; STREAM_READY comes after STREAM_PUSH, when all is decided", async () => {
    bench.watchAll();
    const connection = bench.connection();
    const admission = await bench.gate.publish(bench.push("live", { connection }));
    admission.value.describe([video]);
    admission.count(0, 500_000);
    const viewer = await bench.gate.play(bench.view("live", { query: { tkn: "a" } }));
    viewer.count(460_937, 0);
    await bench.clock.advance(1_000);
    viewer[Symbol.dispose]();
    connection.close();
    await settle();
    await admission.value.close(left);
    admission[Symbol.dispose]();
    await bench.clock.advance(17_000);
    const url = "rtmp://127.0.0.1:1935/live/live";
    const publishing = bench.fired.filter((line) => !/^(CONN_OPEN|CONN_PLAY|PLAY_REWRITE|USER_NEW|USER_END).*(FLV)/.test(line));
    expect(publishing.map((line) => line.replace(/\{.*\}/, "{...}"))).toEqual([
      "CONN_OPEN||127.0.0.1|RTMP|",
      `RTMP_PUSH_REWRITE|${url}|127.0.0.1`,
      `PUSH_REWRITE|${url}|127.0.0.1|live`,
      "STREAM_LOAD|live",
      "STREAM_SOURCE|live",
      `STREAM_PUSH|live|127.0.0.1|RTMP|${url}`,
      "STREAM_READY|live|Buffer",
      "LIVE_TRACK_LIST|live|{...}|",
      `CONN_CLOSE|live|127.0.0.1|RTMP|${url}`,
      "STREAM_BUFFER|live|EMPTY",
      "LIVE_TRACK_LIST|live||",
      "STREAM_UNLOAD|live|Buffer|uncancelablesource disconnected for non-resumable stream",
      "STREAM_END|live|500000|460937|1|1|0|2",
    ]);
    expect(bench.of("LIVE_TRACK_LIST")[0]).toContain('"video_H264_640x360_');
  });

  it("has an input session until it leaves, that can be ended with its stream", async () => {
    const admission = await bench.gate.publish(bench.push("live"));
    expect(bench.sessions.get(admission.sessionId)).toMatchObject({ type: "input", protocol: "INPUT:RTMP", stream: "live" });
    expect(admission.sessionId).toMatch(/^I[0-9a-f]{64}$/);
    bench.sessions.stop((session) => session.protocol === "INPUT:RTMP", "stopped by the operator");
    expect(admission.signal.reason).toMatchObject({ code: "access.ended" });
    expect(await admission.value.stream.closed).toEqual({ code: "CLEAN_CONTROLLER_REQ", text: "stopped by the operator" });
  });

  it("stands in the log with its beginning and its end under the final name, and its key does not", async () => {
    bench.on("PUSH_REWRITE", () => "live+a");
    const admission = await bench.gate.publish(bench.push("secret-key"));
    admission.ends({ code: "FORMAT_SPECIFIC", text: "secret-key sent bad bytes" });
    admission[Symbol.dispose]();
    admission[Symbol.dispose]();
    expect(bench.logged.filter((line) => /pushed|secret/.test(line))).toEqual([
      "INFO pushed over RTMP from 127.0.0.1",
      "INFO no longer pushed over RTMP from 127.0.0.1: (hidden) sent bad bytes",
    ]);
    await admission.value.close(left);
  });

  it.each([
    ["a name", "live+a", "live+a"],
    ["a name with variables", "live+a?x=1", "live+a"],
    ["a URL", "rtmp://127.0.0.1:1935/live/live%2Ba?x=1", "live+a"],
    ["a name in need of tidying", "Li/ve+a\r\n", "live+a"],
  ])("goes on under what PUSH_REWRITE answers: %s", async (_, answer, name) => {
    bench.on("PUSH_REWRITE", answer);
    const admission = await bench.gate.publish(bench.push("Secret-Key-123?a=b"));
    expect(bench.of("PUSH_REWRITE")).toEqual(["PUSH_REWRITE|rtmp://127.0.0.1:1935/live/Secret-Key-123?a=b|127.0.0.1|Secret-Key-123"]);
    expect(admission.value.stream.name).toBe(name);
    expect(bench.directory.list().map((stream) => stream.name)).toEqual([name]);
    expect(bench.logged.join("\n")).not.toMatch(/secret-key/i);
  });

  it("goes on with the URL of RTMP_PUSH_REWRITE, over RTMP only", async () => {
    bench.on("RTMP_PUSH_REWRITE", "rtmp://127.0.0.1:1935/live/live+rt");
    bench.on("PUSH_REWRITE", { kind: "keep" });
    bench.on("STREAM_PUSH", true);
    expect((await bench.gate.publish(bench.push("live"))).value.stream.name).toBe("live+rt");
    expect((await bench.gate.publish(bench.push("live", { protocol: "WebRTC" }))).value.stream.name).toBe("live");
    expect(bench.of("RTMP_PUSH_REWRITE")).toHaveLength(1);
    expect(bench.of("PUSH_REWRITE")[0]).toBe("PUSH_REWRITE|rtmp://127.0.0.1:1935/live/live+rt|127.0.0.1|live+rt");
    expect(bench.of("STREAM_PUSH")[0]).toBe("STREAM_PUSH|live+rt|127.0.0.1|RTMP|rtmp://127.0.0.1:1935/live/live+rt");
  });

  it("is refused at each step, with a reason that never has the key in it", async () => {
    const key = "k-0123456789";
    const cases: [string, () => void, object][] = [
      ["CONN_OPEN", () => bench.on("CONN_OPEN", deny("closed")), { code: "access.denied", message: "closed" }],
      ["RTMP_PUSH_REWRITE", () => bench.on("RTMP_PUSH_REWRITE", ""), { code: "access.denied" }],
      ["PUSH_REWRITE", () => bench.on("PUSH_REWRITE", ({ stream }) => deny(`unknown key ${stream}`)), { message: "unknown key (hidden)" }],
      ["unknown", () => undefined, { code: "access.unknown", status: 404 }],
      ["STREAM_LOAD", () => bench.on("STREAM_LOAD", false), { code: "access.denied" }],
      ["no push", () => bench.on("PUSH_REWRITE", "vod"), { code: "access.denied", message: "This stream takes no pushes." }],
      ["internal", () => bench.on("STREAM_SOURCE", "push://INTERNAL_ONLY:live"), { message: "This stream takes no pushes." }],
      ["password", () => bench.on("STREAM_SOURCE", "push://@pw"), { message: "The password is wrong." }],
      ["address", () => bench.on("STREAM_SOURCE", "push://10.0.0.0/8"), { message: expect.stringContaining("address") }],
      [
        "STREAM_PUSH",
        () => {
          bench.on("PUSH_REWRITE", "live");
          bench.on("STREAM_PUSH", deny("not now"));
        },
        { message: "not now" },
      ],
      [
        "STREAM_READY",
        () => {
          bench.on("PUSH_REWRITE", "live");
          bench.on("STREAM_READY", deny("not ready"));
        },
        { message: "not ready" },
      ],
    ];
    for (const [name, prepare, expected] of cases) {
      await bench.close();
      bench = new GateBench();
      prepare();
      const error = await refusal(bench.push(key));
      expect({ name, error }).toMatchObject({ name, error: expected });
      expect(String(error)).not.toContain(key);
      expect(bench.logged.join("\n")).not.toContain(key);
      expect({ name, streams: bench.directory.list(), sessions: bench.sessions.list() }).toEqual({ name, streams: [], sessions: [] });
    }
  });

  it("gets in with the password from anywhere, and without it from the right address", async () => {
    bench.streams["live"] = { source: "push://studio.example@pw" };
    bench.hosts["studio.example"] = ["192.0.2.7", "2001:db8::7"];
    expect(await refusal(bench.push("live", { password: "pw!" }))).toMatchObject({ message: expect.stringContaining("address") });
    for (const part of [{ password: "pw" }, { address: "192.0.2.7" }, { address: "2001:DB8:0::7" }]) {
      const admission = await bench.gate.publish(bench.push("live", part));
      await admission.value.close(left);
    }
    bench.streams["live"] = { source: "push://nowhere.example" };
    expect(await refusal(bench.push("live"))).toMatchObject({ code: "access.denied" });
  });

  it("cannot take a name from another, and the refusal does not tell the name", async () => {
    bench.on("PUSH_REWRITE", "live");
    await bench.gate.publish(bench.push("key-1"));
    const error = await refusal(bench.push("key-2"));
    expect(error).toMatchObject({ code: "access.taken", status: 409 });
    expect(String(error)).not.toContain("live");
  });

  it("gets no fallback: the viewers' rules do not apply", async () => {
    bench.on("DEFAULT_STREAM", "live");
    bench.settings.defaultStream = "live";
    expect(await refusal(bench.push("nosuch"))).toMatchObject({ code: "access.unknown" });
    expect(bench.of("DEFAULT_STREAM")).toEqual([]);
    bench.settings.defaultSource = "push://";
    expect((await bench.gate.publish(bench.push("nosuch"))).value.stream.name).toBe("nosuch");
  });

  it("may go on with a running stream by the source that a handler gave it", async () => {
    bench.on("STREAM_SOURCE", "push://@pw");
    const first = await bench.gate.publish(bench.push("made", { password: "pw" }));
    await bench.clock.advance(3_000);
    expect(await refusal(bench.push("made"))).toMatchObject({ message: "The password is wrong." });
    const second = await bench.gate.publish(bench.push("made", { password: "pw" }));
    expect(second.value.stream).toBe(first.value.stream);
    expect(first.signal.aborted).toBe(true);
    expect(bench.of("STREAM_SOURCE")).toHaveLength(1);
  });

  it("cannot be watched before STREAM_READY was answered", async () => {
    const ready = Promise.withResolvers<Yes | Deny>();
    bench.on("STREAM_READY", () => ready.promise);
    const publish = refusal(bench.push("live"));
    await settle();
    const play = bench.gate.play(bench.view("live")).catch((error: unknown) => error);
    await settle();
    ready.resolve(deny("no"));
    expect(await publish).toMatchObject({ message: "no" });
    expect(await play).toMatchObject({ code: "access.offline" });
  });

  it("leaves nothing behind when it goes while it is decided about", async () => {
    const answer = Promise.withResolvers<Yes | Deny>();
    bench.on("STREAM_PUSH", () => answer.promise);
    const connection = bench.connection();
    const publish = refusal(bench.push("live", { connection }));
    await settle();
    connection.close();
    answer.resolve({ kind: "allow" });
    expect(await publish).toMatchObject({ code: "access.ended" });
    expect([bench.directory.list(), bench.sessions.list()]).toEqual([[], []]);
  });
});

describe("the end of a stream", () => {
  it("is told once, when it is offline and its last session has ended, with all of its sessions", async () => {
    bench.on("STREAM_END", undefined);
    bench.on("USER_END", undefined);
    const viewer = await bench.gate.play(bench.view("vod", { query: { tkn: "a" } }));
    viewer.count(1_000, 5);
    viewer[Symbol.dispose]();
    await bench.clock.advance(20_000);
    expect([bench.of("USER_END").length, bench.of("STREAM_END").length]).toEqual([1, 0]);
    const second = await bench.gate.play(bench.view("vod", { query: { tkn: "b" } }));
    second.count(2_000, 0);
    second[Symbol.dispose]();
    await bench.clock.advance(40_000);
    expect(bench.of("STREAM_END")).toEqual(["STREAM_END|vod|5|3000|2|0|0|2"]);
  });

  it("and of every session is told when the server ends, before close has resolved", async () => {
    const order: string[] = [];
    for (const name of ["USER_END", "STREAM_END", "STREAM_UNLOAD"] as const)
      bench.on(name, async () => {
        await settle();
        order.push(name);
      });
    const admission = await bench.gate.publish(bench.push("live"));
    const viewer = await bench.gate.play(bench.view("live"));
    await bench.sessions[Symbol.asyncDispose]();
    expect(viewer.signal.reason).toMatchObject({ code: "access.ended" });
    expect(admission.signal.aborted).toBe(true);
    await bench.directory[Symbol.asyncDispose]();
    await bench.gate.close();
    expect(order.sort()).toEqual(["STREAM_END", "STREAM_UNLOAD", "USER_END"]);
  });
});
