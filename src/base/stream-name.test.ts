import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { baseName, streamName, wildcardOf } from "./stream-name.ts";

describe("streamName", () => {
  it.each([
    ["Live", "live"],
    ["li/ve!", "live"],
    ["live?tkn=1", "live"],
    ["Live+Ab C/é", "live+Ab C/é"],
    ["wild one", "wild+one"],
    ["a+b+c d", "a+b+c d"],
    ["a+b\nc\r", "a+bc"],
    ["", ""],
  ])("makes %j into %j", (raw, name) => {
    expect(streamName(raw)).toBe(name);
  });
  it("is stable, bounded and has no line breaks, whatever comes", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 300 }), (raw) => {
        const name = streamName(raw);
        expect(streamName(name)).toBe(name);
        expect(new TextEncoder().encode(name).length).toBeLessThanOrEqual(100);
        expect(name).not.toMatch(/[\n\r?]/);
      }),
    );
  });
  it("knows base and wildcard", () => {
    expect([baseName("live+a+b"), wildcardOf("live+a+b"), baseName("live"), wildcardOf("live")]).toEqual([
      "live",
      "a+b",
      "live",
      undefined,
    ]);
  });
});
