import { describe, expect, it } from "vitest";
import { streamFilter } from "./filter.ts";

const tags: Readonly<Record<string, readonly string[]>> = { live: ["vip"], "live+a": ["free"] };
const takes = (entries: readonly string[], stream: string): boolean => streamFilter(entries, (name) => tags[name] ?? [])(stream);

describe("stream filter", () => {
  it.each<[entries: string[], stream: string, taken: boolean]>([
    [[], "live", true],
    [["live"], "live", true],
    [["live"], "live+a", true],
    [["live"], "live a", true],
    [["live"], "lively", false],
    [["live+a"], "live+a", true],
    [["live+a"], "live", false],
    [["live+a"], "live+ab", false],
    [["live+"], "live+a", true],
    [["live+"], "live", false],
    [["#vip"], "live", true],
    [["#vip"], "live+a", false],
    [["li*"], "live", true],
    [["*+a"], "live+a", true],
    [["l*e"], "live", true],
    [["aba*aba"], "aba", false],
    [["*"], "anything", true],
    [["!live"], "live", false],
    [["!live"], "live+a", false],
    [["!live"], "radio", true],
    [["!live", "!#vip"], "radio", true],
    [["live", "!live+a"], "live+b", true],
    [["live", "!live+a"], "live+a", false],
    [["!live+a", "live"], "live+a", true],
    [["radio", "!live"], "tv", false],
    [["live"], "", true],
  ])("%j takes %s: %s", (entries, stream, taken) => {
    expect(takes(entries, stream)).toBe(taken);
  });

  it("asks for tags at each call", () => {
    const now: string[] = [];
    const filter = streamFilter(["#vip"], () => now);
    expect(filter("live")).toBe(false);
    now.push("vip");
    expect(filter("live")).toBe(true);
  });
});
