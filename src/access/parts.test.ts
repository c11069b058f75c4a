import { describe, expect, it } from "vitest";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { emptyFile, GateBench } from "../../test/support/gate-bench.ts";
import { createDirectory } from "../streams/directory.ts";
import { Route, Routes } from "./routes.ts";
import { parsePushSource, publicSource, samePassword } from "./source.ts";
import { Trace } from "./trace.ts";
import { climbs, expandVariables } from "./variables.ts";
import { addressFits } from "./whitelist.ts";

describe("variables", () => {
  const now = new Date(2026, 0, 4, 5, 6, 7).getTime();
  it.each([
    ["$stream|$basename|$wildcard|$pluswildcard", "live+a b|live|a b|+a b"],
    ["$datetime", "2026.01.04.05.06.07"],
    ["$year-$month-$day $hour:$minute:$second", "2026-01-04 05:06:07"],
    ["$wday $yday $week", "7 004 01"],
    [`$${"{basename}"}_x $basename_x $nothing $${"{nothing}"} 5$`, `live_x live_x $nothing $${"{nothing}"} 5$`],
    ["$source", "push://"],
  ])("%s is %s", (text, expected) => {
    expect(expandVariables(text, { stream: "live+a b", now, source: "push://" })).toBe(expected);
  });

  it("are not looked for in what a client sent", () => {
    expect(expandVariables("$wildcard", { stream: "live+$source", now, source: "push://@secret" })).toBe("$source");
  });

  it("knows names that climb out of a folder", () => {
    expect(["a+..", "a+x/../y", "a+..\\x", "a+\0"].map(climbs)).toEqual([true, true, true, true]);
    expect(["a+b", "a+b..c", "a..b"].map(climbs)).toEqual([false, false, false]);
  });
});

describe("push sources", () => {
  it("have an address and a password", () => {
    expect(parsePushSource("push://")).toEqual({ from: "", password: "", internal: false, keysOnly: false });
    expect(parsePushSource("push://10.0.0.0/8@p@w")).toEqual({ from: "10.0.0.0/8", password: "p@w", internal: false, keysOnly: false });
    expect(parsePushSource("push://host/")).toMatchObject({ from: "host" });
    expect(parsePushSource("push://INTERNAL_ONLY:x")).toMatchObject({ internal: true });
    expect(parsePushSource("push://STREAM_KEY_ONLY:STREAM_KEY_ONLY")).toMatchObject({ internal: false, keysOnly: true });
    expect(parsePushSource("/file.mp4")).toBeUndefined();
    expect([publicSource("push://10.0.0.1@pw"), publicSource("/file.mp4")]).toEqual(["push://10.0.0.1", "/file.mp4"]);
  });

  it("compare passwords", () => {
    expect(samePassword("pw", "pw")).toBe(true);
    for (const wrong of ["", "p", "pww", "pwpw", "PW"]) expect(samePassword(wrong, "pw")).toBe(false);
  });

  it("take addresses, networks and host names", async () => {
    const lookup = async (host: string): Promise<readonly string[]> => (host === "h" ? ["192.0.2.1"] : Promise.reject(new Error("none")));
    const fits = (rule: string, address: string): Promise<boolean> => addressFits(rule, address, lookup);
    expect(await Promise.all([fits("", "x"), fits("10.0.0.0/8", "10.1.1.1"), fits("h", "::ffff:192.0.2.1")])).toEqual([true, true, true]);
    expect(await Promise.all([fits("10.0.0.1", "10.0.0.2"), fits("h", "192.0.2.2"), fits("g", "192.0.2.1")])).toEqual([
      false,
      false,
      false,
    ]);
  });
});

describe("routes", () => {
  it("are bounded for each session, and do not mix up tokens and names", () => {
    const clock = new FakeClock();
    const directory = createDirectory({ clock, log: { write: () => undefined }, flushMs: () => 0 });
    const stream = directory.open("vod", emptyFile(), "file");
    let end: (session: { id: string }) => void = () => undefined;
    const routes = new Routes({
      onEnd: (run) => {
        end = run as typeof end;
        return { [Symbol.dispose]: () => undefined };
      },
    });
    expect(routes.key("a", "1.1.1.1", "b c")).not.toBe(routes.key("c a", "1.1.1.1", "b"));
    for (let at = 0; at < 100; at++) routes.keep(`key ${at}`, "s1", new Route({ stream, redirected: true }));
    expect(routes.size).toBe(32);
    end({ id: "s1" });
    expect(routes.size).toBe(0);
  });
});

describe("a refusal", () => {
  it("can be explained step by step, and the steps are bounded", async () => {
    const bench = new GateBench();
    bench.on("DEFAULT_STREAM", "");
    await expect(bench.gate.play(bench.view("t0ken-123"))).rejects.toThrow();
    const line = bench.logged.find((text) => text.startsWith("MEDIUM")) ?? "";
    expect(line).toContain("DEFAULT_STREAM (0 ms): function #1 says no");
    expect(line).not.toContain("t0ken-123");
    await bench.close();
    const trace = new Trace(new FakeClock());
    for (let at = 0; at < 100; at++) trace.add("step", "text");
    expect(trace.steps).toHaveLength(32);
  });
});
