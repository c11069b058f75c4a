import { array, assert, integer, property } from "fast-check";
import { describe, expect, it } from "vitest";
import { BitReader, BitWriter } from "./bits.ts";

describe("BitReader", () => {
  it("reads back what BitWriter wrote", () => {
    const field = integer({ min: 1, max: 32 }).chain((count) =>
      integer({ min: 0, max: 2 ** count - 1 }).map((value) => ({ count, value })),
    );
    assert(
      property(array(field), (list) => {
        const writer = new BitWriter();
        for (const { count, value } of list) writer.u(count, value);
        const reader = new BitReader(writer.take());
        for (const { count, value } of list) expect(reader.u(count)).toBe(value);
        expect(reader.remaining).toBeLessThan(8);
      }),
    );
  });

  it("reads Exp-Golomb codes as table 9-2 of ISO/IEC 14496-10 has them", () => {
    // 1, 010, 011, 00100, 00101
    const bytes = Uint8Array.of(0b10100110, 0b01000010, 0b10000000);
    const unsigned = new BitReader(bytes);
    expect([unsigned.ue(), unsigned.ue(), unsigned.ue(), unsigned.ue(), unsigned.ue()]).toEqual([0, 1, 2, 3, 4]);
    const signed = new BitReader(bytes);
    expect([signed.se(), signed.se(), signed.se(), signed.se(), signed.se()]).toEqual([0, 1, -1, 2, -2]);
  });

  it("refuses to read over the end and codes that never end", () => {
    const reader = new BitReader(Uint8Array.of(1), "H.264 SPS");
    reader.skip(5);
    expect(() => reader.u(4)).toThrow(/H.264 SPS: needs 4 bits at bit 5, 3 are left/);
    expect(() => new BitReader(new Uint8Array(10)).ue()).toThrow(expect.objectContaining({ code: "input.invalid" }));
  });
});
