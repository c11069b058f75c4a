import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { settle } from "../../../test/support/fake-clock.ts";
import { createTestHub, drain, follow, liveOptions, send } from "../../../test/support/hub.ts";
import { audioTrack, tinyFormat, tinyPacket, tinyText, videoTrack } from "../../../test/support/tiny-format.ts";
import type { Chunk } from "../../media/format.ts";
import type { StreamWriter } from "../stream.ts";

const text = (chunk: Chunk | undefined): string => new TextDecoder().decode(chunk?.bytes);
const texts = (chunks: readonly Chunk[]): string => chunks.map(text).join("");
const tracks = [videoTrack(), audioTrack()];
const header = "H(1:avc1.4d401e,2:mp4a.40.2)";

function live(flushMs = 100): ReturnType<typeof createTestHub> & { writer: StreamWriter } {
  const hub = createTestHub(flushMs);
  const writer = hub.directory.publish("live", liveOptions);
  writer.describe(tracks);
  return { ...hub, writer };
}

describe("chunks", () => {
  it("start a late viewer at once with the header and the newest keyframe", async () => {
    const hub = live();
    await send(hub, hub.writer, 0, 5_000);
    const first = hub.writer.stream.chunks(tinyFormat);
    const [head, start, ...more] = drain(first);
    expect(text(head)).toBe(header);
    expect(start?.keyframe).toBe(true);
    expect(text(start)).toMatch(/^1k4000;2k4020;2k4040;1p4040;/);
    expect(more).toEqual([]);
    await send(hub, hub.writer, 5_000, 5_500);
    const late = hub.writer.stream.chunks(tinyFormat);
    expect(texts(drain(late))).toBe(texts([head!, start!, ...drain(first)]));
  });

  it("are made once for each flush and shared by all", async () => {
    const hub = live();
    await send(hub, hub.writer, 0, 2_000);
    const viewers = Array.from({ length: 3 }, () => follow(hub.writer.stream.chunks(tinyFormat)));
    await send(hub, hub.writer, 2_040, 2_640, 10_000);
    const [a, b, c] = viewers.map((viewer) => viewer.items.slice(-5));
    expect(a).toHaveLength(5);
    for (const [i, chunk] of a!.entries()) {
      expect(b?.[i]).toBe(chunk);
      expect(c?.[i]).toBe(chunk);
    }
    // 600 ms at 100 ms each: one chunk and one wake for each flush, not for each packet.
    expect(viewers[0]!.items.length).toBeLessThanOrEqual(2 + 7);
    expect(viewers[0]!.wakes).toBeLessThanOrEqual(1 + 7);
  });

  it("are flushed at the end of the task when there is no interval", async () => {
    const hub = live(0);
    hub.writer.write(tinyPacket(1, 0, true));
    const viewer = follow(hub.writer.stream.chunks(tinyFormat));
    hub.writer.write(tinyPacket(1, 40, false));
    hub.writer.write(tinyPacket(1, 80, false));
    expect(viewer.items.map(text)).toEqual([header, "1k0;"]);
    await settle();
    expect(viewer.items.map(text)).toEqual([header, "1k0;", "1p40;1p80;"]);
  });

  it("wait for the first keyframe if there is none yet", async () => {
    const hub = live();
    const viewer = follow(hub.writer.stream.chunks(tinyFormat));
    hub.writer.write(tinyPacket(1, 0, false));
    hub.writer.write(tinyPacket(2, 20, true));
    await hub.clock.advance(200);
    expect(viewer.items).toEqual([]);
    hub.writer.write(tinyPacket(1, 40, true));
    await hub.clock.advance(200);
    expect(viewer.items.map(text)).toEqual([header, "1k40;"]);
  });

  it("start without video at any flush", async () => {
    const hub = createTestHub();
    const writer = hub.directory.publish("radio", liveOptions);
    writer.describe([audioTrack()]);
    const viewer = follow(writer.stream.chunks(tinyFormat));
    for (let ms = 0; ms < 1_000; ms += 20) {
      writer.write(tinyPacket(2, ms, true));
      await hub.clock.advance(20);
    }
    expect(viewer.items.slice(1).every((chunk) => chunk.keyframe)).toBe(true);
    expect(viewer.items.length).toBeGreaterThan(8);
  });

  it("do not wait for a video track that never sends", async () => {
    const hub = live();
    const viewer = follow(hub.writer.stream.chunks(tinyFormat));
    for (let ms = 0; ms < 9_000; ms += 20) {
      hub.writer.write(tinyPacket(2, ms, true));
      await hub.clock.advance(20);
    }
    expect(viewer.items[1]?.dts).toBeLessThanOrEqual(2_100_000);
    expect(hub.writer.stream.state).toBe("ready");
  });

  it("carry what those who watch need when the tracks change, and a new header for those who come", async () => {
    const hub = live();
    await send(hub, hub.writer, 0, 2_040);
    const old = follow(hub.writer.stream.chunks(tinyFormat));
    const changed = [videoTrack({ config: Uint8Array.of(1, 0x64, 0, 0x1f), codecString: "avc1.64001f" }), audioTrack()];
    hub.writer.describe(changed);
    hub.writer.write(tinyPacket(1, 2_040, false));
    hub.writer.write(tinyPacket(1, 2_080, true));
    await hub.clock.advance(100);
    const all = texts(old.items);
    expect(all).toContain("R(1:avc1.64001f,2:mp4a.40.2)1k2080;");
    expect(all).not.toContain("1p2040");
    const fresh = hub.writer.stream.chunks(tinyFormat);
    expect(texts(drain(fresh))).toBe("H(1:avc1.64001f,2:mp4a.40.2)1k2080;");
  });

  it("move a viewer that fell off the ring to the newest keyframe, with what it needs to go on", async () => {
    const hub = live();
    await send(hub, hub.writer, 0, 2_040);
    const slow = hub.writer.stream.chunks(tinyFormat);
    expect(text(slow.next())).toBe(header);
    const fast = follow(hub.writer.stream.chunks(tinyFormat));
    const changed = [...tracks, audioTrack({ id: 3 })];
    hub.writer.describe(changed);
    await send(hub, hub.writer, 2_040, 20_000);
    const first = slow.next();
    expect(slow.skips).toBe(1);
    expect(text(first)).toMatch(/^R\(/);
    expect(slow.next()).toMatchObject({ keyframe: true, dts: 18_000_000 });
    drain(slow);
    expect(slow.skips).toBe(1);
    expect(fast.items.at(-1)?.dts).toBeGreaterThan(19_000_000);
  });

  it("end with the format's end, and say so to those who wait", async () => {
    const hub = live();
    await send(hub, hub.writer, 0, 300);
    const cursor = hub.writer.stream.chunks(tinyFormat);
    const viewer = follow(cursor);
    hub.writer.write(tinyPacket(2, 300, true));
    await hub.writer.close({ code: "CLEAN_EOF", text: "done" });
    expect(texts(viewer.items.slice(-2))).toBe("2k300;E");
    expect(cursor.ended).toBe(true);
  });

  it("go on for others when one viewer's output throws, or leaves in the middle of a flush", async () => {
    const hub = live();
    await send(hub, hub.writer, 0, 100);
    const cursors = Array.from({ length: 3 }, () => hub.writer.stream.chunks(tinyFormat));
    for (const cursor of cursors) drain(cursor);
    let woken = 0;
    const last = cursors[2]!.onReadable(() => void woken++);
    cursors[0]!.onReadable(() => {
      throw new Error("broken output");
    });
    const third = hub.writer.stream.chunks(tinyFormat);
    drain(third);
    third.onReadable(() => void woken++);
    last[Symbol.dispose]();
    cursors[1]![Symbol.dispose]();
    await send(hub, hub.writer, 100, 300);
    expect(woken).toBe(1);
    expect(hub.lines.join()).toContain("broken output");
  });

  it("leave out a packet that the format cannot carry", async () => {
    const hub = live();
    const picky = {
      ...tinyFormat,
      createMuxer: (list: typeof tracks) => {
        const muxer = tinyFormat.createMuxer(list);
        return {
          header: muxer.header,
          add: (packet: Parameters<typeof muxer.add>[0]) => {
            if (packet.dts === 40_000) throw new Error("cannot be carried");
            return muxer.add(packet);
          },
          retrack: muxer.retrack,
          end: muxer.end,
        };
      },
    };
    const viewer = follow(hub.writer.stream.chunks(picky));
    for (const ms of [0, 40, 80]) hub.writer.write(tinyPacket(1, ms, ms === 0));
    await hub.clock.advance(200);
    expect(texts(viewer.items)).toBe(`${header}1k0;1p80;`);
    expect(hub.lines.filter((line) => line.includes("cannot be carried"))).toHaveLength(1);
  });

  it("are not made for a format that nobody watches any more", async () => {
    const hub = live();
    await send(hub, hub.writer, 0, 100);
    let added = 0;
    const counting = {
      ...tinyFormat,
      createMuxer: (list: typeof tracks) => {
        const muxer = tinyFormat.createMuxer(list);
        return {
          ...muxer,
          header: muxer.header,
          add: (packet: Parameters<typeof muxer.add>[0]) => {
            added++;
            return muxer.add(packet);
          },
        };
      },
    };
    const cursor = hub.writer.stream.chunks(counting);
    await send(hub, hub.writer, 100, 300);
    cursor[Symbol.dispose]();
    const before = added;
    await send(hub, hub.writer, 300, 8_000);
    expect(added).toBe(before);
    expect(before).toBeGreaterThan(5);
    expect(drain(hub.writer.stream.chunks(counting))[1]).toMatchObject({ keyframe: true, dts: 6_000_000 });
  });

  it("give every viewer what a lone muxer makes from its keyframe on, however packets, flushes and viewers are interleaved", async () => {
    const step = fc.oneof(
      { weight: 8, arbitrary: fc.record({ kind: fc.constant("packet" as const), video: fc.boolean(), key: fc.nat(9) }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 150 }) }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant("join" as const) }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant("read" as const), viewer: fc.nat(5), items: fc.integer({ min: 1, max: 4 }) }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (steps) => {
        const hub = live();
        const whole: string[] = [];
        const starts: number[] = [];
        const viewers: { cursor: ReturnType<typeof hub.writer.stream.chunks>; got: Chunk[] }[] = [];
        const reference = hub.writer.stream.packets();
        for (const [i, each] of steps.entries()) {
          if (each.kind === "packet") hub.writer.write(tinyPacket(each.video ? 1 : 2, i * 10, !each.video || each.key === 0));
          else if (each.kind === "wait") await hub.clock.advance(each.ms);
          else if (each.kind === "join") viewers.push({ cursor: hub.writer.stream.chunks(tinyFormat), got: [] });
          else
            for (let n = 0; n < each.items; n++)
              viewers[each.viewer]?.got.push(...[viewers[each.viewer]!.cursor.next()].filter((chunk) => chunk !== undefined));
          for (const packet of drain(reference)) {
            if (packet.trackId === 1 && packet.keyframe) starts.push(whole.length);
            whole.push(tinyText(packet));
          }
        }
        await hub.writer.close({ code: "CLEAN_EOF", text: "" });
        for (const { cursor, got } of viewers) {
          got.push(...drain(cursor));
          if (got.length < 2) continue;
          const possible = starts.map((start) => `${header}${whole.slice(start).join("")}E`);
          expect(possible).toContain(texts(got));
          expect(cursor.ended).toBe(true);
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe("packets", () => {
  it("start at the newest or the oldest keyframe and follow", async () => {
    const hub = live();
    await send(hub, hub.writer, 0, 5_000);
    expect(drain(hub.writer.stream.packets())[0]).toMatchObject({ trackId: 1, dts: 4_000_000, keyframe: true });
    expect(drain(hub.writer.stream.packets("oldest"))[0]).toMatchObject({ trackId: 1, dts: 0, keyframe: true });
    const follower = follow(hub.writer.stream.packets());
    const before = follower.items.length;
    await send(hub, hub.writer, 5_000, 5_400);
    expect(follower.items.length).toBeGreaterThan(before + 20);
    expect(follower.wakes).toBeLessThanOrEqual(6);
  });

  it("skip to the newest keyframe when the reader fell off", async () => {
    const hub = createTestHub();
    const writer = hub.directory.publish("live", { ...liveOptions, bufferMs: 4_000 });
    writer.describe(tracks);
    await send(hub, writer, 0, 100);
    const cursor = writer.stream.packets();
    await send(hub, writer, 100, 21_000);
    expect(cursor.next()?.dts).toBe(20_000_000);
    expect(cursor.skips).toBe(1);
  });

  it("keep presentation after decode, and count unknown tracks once", () => {
    const hub = live();
    hub.writer.write({ ...tinyPacket(1, 100, true), pts: 180_000 });
    hub.writer.write({ ...tinyPacket(1, 140, false), pts: 120_000 });
    hub.writer.write(tinyPacket(9, 140, true));
    hub.writer.write(tinyPacket(9, 160, true));
    expect(drain(hub.writer.stream.packets()).map(({ dts, pts }) => [dts, pts])).toEqual([
      [100_000, 180_000],
      [140_000, 140_000],
    ]);
    expect(hub.lines.filter((line) => line.includes("track 9"))).toHaveLength(1);
  });
});

describe("fragments", () => {
  it("join groups to at least the segment length, complete ones only, and hold every packet once", async () => {
    const hub = live();
    await send(hub, hub.writer, 0, 9_020, 500);
    const { fragments, ended } = await hub.writer.stream.fragments();
    expect(ended).toBe(false);
    expect(
      fragments.map(({ sequence, start, duration, discontinuity }) => [sequence, start / 1000, duration / 1000, discontinuity]),
    ).toEqual([
      [0, 0, 2_000, false],
      [1, 2_000, 2_000, false],
      [2, 4_000, 2_000, false],
      [3, 6_000, 2_000, false],
    ]);
    expect(fragments[1]!.wallClock - fragments[0]!.wallClock).toBe(2_000);
    const packets = (await Promise.all(fragments.map((fragment) => fragment.packets()))).flat();
    // The sound at 0 came before the first keyframe and is in no fragment; that at 8 s came before the last one and is.
    expect(packets).toHaveLength(200 + 400);
    expect(packets).toEqual([...packets].sort((a, b) => a.dts - b.dts));
  });

  it("leave with their packets, but at least four stay", async () => {
    const hub = createTestHub();
    const writer = hub.directory.publish("live", { ...liveOptions, bufferMs: 1_000 });
    writer.describe(tracks);
    await send(hub, writer, 0, 2_040);
    await send(hub, writer, 2_040, 4_040);
    const [oldest] = (await writer.stream.fragments()).fragments;
    await send(hub, writer, 4_040, 20_040);
    const { fragments } = await writer.stream.fragments();
    expect(fragments.map((fragment) => fragment.sequence)).toEqual([6, 7, 8, 9]);
    await expect(oldest!.packets()).rejects.toMatchObject({ code: "access.ended" });
  });

  it("mark a jump of time and a change of tracks", async () => {
    const hub = live();
    await send(hub, hub.writer, 0, 4_000);
    await send(hub, hub.writer, 100_000, 104_000);
    hub.writer.describe([videoTrack({ width: 1_280 }), audioTrack()]);
    await send(hub, hub.writer, 104_000, 108_040);
    const { fragments } = await hub.writer.stream.fragments();
    expect(fragments.map((fragment) => fragment.discontinuity)).toEqual([false, false, true, false, true, false]);
    expect(fragments.at(-1)!.tracks[0]).toMatchObject({ width: 1_280 });
    expect(fragments[0]!.tracks[0]).toMatchObject({ width: 640 });
    expect(hub.lines.join()).toContain("jumped");
  });

  it("do not mark the first one when its tracks are described one by one", async () => {
    const hub = createTestHub();
    const writer = hub.directory.publish("live", liveOptions);
    writer.describe([videoTrack()]);
    writer.write(tinyPacket(1, 0, true));
    writer.describe(tracks);
    await send(hub, writer, 20, 6_000);
    const { fragments } = await writer.stream.fragments();
    expect(fragments.map((fragment) => [fragment.discontinuity, fragment.tracks.length])).toEqual([
      [false, 2],
      [false, 2],
    ]);
  });
});
