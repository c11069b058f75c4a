import { describe, expect, it } from "vitest";
import { SluiceError } from "../../base/errors.ts";
import { aacTrack, makeAacConfig } from "../../codecs/aac.ts";
import type { Packet } from "../../media/packet.ts";
import type { Track } from "../../media/track.ts";
import type { Fragment, Stream } from "../../streams/stream.ts";
import { type FragmentList, Packager } from "./packager.ts";

const aac = aacTrack(2, makeAacConfig(2, 48_000, 2));
const other: Track = { ...aac, id: 5 };
const data: Track = { kind: "data", id: 3, codec: "json", config: new Uint8Array(0), codecString: "" };
const opus: Track = { ...aac, id: 4, codec: "opus" };

type Counted = Fragment & { reads: number };

function fragment(sequence: number, fields: Partial<Fragment> = {}): Counted {
  const packets: Packet[] = [0, 1, 2].map((index) => {
    const dts = sequence * 1_000_000 + index * 333_000;
    return { trackId: 2, dts, pts: dts, keyframe: true, data: new Uint8Array(100).fill(index) };
  });
  const made: Counted = {
    sequence,
    start: sequence * 1_000_000,
    duration: 1_000_000,
    discontinuity: false,
    wallClock: 1_795_361_000_000 + sequence * 1000,
    tracks: [aac],
    reads: 0,
    packets: async () => {
      made.reads++;
      return packets;
    },
    ...fields,
  };
  return made;
}

function streamOf(tracks: readonly Track[] = [aac], kind: Stream["kind"] = "live"): Stream {
  const unused = (): never => {
    throw new Error("HLS does not need this");
  };
  return {
    name: "real-name",
    kind,
    source: "push://",
    input: "Buffer",
    state: "ready",
    tracks,
    unixOffset: 0,
    firstTime: 0,
    lastTime: 0,
    packets: unused,
    chunks: unused,
    trackStats: () => undefined,
    fragments: unused,
    onChange: unused,
    closed: new Promise(() => {}),
  };
}

const listOf = (from: number, to: number, make: (sequence: number) => Fragment = (sequence) => fragment(sequence)): FragmentList => ({
  fragments: Array.from({ length: to - from }, (_, index) => make(from + index)),
  ended: false,
});
const lines = (text: string, mark: string): string[] => text.split("\n").filter((line) => line.includes(mark));

describe("the packager", () => {
  it("muxes a segment once, when it is first asked for, and shares the bytes", async () => {
    const packager = new Packager(streamOf(), 3);
    const first = fragment(0);
    const list: FragmentList = { fragments: [first, fragment(1)], ended: false };
    const selection = packager.select("2", list)!;
    const name = lines(packager.playlist(selection, list), ".ts")[0]!;
    expect(first.reads).toBe(0);
    const [one, two] = await Promise.all([packager.segment(selection, name, list), packager.segment(selection, name, list)]);
    expect(one).toBeInstanceOf(Uint8Array);
    expect(two).toBe(one);
    expect(await packager.segment(selection, name, list)).toBe(one);
    expect(first.reads).toBe(1);
  });

  it("keeps a bounded number of segments, and gives those that have left the ring as long as it has them", async () => {
    const packager = new Packager(streamOf(), 3);
    const all = listOf(0, 20);
    const selection = packager.select("2", all)!;
    const names: string[] = [];
    for (let at = 0; at < 20; at++) {
      const list = listOf(at, at + 1);
      const name = lines(packager.playlist(selection, list), ".ts")[0]!;
      names.push(name);
      await packager.segment(selection, name, list);
    }
    const late = listOf(100, 101);
    const kept = await Promise.all(names.map((name) => packager.segment(selection, name, late)));
    expect(kept.map((bytes) => bytes !== undefined)).toEqual(names.map((_, index) => index >= 20 - 3 - 4));
    packager.clear();
    expect(await packager.segment(selection, names[19]!, late)).toBeUndefined();
  });

  it("does not know segments of other runs, other names and fragments that leave while they are read", async () => {
    const packager = new Packager(streamOf(), 3);
    const list = listOf(0, 3);
    const selection = packager.select("2", list)!;
    const before = lines(
      packager.playlist(
        selection,
        listOf(0, 3, (sequence) => fragment(sequence, { wallClock: 5 })),
      ),
      ".ts",
    )[0]!;
    for (const name of [before, "0.ts", "x.ts", "99_1.ts", "-1_1.ts", "0x1_1.ts"])
      expect(await packager.segment(selection, name, list)).toBeUndefined();
    const packets = async (): Promise<never> => {
      throw new SluiceError("access.ended", "gone");
    };
    const gone: FragmentList = { fragments: [fragment(7, { packets })], ended: false };
    const name = lines(packager.playlist(selection, gone), ".ts")[0]!;
    expect(await packager.segment(selection, name, gone)).toBeUndefined();
  });

  it("counts discontinuities that slide out of the window", () => {
    const packager = new Packager(streamOf(), 3);
    const make = (sequence: number): Fragment => fragment(sequence, { discontinuity: [0, 2, 4, 5].includes(sequence) });
    const seen = [3, 4, 5, 6, 7, 8, 9].map((to) => {
      const list = listOf(Math.max(0, to - 6), to, make);
      const text = packager.playlist(packager.select("2", list)!, list);
      return [
        lines(text, "DISCONTINUITY-SEQUENCE")
          .map((line) => line.split(":")[1])
          .join(),
        text.split("#EXT-X-DISCONTINUITY\n").length - 1,
      ];
    });
    // Fragment 0 is no break; 2, 4 and 5 leave one after the other.
    expect(seen).toEqual([
      ["", 1],
      ["", 1],
      ["", 2],
      ["1", 2],
      ["1", 2],
      ["2", 1],
      ["3", 0],
    ]);
  });

  it("never lowers the target duration, and all versions agree while fragments vary within a second", () => {
    const packager = new Packager(streamOf(), 2);
    const durations = [2_000_000, 1_900_000, 2_090_000, 1_000_000, 4_500_000, 1_000_000, 1_000_000];
    const targets = durations.map((_, index) => {
      const list = listOf(index, index + 1, (sequence) => fragment(sequence, { duration: durations[sequence]! }));
      return Number(lines(packager.playlist(packager.select("2", list)!, list), "TARGETDURATION")[0]!.split(":")[1]);
    });
    expect(targets).toEqual([3, 3, 3, 3, 5, 5, 5]);
  });

  it("keeps a selection whose tracks are not there for a while", async () => {
    const packager = new Packager(streamOf([]), 3);
    const both = listOf(0, 1, (sequence) => fragment(sequence, { tracks: [data, aac] }));
    const without = listOf(1, 2, (sequence) => fragment(sequence, { tracks: [data] }));
    expect(packager.select("2", without)).toBeUndefined();
    const selection = packager.select("02", both);
    expect(selection).toEqual({ id: "2", tracks: [aac] });
    expect(packager.select("2", without)).toEqual(selection);
    expect(packager.select("7", without)).toBeUndefined();
    const [name = ""] = lines(packager.playlist(selection!, without), ".ts");
    // Tables and nothing else: a segment of it is still one.
    expect((await packager.segment(selection!, name, without))?.length).toBe(2 * 188);
  });

  it("selects tracks that there are, one of each kind", () => {
    const packager = new Packager(streamOf([aac, other, data, opus]), 3);
    const list = listOf(0, 1);
    expect(packager.select("2", list)?.tracks).toEqual([aac]);
    for (const id of ["9", "2_9", "2_5", "2_2", "3", "4", "0"]) expect(packager.select(id, list)).toBeUndefined();
  });

  it("selects tracks of kept fragments when the stream has ended and lists none", () => {
    expect(new Packager(streamOf([]), 3).select("2", listOf(0, 1))?.id).toBe("2");
  });

  it("says which codecs HLS takes when there is no track with one of them", async () => {
    const packager = new Packager(streamOf([opus, data]), 3);
    const list = listOf(0, 1, (sequence) => fragment(sequence, { tracks: [opus, data] }));
    await expect(packager.multivariant(list)).rejects.toThrow(/h264, hevc, aac, mp3/);
  });

  it("measures the bandwidth when nobody else has", async () => {
    const text = await new Packager(streamOf(), 3).multivariant(listOf(0, 5));
    expect(text).toContain('BANDWIDTH=2640,AVERAGE-BANDWIDTH=2640,CODECS="mp4a.40.2"\n2/index.m3u8\n');
  });

  it("lists a file as a whole, under names that stay when it is opened again", () => {
    const list = { ...listOf(0, 30), ended: true };
    const again = { ...listOf(0, 30, (sequence) => fragment(sequence, { wallClock: 77 + sequence })), ended: true };
    const texts = [list, again].map((each) => {
      const packager = new Packager(streamOf([aac], "vod"), 3);
      return packager.playlist(packager.select("2", each)!, each);
    });
    expect(lines(texts[0]!, ".ts").length).toBe(30);
    expect(texts[0]).toContain("#EXT-X-ENDLIST");
    expect(texts[1]).toBe(texts[0]);
  });
});
