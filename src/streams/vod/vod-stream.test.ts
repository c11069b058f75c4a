import { describe, expect, it } from "vitest";
import { createTestHub, drain, follow } from "../../../test/support/hub.ts";
import { audioTrack, tinyFormat, tinyPacket, tinyText, videoTrack } from "../../../test/support/tiny-format.ts";
import type { Packet } from "../../media/packet.ts";
import type { VodSource } from "../stream.ts";

/** A film of `seconds` with a keyframe every second, which counts what is read. */
class Film implements VodSource {
  readonly input = "MP4";
  readonly tracks = [videoTrack(), audioTrack()];
  readonly duration: number;
  reads = 0;
  given = 0;
  closed = 0;
  failAt = Number.POSITIVE_INFINITY;
  readonly #seconds: number;

  constructor(seconds: number) {
    this.#seconds = seconds;
    this.duration = seconds * 1e6;
  }
  keyframes(): Promise<readonly number[]> {
    return Promise.resolve(Array.from({ length: this.#seconds }, (_, i) => i * 1e6));
  }
  async *read(from: number): AsyncGenerator<Packet> {
    this.reads++;
    for (let ms = from / 1000; ms < this.#seconds * 1000; ms += 20) {
      if (ms >= this.failAt) throw new Error("disk is gone");
      if (ms % 40 === 0) yield this.#count(tinyPacket(1, ms, ms % 1_000 === 0));
      yield this.#count(tinyPacket(2, ms, true));
    }
  }
  [Symbol.asyncDispose](): Promise<void> {
    this.closed++;
    return Promise.resolve();
  }
  #count(packet: Packet): Packet {
    this.given++;
    return packet;
  }
}

describe("a file as a stream", () => {
  it("is ready at once and plays for each viewer from its start in real time", async () => {
    const hub = createTestHub();
    const stream = hub.directory.open("film", new Film(10), "a film");
    expect(hub.words()).toEqual(["opened", "state ready"]);
    expect([stream.kind, stream.state, stream.tracks.length, stream.lastTime]).toEqual(["vod", "ready", 2, 10_000_000]);
    const viewer = follow(stream.packets());
    await hub.clock.advance(1);
    await hub.clock.advance(1);
    expect(viewer.items[0]).toMatchObject({ dts: 0, keyframe: true });
    expect(viewer.items.at(-1)!.dts / 1e6).toBeCloseTo(1.5, 1);
    await hub.clock.advance(3_000);
    expect(viewer.items.at(-1)!.dts / 1e6).toBeCloseTo(4.5, 1);
    const second = follow(stream.packets());
    await hub.clock.advance(1);
    await hub.clock.advance(1);
    expect(second.items[0]!.dts).toBe(0);
    expect(second.items.at(-1)!.dts / 1e6).toBeCloseTo(1.5, 1);
  });

  it("ends each viewer at the end of the file, having given everything once", async () => {
    const hub = createTestHub();
    const film = new Film(4);
    const stream = hub.directory.open("film", film, "a film");
    const packets = stream.packets();
    const viewer = follow(packets);
    const chunks = stream.chunks(tinyFormat);
    const bytes = follow(chunks);
    await hub.clock.advance(4_500);
    const whole: Packet[] = [];
    for await (const packet of film.read(0)) whole.push(packet);
    expect(viewer.items).toEqual(whole);
    expect([packets.ended, chunks.ended]).toEqual([true, true]);
    const text = bytes.items.map((chunk) => new TextDecoder().decode(chunk.bytes)).join("");
    expect(text).toBe(`H(1:avc1.4d401e,2:mp4a.40.2)${whole.map(tinyText).join("")}E`);
    // A header, a first burst, and then one chunk for each flush interval at most.
    expect(bytes.items.length).toBeLessThanOrEqual(2 + 4_500 / 100);
    expect(stream.state).toBe("ready");
  });

  it("reads no further ahead than its queue for a viewer that does not read", async () => {
    const hub = createTestHub();
    const film = new Film(3_600);
    const stream = hub.directory.open("film", film, "a film");
    await hub.clock.advance(100);
    const measured = film.given;
    const cursor = stream.packets();
    await hub.clock.advance(60_000);
    expect(film.given - measured).toBeLessThanOrEqual(256);
    const late = drain(cursor);
    expect(late.length).toBeGreaterThan(50);
    expect(late.at(-1)!.dts).toBeLessThan(10_000_000);
    cursor[Symbol.dispose]();
    await hub.clock.advance(1_000);
    const after = film.given;
    await hub.clock.advance(5_000);
    expect(film.given).toBe(after);
  });

  it("says nothing of a file that the end of the stream has closed while it was measured, and says what else went wrong", async () => {
    const hub = createTestHub();
    for (const ends of [true, false]) {
      const film = new Film(60);
      const closing = Promise.withResolvers<never>();
      film.read = async function* (): AsyncGenerator<Packet> {
        yield tinyPacket(1, 0, true);
        await closing.promise;
      };
      const stream = hub.directory.open("film", film, "a film");
      await hub.clock.advance(100);
      if (ends) await hub.directory.end(stream.name, { code: "CLEAN_CONTROLLER_REQ", text: "the server ends" });
      closing.reject(new Error("Input has been disposed."));
      await hub.clock.advance(100);
      expect(hub.lines.filter((line) => line.includes("disposed"))).toEqual(
        ends ? [] : ["WARN the file's beginning could not be measured: Input has been disposed."],
      );
    }
  });

  it("is cut into fragments at keyframes, read when asked for and kept a while", async () => {
    const hub = createTestHub();
    const film = new Film(7);
    const stream = hub.directory.open("film", film, "a film");
    const { fragments, ended } = await stream.fragments();
    expect(ended).toBe(true);
    expect(fragments.map(({ start, duration }) => [start / 1e6, duration / 1e6])).toEqual([
      [0, 2],
      [2, 2],
      [4, 2],
      [6, 1],
    ]);
    const reads = film.reads;
    const [a, b] = await Promise.all([fragments[1]!.packets(), fragments[1]!.packets()]);
    expect(b).toBe(a);
    expect(film.reads).toBe(reads + 1);
    expect([a[0]?.dts, a.at(-1)?.dts]).toEqual([2_000_000, 3_980_000]);
    const all = (await Promise.all(fragments.map((fragment) => fragment.packets()))).flat();
    expect(all).toHaveLength(7 * 75);
  });

  it("gives the first fragment the sound that comes before the first picture", async () => {
    const hub = createTestHub();
    const film = new Film(4);
    film.keyframes = () => Promise.resolve([40_000, 2_000_000]);
    const { fragments } = await hub.directory.open("film", film, "a film").fragments();
    expect(fragments.map(({ start, duration }) => [start / 1e6, duration / 1e6])).toEqual([
      [0, 2],
      [2, 2],
    ]);
    expect((await Promise.all(fragments.map((fragment) => fragment.packets()))).flat()).toHaveLength(4 * 75);
  });

  it("ends its viewers and closes the file when it is ended", async () => {
    const hub = createTestHub();
    const film = new Film(60);
    const stream = hub.directory.open("film", film, "a film");
    const cursor = stream.chunks(tinyFormat);
    const viewer = follow(cursor);
    await hub.clock.advance(500);
    hub.words();
    expect(await hub.directory.end("film", { code: "CLEAN_INACTIVE", text: "nobody watches" })).toBe(true);
    expect(hub.words()).toEqual(["closed CLEAN_INACTIVE"]);
    expect([cursor.ended, film.closed, stream.state]).toEqual([true, 1, "offline"]);
    const count = viewer.items.length;
    await hub.clock.advance(2_000);
    expect(viewer.items.length).toBe(count);
    expect(hub.directory.get("film")).toBeUndefined();
  });

  it("ends a viewer where the file cannot be read on, and logs it", async () => {
    const hub = createTestHub();
    const film = new Film(60);
    film.failAt = 2_000;
    const cursor = hub.directory.open("film", film, "a film").packets();
    const viewer = follow(cursor);
    await hub.clock.advance(3_000);
    expect(cursor.ended).toBe(true);
    expect(viewer.items.at(-1)!.dts).toBe(1_980_000);
    expect(hub.lines.join()).toContain("disk is gone");
  });

  it("measures the file's rates from its beginning", async () => {
    const hub = createTestHub();
    const stream = hub.directory.open("film", new Film(20), "a film");
    await hub.clock.advance(10);
    expect(stream.trackStats(1)?.frameRate).toBeCloseTo(25, 1);
    expect(stream.trackStats(2)?.bytesPerSecond).toBeCloseTo(400, -1);
    expect(stream.trackStats(7)).toBeUndefined();
  });

  it("keeps a name to itself", () => {
    const hub = createTestHub();
    hub.directory.open("film", new Film(1), "a film");
    expect(() => hub.directory.publish("film", { bufferMs: 1, segmentMs: 1, resume: false, source: "push://" })).toThrowError(
      /a file plays as "film"/,
    );
    expect(() => hub.directory.open("film", new Film(1), "a film")).toThrowError(/already plays/);
  });
});
