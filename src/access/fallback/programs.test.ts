import { mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { settle } from "../../../test/support/fake-clock.ts";
import { createTestHub, follow, liveOptions, type TestHub } from "../../../test/support/hub.ts";
import { audioTrack, tinyPacket, videoTrack } from "../../../test/support/tiny-format.ts";
import type { Packet } from "../../media/packet.ts";
import type { StreamWriter, VodSource } from "../../streams/stream.ts";
import type { FallbackRule, FallbackState } from "./fallback-rule.ts";
import { latestFile } from "./latest-file.ts";
import { Programs } from "./programs.ts";

const gone = { code: "CLEAN_REMOTE_CLOSE", text: "closed" } as const;

/** A recording of `seconds` with a picture each 40 ms. */
function recording(seconds: number, closed: () => void): VodSource {
  const keyframes = Array.from({ length: Math.ceil(seconds / 2) }, (_, i) => i * 2_000_000);
  return {
    input: "MP4",
    tracks: [videoTrack()],
    duration: seconds * 1_000_000,
    keyframes: async () => keyframes,
    async *read(from) {
      for (let ms = from / 1000; ms < seconds * 1000; ms += 40) yield tinyPacket(1, ms, ms % 2000 === 0);
    },
    [Symbol.asyncDispose]: async () => closed(),
  };
}

let hub: TestHub;
let programs: Programs;
let rules: Record<string, FallbackRule>;
const changes: FallbackState[] = [];
const opened: string[] = [];
const lines: string[] = [];
let files = 0;

function setUp(rule: Partial<FallbackRule>): void {
  hub = createTestHub(100);
  changes.length = opened.length = lines.length = files = 0;
  rules = { live: { sources: ["slate"], minOutageMs: 1000, minStableMs: 2000, switch: "seamless", ...rule } };
  programs = new Programs({
    clock: hub.clock,
    log: { write: (_kind, message) => void lines.push(message) },
    directory: hub.directory,
    ruleOf: (name) => rules[name],
    find: async (name) => {
      const stream = hub.directory.get(name);
      return stream && { stream, use: undefined };
    },
    openInput: (source) => ({
      kind: "vod",
      name: "MP4",
      open: async () => {
        opened.push(source);
        files++;
        return recording(4, () => files--);
      },
    }),
    liveOptions: () => liveOptions,
  });
  programs.onChange((state) => changes.push(state));
}

function publish(name: string): StreamWriter {
  const writer = hub.directory.publish(name, liveOptions);
  writer.describe([videoTrack(), audioTrack()]);
  return writer;
}

/** Time in which the slate goes on. */
let slate: StreamWriter;
let slateMs = 0;
async function pass(ms: number, also?: StreamWriter): Promise<void> {
  for (const end = slateMs + ms; slateMs < end; slateMs += 20) {
    for (const writer of [slate, ...(also ? [also] : [])]) {
      writer.write(tinyPacket(2, slateMs, true));
      if (slateMs % 40 === 0) writer.write(tinyPacket(1, slateMs, slateMs % 1000 === 0));
    }
    await hub.clock.advance(20);
  }
}

async function withSlate(): Promise<void> {
  slateMs = 0;
  slate = publish("slate");
  await pass(4000);
}

function rising(packets: readonly Packet[]): boolean {
  const last = new Map<number, number>();
  return packets.every(({ trackId, dts }) => {
    const rises = dts > (last.get(trackId) ?? -1);
    last.set(trackId, dts);
    return rises;
  });
}

afterEach(() => {
  programs[Symbol.dispose]();
  expect(files).toBe(0);
});

describe("viewers of a stream that goes offline", () => {
  it("are shown something else after the least outage, and taken back when the publisher has been stable", async () => {
    setUp({});
    await withSlate();
    const first = publish("live");
    await pass(4000, first);
    const watching = programs.use(first.stream);
    const cursor = first.stream.packets();
    const packets = follow(cursor);
    await first.close(gone);
    expect(hub.directory.get("live")).toBeUndefined();
    expect(programs.shown("live")).toBe(first.stream);
    expect(programs.state("live")).toMatchObject({ shows: "nothing", offlineSince: hub.clock.now(), liveAgain: false });
    const before = packets.items.length;
    await pass(900);
    expect(packets.items.length).toBe(before);
    await pass(600);
    expect(packets.items.length).toBeGreaterThan(before);
    expect(programs.state("live")).toMatchObject({ shows: "slate" });
    const back = publish("live");
    await pass(1500, back);
    expect(programs.state("live")).toMatchObject({ shows: "slate", liveAgain: true, offlineSince: undefined });
    await pass(1500, back);
    expect(programs.state("live")).toMatchObject({ shows: "live", liveAgain: false });
    expect(programs.shown("live")).toBe(first.stream);
    expect(rising(packets.items)).toBe(true);
    expect(changes.map(({ shows, liveAgain }) => `${shows} ${liveAgain}`)).toEqual(["slate false", "slate true", "live false"]);
    watching?.[Symbol.dispose]();
    // Whoever reads it holds it, counted or not.
    await pass(31_000, back);
    expect(programs.shown("live")).toBe(first.stream);
    cursor[Symbol.dispose]();
    await pass(31_000, back);
    expect(programs.shown("live")).toBeUndefined();
    expect(hub.directory.get("live")).toBe(back.stream);
  });

  it("stay through twenty outages on one programme", async () => {
    setUp({ minOutageMs: 0, minStableMs: 0 });
    await withSlate();
    const first = publish("live");
    await pass(2000, first);
    const watching = programs.use(first.stream);
    const packets = follow(first.stream.packets());
    let publisher = first;
    for (let kill = 0; kill < 20; kill++) {
      await publisher.close(gone);
      await pass(1000);
      expect(programs.state("live")?.shows).toBe("slate");
      publisher = publish("live");
      await pass(1500, publisher);
      expect(programs.state("live")?.shows).toBe("live");
      expect(programs.states()).toHaveLength(1);
    }
    expect(rising(packets.items)).toBe(true);
    // Nothing is lost or stands still for longer than it takes to notice that the publisher is back.
    const times = packets.items.filter(({ trackId }) => trackId === 1).map(({ dts }) => dts);
    expect(Math.max(...times.slice(1).map((time, at) => time - (times[at] ?? 0)))).toBeLessThan(300_000);
    watching?.[Symbol.dispose]();
  });

  it("are ended as everywhere when nobody watches, without a rule, or by a command", async () => {
    setUp({});
    await withSlate();
    const first = publish("live");
    await pass(2000, first);
    await first.close(gone);
    expect(programs.states()).toEqual([]);
    const second = publish("live");
    await pass(2000, second);
    const watching = programs.use(second.stream);
    await hub.directory.end("live", { code: "CLEAN_CONTROLLER_REQ", text: "ended by a command" });
    expect(programs.states()).toEqual([]);
    watching?.[Symbol.dispose]();
    expect(programs.use(slate.stream)).toBeUndefined();
  });

  it("may be told only that it is live again", async () => {
    setUp({ switch: "offer", minOutageMs: 0, minStableMs: 0 });
    await withSlate();
    const first = publish("live");
    await pass(2000, first);
    const watching = programs.use(first.stream);
    await first.close(gone);
    await pass(500);
    const back = publish("live");
    await pass(5000, back);
    expect(programs.state("live")).toMatchObject({ shows: "slate", liveAgain: true, switch: "offer" });
    // Who comes now gets the stream itself.
    expect(programs.shown("live")).toBeUndefined();
    expect(programs.has(first.stream)).toBe(true);
    watching?.[Symbol.dispose]();
  });
});

describe("what is shown", () => {
  it("is the first source that can be, and the next when it ends", async () => {
    setUp({ sources: ["absent", "live", "/rec/$stream.mp4", "slate"], minOutageMs: 0 });
    await withSlate();
    const stream = await programs.open("live");
    expect(opened).toEqual(["/rec/live.mp4"]);
    const packets = follow(stream!.packets());
    await pass(10_000);
    // A recording of four seconds is shown again and again.
    expect(opened.length).toBeGreaterThanOrEqual(2);
    expect(packets.items.length).toBeGreaterThan(150);
    expect(rising(packets.items)).toBe(true);
    expect(programs.state("live")).toMatchObject({ shows: "recording" });
  });

  it("is what a function names, asked at each outage; one that fails names nothing and is asked again", async () => {
    const asked: string[] = [];
    setUp({
      sources: async (name) => {
        asked.push(name);
        if (asked.length === 1) throw new Error("the database is down");
        return ["slate"];
      },
    });
    await withSlate();
    expect(await programs.open("live")).toBeUndefined();
    expect(await programs.open("live")).toBeDefined();
    expect(asked).toEqual(["live", "live"]);
    expect(await programs.open("other")).toBeUndefined();
  });

  it("is nothing when there is nothing, until there is", async () => {
    setUp({ minOutageMs: 0 });
    slate = publish("else");
    slateMs = 0;
    const first = publish("live");
    await pass(2000, first);
    const watching = programs.use(first.stream);
    const packets = follow(first.stream.packets());
    await first.close(gone);
    await settle();
    expect(programs.state("live")).toMatchObject({ shows: "nothing" });
    const before = packets.items.length;
    const late = publish("slate");
    await pass(3000, late);
    expect(programs.state("live")).toMatchObject({ shows: "slate" });
    expect(packets.items.length).toBeGreaterThan(before);
    await late.close(gone);
    slate.write(tinyPacket(2, slateMs, true));
    await hub.clock.advance(59_000);
    expect(programs.has(first.stream)).toBe(true);
    await hub.clock.advance(3_000);
    // Nobody waits for ever in front of nothing.
    expect(programs.has(first.stream)).toBe(false);
    expect(first.stream.state).toBe("offline");
    watching?.[Symbol.dispose]();
  });

  it("follows the rule of a source that is offline itself, and leaves out what leads back, with a word about it once", async () => {
    setUp({ sources: ["backup", "live"], minOutageMs: 0 });
    rules["backup"] = { ...rules["live"]!, sources: ["live", "spare"] };
    rules["spare"] = { ...rules["live"]!, sources: ["backup", "slate"] };
    await withSlate();
    for (let asked = 0; asked < 3; asked++) {
      const stream = await programs.open("live");
      expect(stream?.name).toBe("live");
      expect(programs.state("live")).toMatchObject({ shows: "slate" });
      programs[Symbol.dispose]();
    }
    expect(lines.filter((line) => line.includes("leads back"))).toEqual([
      expect.stringContaining("live -> backup -> live"),
      expect.stringContaining("backup -> spare -> backup"),
    ]);
  });

  it("ends with a command that ends the stream, and not because a publisher is refused", async () => {
    setUp({ minOutageMs: 0 });
    await withSlate();
    const stream = await programs.open("live");
    await hub.directory.end("live", { code: "TRIGGER", text: "STREAM_READY said no" });
    expect(programs.has(stream!)).toBe(true);
    expect(await hub.directory.end("live", { code: "CLEAN_CONTROLLER_REQ", text: "ended by a command" })).toBe(true);
    expect(stream?.state).toBe("offline");
    await settle();
    expect(programs.states()).toEqual([]);
    expect(await hub.directory.end("live", { code: "CLEAN_CONTROLLER_REQ", text: "ended by a command" })).toBe(false);
  });

  it("is where a command takes viewers, and back, while the publisher goes on", async () => {
    setUp({ sources: ["spare"] });
    await withSlate();
    await expect(programs.move("live", "slate")).rejects.toMatchObject({ code: "api.unknown" });
    const live = publish("live");
    const before = live.stream;
    await pass(4000, live);
    const cursor = before.packets();
    const packets = follow(cursor);
    hub.words();
    await expect(programs.move("live", "nowhere")).rejects.toMatchObject({ code: "access.offline" });
    expect(hub.directory.get("live")).toBe(before);
    await programs.move("live", "slate");
    await pass(3000, live);
    expect(programs.state("live")).toMatchObject({ shows: "slate", liveAgain: true, switch: "offer" });
    // Who comes now gets the stream itself, on which the publisher has gone on without a word to anybody but of its tracks.
    expect(live.stream).not.toBe(before);
    expect(hub.directory.get("live")).toBe(live.stream);
    expect(programs.shown("live")).toBeUndefined();
    expect(hub.words()).toEqual(["tracks 2"]);
    await pass(3000, live);
    await programs.move("live", "live");
    await pass(2000, live);
    expect(programs.state("live")).toMatchObject({ shows: "live" });
    expect(rising(packets.items)).toBe(true);
    // What they were moved to ends: they are back.
    await programs.move("live", "slate");
    await pass(2000, live);
    await slate.close(gone);
    slate = publish("else");
    await pass(3000, live);
    expect(programs.state("live")).toMatchObject({ shows: "live" });
    await live.close(gone);
    await expect(programs.move("live", "live")).rejects.toMatchObject({ code: "access.offline" });
    cursor[Symbol.dispose]();
  });

  it("does not go over to a publisher that leaves before it was stable", async () => {
    setUp({ minOutageMs: 0, minStableMs: 2000 });
    await withSlate();
    const first = publish("live");
    await pass(4000, first);
    const watching = programs.use(first.stream);
    await first.close(gone);
    await pass(500);
    for (let flap = 0; flap < 10; flap++) {
      const short = publish("live");
      await pass(1500, short);
      await short.close(gone);
      await pass(300);
    }
    expect(changes.filter(({ shows }) => shows === "live")).toEqual([]);
    expect(programs.state("live")).toMatchObject({ shows: "slate", liveAgain: false });
    expect(programs.state("live")?.offlineSince).toBeDefined();
    watching?.[Symbol.dispose]();
  });

  it("may not climb out of its folder by the name of a stream", async () => {
    setUp({ sources: ["/rec/$wildcard.mp4"] });
    rules["live+../../etc/passwd"] = rules["live"]!;
    expect(await programs.open("live+../../etc/passwd")).toBeUndefined();
    expect(opened).toEqual([]);
  });
});

describe("the latest recording", () => {
  let folder = "";
  beforeEach(() => {
    setUp({});
    folder = mkdtempSync(join(tmpdir(), "sluice-latest-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it("is the one that was changed last; empty ones and other names do not count", async () => {
    const put = (name: string, at: number, text = "x"): void => {
      writeFileSync(join(folder, name), text);
      utimesSync(join(folder, name), at, at);
    };
    put("live-1.mp4", 100);
    put("live-2.mp4", 300);
    put("live-3.mp4", 200);
    put("live-4.mp4", 400, "");
    put("other.mp4", 500);
    put("live-(a).mkv", 600);
    expect(await latestFile(join(folder, "live-*.mp4"))).toBe(join(folder, "live-2.mp4"));
    expect(await latestFile(join(folder, "none-*.mp4"))).toBeUndefined();
    expect(await latestFile(join(folder, "absent", "*.mp4"))).toBeUndefined();
    expect(await latestFile("/plain/file.mp4")).toBe("/plain/file.mp4");
  });
});
