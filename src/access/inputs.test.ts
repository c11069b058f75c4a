import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { settle } from "../../test/support/fake-clock.ts";
import { emptyFile, GateBench } from "../../test/support/gate-bench.ts";
import type { VodSource } from "../streams/stream.ts";
import { SluiceError } from "../base/errors.ts";

let bench: GateBench;
beforeEach(() => {
  bench = new GateBench();
});
afterEach(() => bench.close());

const abort = (source: string, code: string, text: string, input = "MP4"): string =>
  ["INPUT_ABORT", "vod", source, `MistIn${input}`, process.pid, code, text].join("|");

/** A file whose reading fails at once, as often as `open` was called before. */
function broken(): VodSource {
  return {
    ...emptyFile(),
    // oxlint-disable-next-line require-yield -- it fails before its first packet
    async *read() {
      throw new Error("the disk is gone");
    },
  };
}

describe("an input that does not end in order", () => {
  it("cannot be opened: INPUT_ABORT, and the viewer is told", async () => {
    bench.watchAll();
    bench.openFile = async () => Promise.reject(new SluiceError("source.failed", "the file does not exist"));
    await expect(bench.gate.play(bench.view("vod"))).rejects.toMatchObject({ code: "access.offline" });
    expect(bench.of("INPUT_ABORT")).toEqual([abort("/media/vod.mp4", "READ_START_FAILURE", "the file does not exist")]);
    expect(bench.names()).toEqual(["CONN_OPEN", "PLAY_REWRITE", "STREAM_LOAD", "STREAM_SOURCE", "INPUT_ABORT", "DEFAULT_STREAM"]);
  });

  it("is refused by STREAM_READY: STREAM_UNLOAD and INPUT_ABORT as recorded", async () => {
    bench.on("STREAM_UNLOAD", true);
    bench.on("INPUT_ABORT", undefined);
    bench.on("STREAM_READY", false);
    await expect(bench.gate.play(bench.view("vod"))).rejects.toMatchObject({ code: "access.offline" });
    expect(bench.fired).toEqual([
      "STREAM_READY|vod|MP4",
      "STREAM_UNLOAD|vod|MP4|cancelableSTREAM_READY trigger returned false",
      abort("/media/vod.mp4", "TRIGGER", "STREAM_READY trigger returned false"),
    ]);
  });

  it("cannot be read on: the stream ends, and the next viewer opens the file anew", async () => {
    bench.on("STREAM_UNLOAD", true);
    bench.on("INPUT_ABORT", undefined);
    bench.openFile = async () => broken();
    const admission = await bench.gate.play(bench.view("vod"));
    using cursor = admission.value.packets();
    await settle();
    expect([cursor.ended, bench.directory.get("vod")]).toEqual([true, undefined]);
    expect(bench.fired).toEqual([
      "STREAM_UNLOAD|vod|MP4|uncancelablereading the file failed: the disk is gone",
      abort("/media/vod.mp4", "FORMAT_SPECIFIC", "reading the file failed: the disk is gone"),
    ]);
    await bench.gate.play(bench.view("vod"));
    expect(bench.opened).toEqual(["/media/vod.mp4", "/media/vod.mp4"]);
  });
});

describe("a stream that is always on", () => {
  it("plays without viewers, is not asked about, and is not ended when nobody watches", async () => {
    bench.streams["vod"] = { source: "/media/$basename.mp4", always_on: true, inputtimeout: 1 };
    bench.settings.alwaysOn = () => ["vod"];
    bench.watchAll();
    await bench.clock.advance(1_000);
    expect(bench.directory.get("vod")?.source).toBe("/media/vod.mp4");
    expect(bench.names()).toEqual(["STREAM_READY"]);
    await bench.clock.advance(60_000);
    expect(bench.opened).toEqual(["/media/vod.mp4"]);
    expect(bench.of("STREAM_UNLOAD")).toEqual([]);
  });

  it("is started again when it has ended, and tried again every 5 seconds when it cannot start", async () => {
    bench.streams["vod"] = { source: "/media/vod.mp4", always_on: true };
    bench.settings.alwaysOn = () => ["vod"];
    await bench.clock.advance(1_000);
    await bench.directory.end("vod", { code: "CLEAN_CONTROLLER_REQ", text: "ended by a command" });
    bench.openFile = async () => Promise.reject(new SluiceError("source.failed", "the file does not exist"));
    await bench.clock.advance(20_000);
    expect(bench.opened).toHaveLength(1 + 4);
    bench.openFile = async () => emptyFile();
    await bench.clock.advance(5_000);
    expect(bench.directory.get("vod")).toBeDefined();
  });

  it("waits for its publisher when it is pushed", async () => {
    bench.streams["live"] = { source: "push://", always_on: true };
    bench.settings.alwaysOn = () => ["live"];
    await bench.clock.advance(10_000);
    expect(bench.opened).toEqual([]);
  });
});
