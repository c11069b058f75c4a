import { describe, expect, it } from "vitest";
import { settle } from "../../../test/support/fake-clock.ts";
import { createTestHub, drain, follow, liveOptions, send, type TestHub } from "../../../test/support/hub.ts";
import { audioTrack, tinyFormat, tinyPacket, videoTrack } from "../../../test/support/tiny-format.ts";
import type { Packet } from "../../media/packet.ts";
import type { Program, StreamWriter } from "../stream.ts";

const tracks = [videoTrack(), audioTrack()];

function publish(hub: TestHub, name: string, withTracks = tracks): StreamWriter {
  const writer = hub.directory.publish(name, liveOptions);
  writer.describe(withTracks);
  return writer;
}

/** What the test hub's silence is made of. */
const silentData = Uint8Array.of(0);

const gone = { code: "CLEAN_REMOTE_CLOSE", text: "closed" } as const;

/** A stream that somebody watches and whose publisher has just been killed; its viewers are kept. */
async function left() {
  const hub = createTestHub(100, (id, like = audioTrack()) => ({ track: { ...like, id }, data: silentData, duration: 20_000 }));
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
    const slate = publish(hub, "slate", [videoTrack({ width: 320 })]);
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
    // The other one has no sound: it is silent.
    expect(fresh[0]?.tracks).toHaveLength(2);
    expect(fragments.map(({ sequence }) => sequence)).toEqual(fragments.map((_, at) => (fragments[0]?.sequence ?? 0) + at));
  });

  it("keeps its tracks: others play their parts, missing sound is silence, and what it had not is left out", async () => {
    const { hub, program, packets, stream } = await left();
    const other = publish(hub, "other", [audioTrack({ id: 7 }), videoTrack({ id: 3, width: 320 }), audioTrack({ id: 8 })]);
    other.write(tinyPacket(3, 0, true));
    other.write(tinyPacket(7, 20, true));
    other.write(tinyPacket(8, 20, true));
    const before = packets.items.length;
    program.feed(other.stream, () => undefined);
    await hub.clock.advance(200);
    expect(packets.items.slice(before).map(({ trackId }) => trackId)).toEqual([1, 2]);
    expect(stream.tracks).toEqual([videoTrack({ id: 1, width: 320 }), audioTrack({ id: 2 })]);
    await other.close(gone);

    const mute = publish(hub, "mute", [videoTrack({ width: 480 })]);
    await send(hub, mute, 0, 1_000);
    const played = packets.items.length;
    program.feed(mute.stream, () => undefined);
    await send(hub, mute, 1_000, 3_000);
    const fresh = packets.items.slice(played);
    expect(stream.tracks).toEqual([videoTrack({ width: 480 }), audioTrack({ id: 2 })]);
    const silence = fresh.filter(({ trackId }) => trackId === 2);
    expect(silence.every(({ data }) => data === silentData)).toBe(true);
    // As much sound as picture, a packet each 20 ms.
    const pictures = fresh.filter(({ trackId }) => trackId === 1);
    expect(Math.abs(silence.length - 2 * pictures.length)).toBeLessThan(3);
    expect(rising(packets.items)).toBe(true);
  });

  it("does not let viewers fall behind, however many outages there are", async () => {
    const { hub, program, stream } = await left();
    const slate = publish(hub, "slate");
    const pace = stream.lastTime - hub.clock.monotonic() * 1000;
    // A keyframe each two seconds, and each outage begins late in a group.
    await send(hub, slate, 0, 3_800);
    let ms = 3_800;
    for (let outage = 0; outage < 30; outage++) {
      program.feed(slate.stream, () => undefined);
      await send(hub, slate, ms, ms + 4_000);
      ms += 4_000;
      program.pause();
      const ahead = stream.lastTime - hub.clock.monotonic() * 1000 - pace;
      expect(ahead).toBeLessThan(2_100_000);
    }
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
