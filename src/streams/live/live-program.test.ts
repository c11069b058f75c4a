import { describe, expect, it } from "vitest";
import { settle } from "../../../test/support/fake-clock.ts";
import { createTestHub, drain, follow, liveOptions, send, type TestHub } from "../../../test/support/hub.ts";
import { audioTrack, tinyFormat, videoTrack } from "../../../test/support/tiny-format.ts";
import type { Packet } from "../../media/packet.ts";
import type { Program, StreamWriter } from "../stream.ts";

const tracks = [videoTrack(), audioTrack()];

function publish(hub: TestHub, name: string, withTracks = tracks): StreamWriter {
  const writer = hub.directory.publish(name, liveOptions);
  writer.describe(withTracks);
  return writer;
}

const gone = { code: "CLEAN_REMOTE_CLOSE", text: "closed" } as const;

/** A stream that somebody watches and whose publisher has just been killed; its viewers are kept. */
async function left() {
  const hub = createTestHub(100);
  let program: Program | undefined;
  hub.directory.onLeaving(() => (kept) => void (program = kept));
  const writer = publish(hub, "live");
  await send(hub, writer, 0, 8_000);
  const packets = follow(writer.stream.packets("live"));
  const chunks = follow(writer.stream.chunks(tinyFormat));
  hub.words();
  await writer.close(gone);
  if (!program) throw new Error("nobody was asked to keep the viewers");
  return { hub, program, packets, chunks, stream: writer.stream };
}

/** Decode times rise in each track. */
function rising(packets: readonly Packet[]): boolean {
  const last = new Map<number, number>();
  return packets.every(({ trackId, dts }) => {
    const rises = dts > (last.get(trackId) ?? -1);
    last.set(trackId, dts);
    return rises;
  });
}

describe("a programme", () => {
  it("keeps the viewers of a stream that has ended for everybody else", async () => {
    const { hub, program, stream } = await left();
    expect(hub.words()).toEqual(["buffer EMPTY", "tracks 0", "closed CLEAN_REMOTE_CLOSE"]);
    expect(hub.directory.get("live")).toBeUndefined();
    expect(program.stream).toBe(stream);
    expect(stream.packets("live").ended).toBe(false);
    let over = false;
    void stream.closed.then(() => (over = true));
    await settle();
    expect(over).toBe(false);
    program.end(gone);
    await settle();
    expect(over).toBe(true);
    expect(hub.words()).toEqual([]);
  });

  it("goes on with another stream and back again, in time that rises, over twenty outages", async () => {
    const { hub, program, packets, chunks } = await left();
    const slate = publish(hub, "slate", [videoTrack()]);
    let slateMs = 0;
    let liveMs = 0;
    await send(hub, slate, 0, 4_000);
    slateMs = 4_000;
    for (let outage = 0; outage < 20; outage++) {
      const before = packets.items.length;
      program.feed(slate.stream, () => undefined);
      await send(hub, slate, slateMs, slateMs + 2_000);
      slateMs += 2_000;
      expect(packets.items.length).toBeGreaterThan(before);
      const back = publish(hub, "live");
      // Clocks of a new publisher start anywhere.
      liveMs = outage * 777_000;
      await send(hub, back, liveMs, liveMs + 4_000);
      const ofSlate = packets.items.length;
      program.feed(back.stream, () => undefined);
      await send(hub, back, liveMs + 4_000, liveMs + 6_000);
      expect(packets.items.length).toBeGreaterThan(ofSlate);
      await hub.directory.end("live", gone);
    }
    expect(rising(packets.items)).toBe(true);
    const text = chunks.items.map(({ bytes }) => new TextDecoder().decode(bytes)).join("");
    // The tracks of the slate are others: viewers get their configuration in the middle of the stream.
    expect(text.match(/H\(/g)?.length).toBe(1);
    expect(text.match(/R\(/g)?.length).toBeGreaterThanOrEqual(40);
    expect(chunks.items.every(({ dts }, at, all) => at === 0 || dts >= (all[at - 1]?.dts ?? 0))).toBe(true);
  });

  it("marks each change in its fragments and counts them on", async () => {
    const { hub, program, stream } = await left();
    const before = (await stream.fragments()).fragments;
    const other = publish(hub, "other", [videoTrack()]);
    await send(hub, other, 0, 4_000);
    program.feed(other.stream, () => undefined);
    await send(hub, other, 4_000, 10_000);
    const { fragments, ended } = await stream.fragments();
    expect(ended).toBe(false);
    const fresh = fragments.filter(({ sequence }) => sequence > (before.at(-1)?.sequence ?? -1));
    expect(fresh.map(({ discontinuity }) => discontinuity)).toEqual([true, ...fresh.slice(1).map(() => false)]);
    expect(fresh[0]?.tracks).toHaveLength(1);
    expect(fragments.map(({ sequence }) => sequence)).toEqual(fragments.map((_, at) => (fragments[0]?.sequence ?? 0) + at));
  });

  it("gives a packet on in the moment in which it comes", async () => {
    const { hub, program } = await left();
    const other = publish(hub, "other");
    await send(hub, other, 0, 2_000);
    program.feed(other.stream, () => undefined);
    const cursor = program.stream.packets("live");
    drain(cursor);
    other.write({ trackId: 2, dts: 2_000_000, pts: 2_000_000, keyframe: true, data: new Uint8Array(1) });
    expect(cursor.next()).toBeDefined();
  });

  it("says when what feeds it has ended, and not when it was left", async () => {
    const { hub, program } = await left();
    const ends: string[] = [];
    const one = publish(hub, "one");
    const two = publish(hub, "two");
    await send(hub, one, 0, 2_000);
    await send(hub, two, 0, 2_000);
    program.feed(one.stream, () => ends.push("one"));
    program.feed(two.stream, () => ends.push("two"));
    // It is shown until the other one has a keyframe.
    expect(program.source).toBe(one.stream);
    await send(hub, two, 2_000, 2_100);
    expect(program.source).toBe(two.stream);
    await hub.directory.end("one", gone);
    await hub.clock.advance(200);
    expect(ends).toEqual([]);
    await hub.directory.end("two", gone);
    await hub.clock.advance(200);
    expect(ends).toEqual(["two"]);
    expect(program.source).toBeUndefined();
    program.feed(two.stream, () => ends.push("over"));
    await settle();
    expect(ends).toEqual(["two", "over"]);
  });

  it("can begin with nothing, and ends with the directory", async () => {
    const hub = createTestHub(100);
    const program = hub.directory.program("live", liveOptions);
    const viewer = follow(program.stream.chunks(tinyFormat));
    const other = publish(hub, "other");
    await send(hub, other, 0, 2_000);
    program.feed(other.stream, () => undefined);
    await send(hub, other, 2_000, 4_000);
    expect(viewer.items.length).toBeGreaterThan(2);
    expect(program.stream.name).toBe("live");
    expect(hub.directory.list().map(({ name }) => name)).toEqual(["other"]);
    await hub.directory[Symbol.asyncDispose]();
    expect(new TextDecoder().decode(viewer.items.at(-1)?.bytes)).toBe("E");
  });
});
