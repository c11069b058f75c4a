import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { settle } from "../../../test/support/fake-clock.ts";
import { GateBench } from "../../../test/support/gate-bench.ts";

let bench: GateBench;
beforeEach(() => {
  bench = new GateBench();
  for (const name of ["CONN_STOP", "CONN_CLOSE", "OUTPUT_END"] as const) bench.on(name, undefined);
});
afterEach(() => bench.close());

describe("an output's end", () => {
  it("has the recorded lines, after CONN_CLOSE", async () => {
    bench.live();
    const connection = bench.connection();
    const start = Math.floor(bench.clock.now() / 1000);
    const admission = await bench.gate.play(bench.view("live", { connection, lasting: true }));
    admission.count(700_000, 0);
    admission.count(9_883, 12);
    admission.position(10_023);
    await bench.clock.advance(5_500);
    admission.position(16_143);
    connection.close();
    await settle();
    const numbers = ["709883", "5", start, start + 5, "6120", "10023", "16143"];
    expect(bench.fired).toEqual([
      "CONN_CLOSE|live|127.0.0.1|FLV|http://127.0.0.1:8080/live.flv",
      ["OUTPUT_END|live||FLV", ...numbers, "CLEAN_REMOTE_CLOSE", "connection closed", ""].join("|"),
    ]);
  });

  it("says the first reason that was given, once, and waits for its connection", async () => {
    bench.live();
    const connection = bench.connection();
    const admission = await bench.gate.play(bench.view("live", { connection, lasting: true }));
    admission.ends({ code: "CLEAN_EOF", text: "end of stream" });
    admission.ends({ code: "CLEAN_REMOTE_CLOSE", text: "connection closed" });
    expect(bench.fired).toEqual(["CONN_STOP|live|127.0.0.1|FLV|"]);
    admission[Symbol.dispose]();
    admission[Symbol.dispose]();
    await settle();
    expect(bench.of("OUTPUT_END")).toEqual([]);
    connection.close();
    await settle();
    expect(bench.of("OUTPUT_END").map((line) => line.split("|").slice(8))).toEqual([
      ["0", "18446744073709551615", "0", "CLEAN_EOF", "end of stream", ""],
    ]);
  });

  it("is told of a publisher with what was sent to it", async () => {
    const connection = bench.connection();
    const admission = await bench.gate.publish(bench.push("live", { connection, lasting: true }));
    admission.count(0, 5_000_000);
    admission.ends({ code: "CLEAN_INTENDED_STOP", text: "received deleteStream" }, 3_788);
    admission[Symbol.dispose]();
    connection.close();
    await settle();
    expect(bench.of("OUTPUT_END")[0]).toMatch(
      /^OUTPUT_END\|live\|\|RTMP\|3788\|0\|\d+\|\d+\|0\|18446744073709551615\|0\|CLEAN_INTENDED_STOP\|received deleteStream\|$/,
    );
  });

  it("is nothing to tell of a request that is one of many", async () => {
    bench.live();
    const connection = bench.connection();
    (await bench.gate.play(bench.view("live", { connection, protocol: "HLS" })))[Symbol.dispose]();
    connection.close();
    await settle();
    expect(bench.fired.map((line) => line.split("|")[0])).toEqual(["CONN_CLOSE"]);
  });

  it("is told to the end when the server ends", async () => {
    bench.live();
    const connection = bench.connection();
    await bench.gate.play(bench.view("live", { connection, lasting: true }));
    const told = Promise.withResolvers<void>();
    bench.triggers.on("OUTPUT_END", () => told.promise);
    let closed = false;
    connection.close();
    const closing = bench.gate.close().then(() => {
      closed = true;
    });
    await settle();
    expect(closed).toBe(false);
    told.resolve();
    await closing;
  });
});

describe("LIVE_BANDWIDTH", () => {
  it("is asked once at a time, and a no ends the stream that it was about", async () => {
    const answer = Promise.withResolvers<boolean>();
    let asked = 0;
    bench.on("LIVE_BANDWIDTH", () => {
      asked++;
      return answer.promise;
    });
    bench.on("INPUT_ABORT", undefined);
    const writer = bench.live();
    writer.describe([
      { id: 1, kind: "audio", codec: "mp3", codecString: "mp3", sampleRate: 44_100, channels: 2, config: new Uint8Array() },
    ]);
    for (let ms = 0; ms < 4_000; ms += 20) {
      writer.write({ trackId: 1, dts: ms * 1000, pts: ms * 1000, keyframe: true, data: new Uint8Array(100 + ms / 20) });
      await bench.clock.advance(20);
    }
    expect(asked).toBe(1);
    answer.resolve(false);
    await settle();
    expect(bench.directory.get("live")).toBeUndefined();
    expect(writer.signal.aborted).toBe(true);
    expect(bench.of("INPUT_ABORT")[0]).toMatch(
      /^INPUT_ABORT\|live\|push:\/\/\|MistInBuffer\|\d+\|TRIGGER\|LIVE_BANDWIDTH trigger returned false$/,
    );
  });
});
