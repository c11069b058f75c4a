import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { unwrapper } from "../../base/time.ts";
import { Timeline } from "./timeline.ts";

const s = 1_000_000;

function mapped(timeline: Timeline, packets: readonly (readonly [track: number, ms: number])[]): (number | undefined)[] {
  return packets.map(([track, ms]) => {
    const time = timeline.map(track, ms * 1000);
    return time === undefined ? undefined : time / 1000;
  });
}

describe("Timeline", () => {
  it("keeps the times of a publisher that starts near 0", () => {
    expect(
      mapped(new Timeline(), [
        [2, 0],
        [1, 23],
        [2, 23],
        [1, 63],
      ]),
    ).toEqual([0, 23, 23, 63]);
  });

  it("moves others to 0, and leaves out what lies before", () => {
    expect(
      mapped(new Timeline(), [
        [1, 90_000],
        [2, 89_990],
        [2, 90_011],
        [1, 90_040],
      ]),
    ).toEqual([0, undefined, 11, 40]);
  });

  it("nudges a packet that does not come after its forerunner", () => {
    expect(
      mapped(new Timeline(), [
        [1, 0],
        [1, 40],
        [1, 40],
        [1, 30],
        [1, 80],
      ]),
    ).toEqual([0, 40, 41, 42, 80]);
  });

  it("leaves a gap of a few seconds as it is", () => {
    const timeline = new Timeline();
    expect(
      mapped(timeline, [
        [1, 0],
        [2, 10],
        [1, 4_000],
        [2, 4_010],
      ]),
    ).toEqual([0, 10, 4_000, 4_010]);
    expect(timeline.jumps).toBe(0);
  });

  it.each([
    ["ahead", 900_000],
    ["back", 0],
    ["back by two seconds", 8_000],
  ])("closes up a jump %s, each track when its turn comes", (_name, to) => {
    const timeline = new Timeline();
    const start = mapped(
      timeline,
      Array.from({ length: 501 }, (_, i) => [1, i * 20] as const),
    );
    expect(start.at(-1)).toBe(10_000);
    const [sound, picture, stillOld, soundToo, pictureNext, soundNext] = mapped(timeline, [
      [2, 9_990],
      [1, to],
      [2, 10_010],
      [2, to + 10],
      [1, to + 20],
      [2, to + 30],
    ]);
    expect([sound, picture, stillOld]).toEqual([9_990, 10_020, 10_010]);
    expect([soundToo, pictureNext, soundNext]).toEqual([10_030, 10_040, 10_050]);
    expect(timeline.jumps).toBe(1);
  });

  it("closes up a track that starts or restarts far from the others", () => {
    expect(
      mapped(new Timeline(), [
        [1, 90_000],
        [2, 5],
        [1, 90_040],
        [2, 25],
      ]),
    ).toEqual([0, 20, 40, 40]);
    expect(
      mapped(new Timeline(), [
        [1, 90_000],
        [2, 89_000],
        [2, 5],
        [1, 90_040],
      ]),
    ).toEqual([0, undefined, 20, 40]);
  });

  it("goes on with a picture right after the last one, and leaves out sound that was there already", () => {
    const past = new Map([
      [1, 10_000_000],
      [2, 10_060_000],
    ]);
    const packets = [
      [1, 500],
      [2, 480],
      [2, 530],
      [2, 551],
      [1, 540],
    ] as const;
    const timeline = new Timeline(10_060_000, past);
    const times = packets.map(([track, ms]) => timeline.map(track, ms * 1000, track === 1));
    expect(times).toEqual([10_020_000, undefined, undefined, 10_071_000, 10_060_000]);
    // Pictures that are long behind are not filled up.
    expect(new Timeline(12_000_000, past).map(1, 0)).toBe(11_870_000);
    // A picture is moved rather than left out: what follows needs it.
    expect(
      mapped(
        new Timeline(10_060_000, past),
        [
          [2, 480],
          [1, 380],
        ].map(([a, b]) => [a!, b!] as const),
      ),
    ).toEqual([10_080, 10_001]);
  });

  it("continues after another publisher", () => {
    expect(
      mapped(new Timeline(50 * s), [
        [1, 700_000],
        [2, 700_005],
        [1, 700_040],
      ]),
    ).toEqual([50_020, 50_025, 50_060]);
  });

  it("goes on over the wrap of a 32-bit clock of milliseconds", () => {
    const unwrap = unwrapper(32);
    const timeline = new Timeline();
    const times = Array.from({ length: 10 }, (_, i) => timeline.map(1, unwrap((2 ** 32 - 200 + i * 40) % 2 ** 32) * 1000));
    expect(times).toEqual(Array.from({ length: 10 }, (_, i) => i * 40_000));
    expect(timeline.jumps).toBe(0);
  });

  it("gives rising times in each track whatever a publisher sends", () => {
    const packet = fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: -(2 ** 33), max: 2 ** 33 }));
    fc.assert(
      fc.property(fc.array(packet, { maxLength: 60 }), (packets) => {
        const timeline = new Timeline();
        const last = new Map<number, number>();
        let newest = 0;
        for (const [track, ms] of packets) {
          const time = timeline.map(track, ms * 1000);
          if (time === undefined) continue;
          expect(Number.isSafeInteger(time)).toBe(true);
          expect(time).toBeGreaterThan(last.get(track) ?? -1);
          expect(time).toBeLessThanOrEqual(newest + 5 * s);
          last.set(track, time);
          newest = Math.max(newest, time);
        }
      }),
    );
  });
});
