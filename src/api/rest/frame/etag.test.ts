import { describe, expect, it } from "vitest";
import { entityTag, isKnown, isMatch } from "./etag.ts";

describe("entity tags", () => {
  it("differ for each answer, and their first half for what is guarded alone", () => {
    const [one, viewers, changed] = [entityTag("a, 1 viewer", "a"), entityTag("a, 2 viewers", "a"), entityTag("b, 2 viewers", "b")];
    expect(one).toMatch(/^"[\w-]{16}\.[\w-]{16}"$/);
    expect(new Set([one, viewers, changed]).size).toBe(3);
    expect([isKnown(one, one), isKnown(one, viewers), isKnown(`"x", W/${one}`, one), isKnown("*", one), isKnown(undefined, one)]).toEqual([
      true,
      false,
      true,
      true,
      false,
    ]);
    expect([isMatch(one, one), isMatch(one, viewers), isMatch(viewers, changed), isMatch("*", one)]).toEqual([true, true, false, true]);
    expect([isMatch("*", undefined), isMatch(one, undefined)]).toEqual([false, false]);
  });

  it("take no nonsense for a match", () => {
    const tag = entityTag("a");
    for (const header of ["", '""', '"', tag.slice(1, -1), '"."', "null"])
      expect([isMatch(header, tag), isKnown(header, tag)], header).toEqual([false, false]);
  });
});
