import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { durationMs, unwrapper } from "./time.ts";

describe("durationMs", () => {
  it("reads numbers and units", () => {
    expect([durationMs(250), durationMs("250ms"), durationMs("1.5s"), durationMs("5m"), durationMs("2h"), durationMs("1d")]).toEqual([
      250, 250, 1500, 300_000, 7_200_000, 86_400_000,
    ]);
  });
  it("shows the accepted forms when it cannot read", () => {
    expect(() => durationMs("5 minutes" as "5m")).toThrow(/"250ms", "30s", "5m"/);
    expect(() => durationMs(-1)).toThrow(RangeError);
  });
});

describe("unwrapper", () => {
  it("continues over the wrap and back", () => {
    const unwrap = unwrapper(32);
    expect([unwrap(2 ** 32 - 10), unwrap(5), unwrap(2 ** 32 - 1), unwrap(20)]).toEqual([
      2 ** 32 - 10,
      2 ** 32 + 5,
      2 ** 32 - 1,
      2 ** 32 + 20,
    ]);
  });
  it("gives back any sequence whose steps are less than half a turn", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(8, 16, 32, 33),
        fc.array(fc.double({ min: -0.49, max: 0.49, noNaN: true }), { minLength: 1, maxLength: 50 }),
        (bits, steps) => {
          const turn = 2 ** bits;
          const unwrap = unwrapper(bits);
          let value = turn * 4;
          const offset = unwrap(value % turn) - value;
          for (const step of steps) {
            value += Math.trunc(step * turn);
            expect(unwrap(((value % turn) + turn) % turn) - value).toBe(offset);
          }
        },
      ),
    );
  });
});
