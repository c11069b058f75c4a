import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { createTestHub, drain, follow, liveOptions, send } from "../../test/support/hub.ts";
import { audioTrack, tinyFormat, tinyPacket, videoTrack } from "../../test/support/tiny-format.ts";
import type { StreamWriter } from "./stream.ts";

const tracks = [videoTrack(), audioTrack()];
const left = { code: "CLEAN_REMOTE_CLOSE", text: "the publisher left" } as const;
const resumable = { ...liveOptions, resume: true };

function live(options = liveOptions): ReturnType<typeof createTestHub> & { writer: StreamWriter } {
  const hub = createTestHub();
  const writer = hub.directory.publish("live", options);
  writer.describe(tracks);
  return { ...hub, writer };
}

const issues = (hub: ReturnType<typeof createTestHub>): unknown => (hub.directory.health("live") as Record<string, unknown>).issues;

describe("a live stream's life", () => {
  it("is waiting until three fragments are complete, then ready and FULL; EMPTY at its end", async () => {
    const hub = live();
    expect(hub.directory.get("live")?.state).toBe("waiting");
    expect(hub.words()).toEqual(["opened", "tracks 2"]);
    await send(hub, hub.writer, 0, 6_000);
    expect(hub.words()).toEqual([]);
    await send(hub, hub.writer, 6_000, 6_040);
    expect(hub.words()).toEqual(["state ready", "buffer FULL"]);
    await send(hub, hub.writer, 6_040, 20_000);
    expect(hub.words()).toEqual([]);
    const { stream } = hub.writer;
    await hub.writer.close(left);
    expect(hub.words()).toEqual(["buffer EMPTY", "tracks 0", "closed CLEAN_REMOTE_CLOSE"]);
    expect(stream.state).toBe("offline");
    expect(await stream.closed).toEqual(left);
    expect(hub.directory.get("live")).toBeUndefined();
    expect(hub.directory.health("live")).toBeUndefined();
    expect((await stream.fragments()).ended).toBe(true);
  });

  it("has no EMPTY when it never had a track", async () => {
    const hub = createTestHub();
    await hub.directory.publish("live", liveOptions).close(left);
    expect(hub.words()).toEqual(["opened", "closed CLEAN_REMOTE_CLOSE"]);
  });

  it("is ended by command: its publisher is told", async () => {
    const hub = live();
    expect(await hub.directory.end("live", { code: "CLEAN_CONTROLLER_REQ", text: "nuked" })).toBe(true);
    expect(hub.writer.signal.reason).toMatchObject({ code: "access.ended", message: expect.stringContaining("nuked") });
    expect(await hub.directory.end("live", left)).toBe(false);
    hub.words();
    hub.writer.write(tinyPacket(1, 0, true));
    hub.writer.describe([]);
    await hub.writer.close(left);
    expect(hub.words()).toEqual([]);
  });

  it("takes its unix time from the first packet", async () => {
    const hub = live();
    await hub.clock.advance(3_000);
    hub.writer.write(tinyPacket(2, 40, true));
    expect(hub.writer.stream.unixOffset).toBe(hub.clock.now() - 40);
  });

  it("tells listeners of changes, and not those that left", async () => {
    const hub = live();
    let changes = 0;
    const listening = hub.writer.stream.onChange(() => void changes++);
    await send(hub, hub.writer, 0, 4_040);
    expect(changes).toBe(2);
    listening[Symbol.dispose]();
    await send(hub, hub.writer, 4_040, 8_040);
    expect(changes).toBe(2);
  });

  it("ends everything with the directory", async () => {
    const hub = live();
    hub.directory.publish("other", liveOptions);
    await hub.directory[Symbol.asyncDispose]();
    expect(hub.directory.list()).toEqual([]);
    expect(hub.words().filter((word) => word.startsWith("closed"))).toEqual(["closed CLEAN_SIGNAL", "closed CLEAN_SIGNAL"]);
  });
});

describe("health", () => {
  it("has MistServer's members for the same stream", async () => {
    const recorded = JSON.parse(
      readFileSync(new URL("../../test/fixtures/golden/triggers/STREAM_BUFFER.json", import.meta.url), "utf8"),
    ) as { requests: { body: string }[] };
    const golden = JSON.parse(recorded.requests.find((request) => request.body.startsWith("live\nFULL"))!.body.split("\n")[2]!) as Record<
      string,
      Record<string, unknown>
    >;
    const hub = live();
    await send(hub, hub.writer, 0, 6_040);
    const full = hub.events.find((event) => event.kind === "buffer");
    const health = full?.kind === "buffer" ? (full.health as Record<string, Record<string, unknown>>) : {};
    expect(Object.keys(health)).toEqual(Object.keys(golden).filter((name) => !name.startsWith("meta_")));
    for (const name of ["video_H264_640x360_25fps_1", "audio_AAC_2ch_44100hz_2"]) {
      expect(Object.keys(health[name]!).sort()).toEqual(Object.keys(golden[name]!).sort());
      for (const same of ["codec", "id", "idx", "channels", "rate", "width", "height", "fps", "fpks", "bframes"])
        expect(health[name]![same]).toEqual(golden[name]![same]);
      expect(Object.keys(health[name]!.keys as object).sort()).toEqual(Object.keys(golden[name]!.keys as object).sort());
    }
    expect(health.video_H264_640x360_25fps_1!.keys).toEqual(golden.video_H264_640x360_25fps_1!.keys);
    expect(health.maxkeepaway).toEqual(golden.maxkeepaway);
  });

  it("is DRY during a freeze, stays so while it is irregular, and recovers", async () => {
    const hub = live();
    await send(hub, hub.writer, 0, 8_000);
    hub.words();
    await hub.clock.advance(4_900);
    expect(hub.words()).toEqual([]);
    await hub.clock.advance(700);
    expect(hub.words()).toEqual(["buffer DRY"]);
    expect(issues(hub)).toMatch(/^no data for 5\d\d\dms! $/);
    // The frozen encoder thaws and sends what it owes at once.
    for (let ms = 8_000; ms < 13_600; ms += 40) {
      hub.writer.write(tinyPacket(2, ms, true));
      hub.writer.write(tinyPacket(1, ms, ms % 2_000 === 0));
    }
    await send(hub, hub.writer, 13_600, 14_600);
    expect(issues(hub)).toMatch(/^High jitter \(5\d\d\dms\)! $/);
    expect(hub.words()).toEqual([]);
    await send(hub, hub.writer, 14_600, 40_000);
    expect(hub.words()).toEqual(["buffer RECOVER"]);
    expect(issues(hub)).toBeUndefined();
  });

  it.each([
    ["unstable connection (1000ms H264 frame)! unstable connection (2 H264 frame(s) in key)! ", 1_000, [2_000]],
    ["unstable connection (5 H264 frame(s) in key)! ", 400, [2_000]],
    ["unstable key interval (100% H264 variance)! ", 40, [2_000, 4_000]],
  ] as const)("says %s", async (text, frameMs, keyMs) => {
    const hub = createTestHub();
    const writer = hub.directory.publish("live", liveOptions);
    writer.describe([videoTrack()]);
    let keyAt = 0;
    for (let ms = 0, key = 0; ms < 14_000; ms += frameMs) {
      const isKey = ms >= keyAt;
      if (isKey) keyAt = ms + keyMs[key++ % keyMs.length]!;
      writer.write(tinyPacket(1, ms, isKey));
      await hub.clock.advance(frameMs);
    }
    expect(issues(hub)).toBe(text);
  });

  it.each([
    ["HLS no audio!", [videoTrack(), audioTrack({ codec: "opus" })]],
    ["HLS no video!", [videoTrack({ codec: "vp9" }), audioTrack()]],
  ])("says %s", async (text, list) => {
    const hub = createTestHub();
    const writer = hub.directory.publish("live", liveOptions);
    writer.describe(list);
    await send(hub, writer, 0, 3_000);
    expect(issues(hub)).toBe(text);
  });
});

describe("a second publisher", () => {
  it("is refused while the first one lives", async () => {
    const hub = live();
    await send(hub, hub.writer, 0, 1_000);
    expect(() => hub.directory.publish("live", liveOptions)).toThrowError(/another publisher is sending to this stream/);
    expect(hub.writer.signal.aborted).toBe(false);
  });

  it("takes over from one that has been silent for two seconds, and viewers stay", async () => {
    const hub = live();
    await send(hub, hub.writer, 0, 8_000);
    const cursor = hub.writer.stream.chunks(tinyFormat);
    const viewer = follow(cursor);
    await hub.clock.advance(1_900);
    expect(() => hub.directory.publish("live", liveOptions)).toThrowError(expect.objectContaining({ code: "access.taken" }));
    await hub.clock.advance(200);
    hub.words();
    // As protocols do it: who is told to go closes the writer at once.
    hub.writer.signal.addEventListener("abort", () => void hub.writer.close({ code: "CLEAN_CONTROLLER_REQ", text: "told to go" }));
    const second = hub.directory.publish("live", liveOptions);
    expect(hub.directory.get("live")).toBe(second.stream);
    expect(hub.writer.signal.reason).toMatchObject({ code: "access.taken" });
    expect(second.stream).toBe(hub.writer.stream);
    second.describe(tracks);
    const before = viewer.items.length;
    await send(hub, second, 500_000, 502_040);
    expect(viewer.items.slice(before)[0]?.dts).toBeGreaterThan(7_960_000);
    expect(cursor.ended).toBe(false);
    expect(hub.words()).toEqual(["state waiting", "tracks 2", "state ready"]);
    hub.writer.write(tinyPacket(1, 9_000, true));
    await hub.writer.close(left);
    expect(hub.directory.get("live")).toBe(second.stream);
    const { fragments } = await second.stream.fragments();
    expect(fragments.map(({ discontinuity }) => discontinuity)).toEqual([false, false, false, false, true]);
    expect(fragments.at(-1)!.wallClock - fragments[0]!.wallClock).toBeGreaterThan(10_000);
  });
});

describe("a stream that may be resumed", () => {
  it("waits for its publisher, EMPTY, and is FULL again when it goes on", async () => {
    const hub = live(resumable);
    await send(hub, hub.writer, 0, 8_040);
    const viewer = follow(hub.writer.stream.chunks(tinyFormat));
    hub.words();
    await hub.writer.close(left);
    expect(hub.words()).toEqual(["state waiting", "buffer EMPTY"]);
    await hub.clock.advance(4_000);
    const second = hub.directory.publish("live", resumable);
    second.describe(tracks);
    const before = viewer.items.length;
    await send(hub, second, 0, 2_040);
    expect(hub.words()).toEqual(["tracks 2", "state ready", "buffer FULL"]);
    expect(viewer.items.length).toBeGreaterThan(before);
    const times = drain(second.stream.packets("oldest"))
      .filter((packet) => packet.trackId === 1)
      .map((packet) => packet.dts);
    expect(times).toEqual([...new Set(times)].sort((a, b) => a - b));
    expect(times.at(-1)).toBeLessThan(10_200_000);
    expect(second.stream.state).toBe("ready");
  });

  it("ends after a minute, with no second EMPTY", async () => {
    const hub = live(resumable);
    await send(hub, hub.writer, 0, 8_040);
    await hub.writer.close(left);
    expect(hub.words()).toContain("buffer EMPTY");
    await hub.clock.advance(59_000);
    expect(hub.words()).toEqual([]);
    await hub.clock.advance(2_000);
    expect(hub.words()).toEqual(["tracks 0", "closed CLEAN_INACTIVE"]);
    expect(hub.directory.list()).toEqual([]);
  });
});

describe("a second publisher", () => {
  it("that may take over goes on with the stream at once, and the first is told", async () => {
    const hub = live();
    await send(hub, hub.writer, 0, 8_040);
    const packets = follow(hub.writer.stream.packets());
    hub.writer.signal.addEventListener("abort", () => void hub.writer.close({ code: "CLEAN_CONTROLLER_REQ", text: "told to go" }));
    const second = hub.directory.publish("live", liveOptions, true);
    expect(second.stream).toBe(hub.writer.stream);
    expect(hub.writer.signal.reason).toMatchObject({ code: "access.taken" });
    second.describe(tracks);
    const before = packets.items.length;
    await send(hub, second, 0, 2_000);
    expect(packets.items.length).toBeGreaterThan(before);
    expect(hub.directory.get("live")).toBe(second.stream);
  });

  it("that waits goes on with the stream when the first has left, without an end for those who watch", async () => {
    const hub = live();
    await send(hub, hub.writer, 0, 8_040);
    const packets = follow(hub.writer.stream.packets());
    const turns: string[] = [];
    const gone = new AbortController();
    const wait = (who: string, signal = new AbortController().signal): Promise<unknown> =>
      hub.directory.vacant("live", signal).then(
        () => turns.push(who),
        () => turns.push(`${who} gave up`),
      );
    void wait("first");
    void wait("second", gone.signal);
    void wait("third");
    gone.abort(new Error("gone"));
    await hub.clock.advance(1);
    expect(turns).toEqual(["second gave up"]);
    hub.words();
    await hub.writer.close(left);
    await hub.clock.advance(1);
    expect(turns).toEqual(["second gave up", "first"]);
    const backup = hub.directory.publish("live", liveOptions);
    expect(backup.stream).toBe(hub.writer.stream);
    backup.describe(tracks);
    const before = packets.items.length;
    await send(hub, backup, 0, 8_000);
    expect(packets.items.length).toBeGreaterThan(before);
    expect(hub.words()).toEqual(["state waiting", "tracks 2", "state ready"]);
    expect(turns).toHaveLength(2);
    await backup.close(left);
    await hub.clock.advance(1);
    expect(turns.at(-1)).toBe("third");
    // It never begins: the stream ends for those who watch, a moment later.
    await hub.clock.advance(4_000);
    expect(hub.directory.get("live")).toBeDefined();
    await hub.clock.advance(2_000);
    expect(hub.directory.get("live")).toBeUndefined();
    expect(hub.words()).toContain("closed CLEAN_REMOTE_CLOSE");
  });

  it("waits for nobody when there is nobody, and no longer than the first is silent or alive", async () => {
    const hub = live();
    await hub.directory.vacant("other", new AbortController().signal);
    let turn = false;
    void hub.directory.vacant("live", new AbortController().signal).then(() => (turn = true));
    await hub.clock.advance(1_500);
    expect(turn).toBe(false);
    await hub.clock.advance(1_500);
    expect(turn).toBe(true);
    await expect(hub.directory.vacant("live", AbortSignal.abort(new Error("gone")))).rejects.toThrow("gone");
  });
});
