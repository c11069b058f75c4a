import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Ring } from "./ring.ts";

describe("Ring", () => {
  it("behaves as a list of which the front is cut off", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.array(fc.boolean(), { maxLength: 200 }), (capacity, pushes) => {
        const ring = new Ring<number>(capacity);
        const list: number[] = [];
        let first = 0;
        for (const push of pushes) {
          if (push) {
            expect(ring.push(list.length * 10)).toBe(list.length);
            list.push(list.length * 10);
          } else {
            expect(ring.drop()).toBe(first < list.length ? list[first++] : undefined);
          }
          expect([ring.first, ring.end, ring.length]).toEqual([first, list.length, list.length - first]);
          for (let at = -1; at <= list.length; at++) expect(ring.get(at)).toBe(at < first ? undefined : list[at]);
        }
      }),
    );
  });
});
