import { describe, expect, it } from "vitest";
import { AddedLimits } from "../access/limits/added-limits.ts";
import type { LimitRule } from "../access/limits/limit.ts";
import { readLimit } from "../config/limit-rule.ts";
import type { PolicyContext } from "./policy.ts";
import { policyOf } from "./registry.ts";

/** The rules that policies of JSON put in force. */
async function rulesOf(...entries: ({ use: string } & Record<string, unknown>)[]) {
  const configured: Record<string, LimitRule> = {};
  const limits = new AddedLimits(() => configured);
  const context = { limits } as unknown as PolicyContext;
  const running: Disposable[] = [];
  for (const entry of entries) running.push((await policyOf(entry)?.start(context)) as Disposable);
  return { rules: () => limits.rules(), running, configured };
}

describe("viewerLimit and bandwidthLimit", () => {
  it("are limits of the server, each stream for itself or all of them together", async () => {
    const { rules, running } = await rulesOf(
      { use: "viewerLimit", viewers: 2, streams: ["live"] },
      { use: "bandwidthLimit", egress: "2.5M", safe: 0.8, reason: "the line is full", retryAfter: "30s" },
      { use: "viewerLimit", name: "house", viewers: 5, by: "address", prefix: { ipv6: 56 }, onReached: "end-oldest" },
      { use: "bandwidthLimit", name: "each", egress: 900_000, by: "stream", onReached: { fallback: "slate" } },
    );
    expect(rules()).toEqual({
      viewerLimit: { by: "stream", sessions: 2, streams: ["live"], retryAfter: "10s" },
      bandwidthLimit: { by: "server", egress: 2_500_000, safe: 0.8, reason: "the line is full", retryAfter: "30s" },
      house: { by: "address", sessions: 5, prefix: { ipv6: 56 }, onReached: "end-oldest", retryAfter: "10s" },
      each: { by: "stream", egress: 900_000, onReached: { fallback: "slate" }, retryAfter: "10s" },
    });
    // What the policies make passes the check of what a person declares.
    for (const [name, rule] of Object.entries(rules())) expect(readLimit(name, rule, "here")).toMatchObject(rule);
    running[0]?.[Symbol.dispose]();
    expect(Object.keys(rules())).toEqual(["bandwidthLimit", "house", "each"]);
  });

  it("all hold when two have no name; the name is free again when the first has gone; one of the configuration counts in its place", async () => {
    const { rules, running, configured } = await rulesOf(
      { use: "viewerLimit", viewers: 2, streams: ["a"] },
      { use: "viewerLimit", viewers: 3, streams: ["b"] },
    );
    const sizes = () => Object.fromEntries(Object.entries(rules()).map(([name, { sessions }]) => [name, sessions]));
    expect(sizes()).toEqual({ viewerLimit: 2, "viewerLimit-2": 3 });
    expect(rules()).toBe(rules());
    running[0]?.[Symbol.dispose]();
    expect(sizes()).toEqual({ viewerLimit: 3 });
    Object.assign(configured, { viewerLimit: { by: "server", sessions: 9 } });
    running[1]?.[Symbol.dispose]();
    expect(sizes()).toEqual({ viewerLimit: 9 });
  });

  it.each([
    [{ use: "viewerLimit" }, "viewerLimit.viewers must be a whole number from 1 on"],
    [{ use: "viewerLimit", viewers: 0 }, "viewerLimit.viewers must be a whole number from 1 on"],
    [{ use: "viewerLimit", viewers: 1.5 }, "viewerLimit.viewers must be a whole number from 1 on"],
    [{ use: "viewerLimit", viewers: 1, by: "device" }, "viewerLimit.by must be one of server, stream, user, token, address"],
    [{ use: "viewerLimit", viewers: 1, prefix: { ipv4: 24 } }, 'viewerLimit.prefix must be left out unless `by` is "address"'],
    [
      { use: "viewerLimit", viewers: 1, by: "address", prefix: { ipv4: 33 } },
      "viewerLimit.prefix.ipv4 must be a number of bits from 0 to 32",
    ],
    [{ use: "viewerLimit", viewers: 1, name: "a/b" }, "viewerLimit.name must be 1 to 64 letters"],
    [{ use: "viewerLimit", viewers: 1, name: "__proto__" }, "viewerLimit.name must be 1 to 64 letters"],
    [{ use: "viewerLimit", viewers: 1, streams: [] }, "viewerLimit.streams must be a list of 1 to 100 stream names"],
    [{ use: "viewerLimit", viewers: 1, reason: "two\nlines" }, "viewerLimit.reason must be a text of 1 to 500 characters"],
    [{ use: "viewerLimit", viewers: 1, onReached: "wait" }, 'viewerLimit.onReached must be "refuse", "end-oldest"'],
    [{ use: "viewerLimit", viewers: 1, retryAfter: "soon" }, "viewerLimit.retryAfter must be milliseconds"],
    [{ use: "viewerLimit", viewers: 1, egress: 5 }, 'viewerLimit has no option "egress"'],
    [{ use: "bandwidthLimit" }, "bandwidthLimit.egress must be bits per second"],
    [{ use: "bandwidthLimit", egress: "fast" }, "bandwidthLimit.egress must be bits per second"],
    [{ use: "bandwidthLimit", egress: "0M" }, "bandwidthLimit.egress must be bits per second"],
    [{ use: "bandwidthLimit", egress: 0 }, "bandwidthLimit.egress must be bits per second"],
    [{ use: "bandwidthLimit", egress: "2000000G" }, "bandwidthLimit.egress must be bits per second"],
    [{ use: "bandwidthLimit", egress: "2M", safe: 80 }, "bandwidthLimit.safe must be a number from 0 to 1"],
    [{ use: "bandwidthLimit", egress: "2M", by: "user" }, 'bandwidthLimit.by must be "server" or "stream"'],
  ])("%j is refused with the option's name", (entry, words) => {
    expect(() => policyOf(entry)).toThrow(words);
  });
});
