import { array, assert, constantFrom, property, uint8Array } from "fast-check";
import { describe, expect, it } from "vitest";
import { concat } from "../base/bytes.ts";
import { annexBUnits, checkLengthPrefixed, lengthPrefixedUnits, toAnnexB, toLengthPrefixed, unescapeNal } from "./nal.ts";

/** Units as encoders make them: no start code inside, no zero at the end. */
const unit = array(constantFrom(0, 1, 2, 3, 0x65), { minLength: 1, maxLength: 30 }).map((bytes) => {
  const out: number[] = [];
  for (const byte of bytes) {
    if (byte <= 3 && out.at(-1) === 0 && out.at(-2) === 0) out.push(3);
    out.push(byte);
  }
  return Uint8Array.of(...out, 0x80);
});

describe("NAL units", () => {
  it("come back from Annex B", () => {
    assert(
      property(array(unit), (units) => {
        expect(annexBUnits(toAnnexB(units))).toEqual(units);
      }),
    );
  });

  it("come back from the length-prefixed form", () => {
    assert(
      property(array(unit), (units) => {
        expect(lengthPrefixedUnits(toLengthPrefixed(units))).toEqual(units);
      }),
    );
  });

  it("are found behind start codes of three bytes and before zeros", () => {
    expect(annexBUnits(Uint8Array.of(0, 0, 0, 1, 9, 0xf0, 0, 0, 1, 0x65, 1, 0, 0, 0, 0, 1, 0, 0, 1))).toEqual([
      Uint8Array.of(9, 0xf0),
      Uint8Array.of(0x65, 1),
    ]);
    expect(annexBUnits(Uint8Array.of(1, 2, 3))).toEqual([]);
  });

  it("are refused when a length points over the end", () => {
    const bytes = concat([toLengthPrefixed([Uint8Array.of(0x65, 1)]), Uint8Array.of(0, 0, 0, 9, 1)]);
    expect(() => lengthPrefixedUnits(bytes)).toThrow(/at byte 10 of 11: needs 9 bytes, 1 are left/);
    expect(() => checkLengthPrefixed(bytes)).toThrow(/at byte 10 of 11: needs 9 bytes, 1 are left/);
    expect(() => checkLengthPrefixed(bytes.subarray(0, 8))).toThrow(expect.objectContaining({ code: "input.invalid" }));
  });

  it("are cut the same way with and without making views, whatever bytes come", () => {
    assert(
      property(uint8Array({ maxLength: 40 }), (bytes) => {
        const attempt = (run: () => unknown): boolean => {
          try {
            run();
            return true;
          } catch {
            return false;
          }
        };
        expect(attempt(() => checkLengthPrefixed(bytes))).toBe(attempt(() => lengthPrefixedUnits(bytes)));
      }),
    );
  });

  it("lose their emulation prevention bytes", () => {
    expect(unescapeNal(Uint8Array.of(0x67, 0, 0, 3, 1, 0, 0, 3, 0, 0, 3))).toEqual(Uint8Array.of(0x67, 0, 0, 1, 0, 0, 0, 0));
  });
});
