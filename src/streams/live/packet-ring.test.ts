import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { tinyPacket } from "../../../test/support/tiny-format.ts";
import { PacketRing } from "./packet-ring.ts";

function filled(bounds: { maxBytes: number; bufferMs: number }, packets: readonly { key: boolean; size: number }[]): PacketRing {
  const ring = new PacketRing({ maxBytes: bounds.maxBytes, bufferMicros: bounds.bufferMs * 1000 });
  for (const [i, { key, size }] of packets.entries()) {
    ring.push(tinyPacket(1, i * 40, key, size), key);
    ring.trim(ring.end);
  }
  return ring;
}

const gops = (count: number, size = 100): { key: boolean; size: number }[] =>
  Array.from({ length: count * 25 }, (_, i) => ({ key: i % 25 === 0, size }));

describe("PacketRing", () => {
  it("keeps whole groups for at least the time it is told", () => {
    const ring = filled({ maxBytes: 1e9, bufferMs: 3_000 }, gops(20));
    expect(ring.first % 25).toBe(0);
    expect(ring.newestTime - ring.oldestTime).toBeGreaterThanOrEqual(3_000_000);
    expect(ring.newestTime - ring.oldestTime).toBeLessThan(4_000_000);
    expect([ring.oldestGroup, ring.newestGroup]).toEqual([ring.first, 19 * 25]);
  });

  it("drops groups when bytes are over the bound, but not the newest", () => {
    const ring = filled({ maxBytes: 6_000, bufferMs: 60_000 }, gops(20));
    expect(ring.bytes).toBeLessThanOrEqual(6_000);
    expect(ring.first).toBe(18 * 25);
    const crowded = filled({ maxBytes: 2_000, bufferMs: 60_000 }, gops(20));
    expect(crowded.first).toBe(19 * 25);
  });

  it("is bounded by bytes even if no keyframe ever comes again", () => {
    const ring = filled({ maxBytes: 1_000, bufferMs: 1_000 }, [
      { key: true, size: 100 },
      ...Array.from({ length: 500 }, () => ({ key: false, size: 100 })),
    ]);
    expect(ring.bytes).toBeLessThanOrEqual(2_000);
    expect(ring.newestGroup).toBe(-1);
  });

  it("holds exactly the packets between first and end, whatever comes", () => {
    const packet = fc.record({ key: fc.boolean(), size: fc.integer({ min: 4, max: 400 }) });
    fc.assert(
      fc.property(fc.array(packet, { maxLength: 120 }), (packets) => {
        const ring = filled({ maxBytes: 3_000, bufferMs: 1_000 }, packets);
        let bytes = 0;
        for (let at = ring.first; at < ring.end; at++) {
          expect(ring.get(at)?.dts).toBe(at * 40_000);
          expect(ring.isGroup(at)).toBe(packets[at]?.key);
          bytes += ring.get(at)?.data.length ?? 0;
        }
        expect(ring.bytes).toBe(bytes);
        expect(ring.bytes).toBeLessThanOrEqual(6_000);
        expect(ring.get(ring.first - 1)).toBeUndefined();
        const newest = packets.findLastIndex((each) => each.key);
        expect(ring.newestGroup).toBe(newest >= ring.first ? newest : -1);
      }),
    );
  });
});
