import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { GateBench } from "../../../test/support/gate-bench.ts";
import { allow, deny } from "../../base/decision.ts";

let bench: GateBench;
beforeEach(() => (bench = new GateBench()));
afterEach(() => bench.close());
const play = (stream: string, tkn: string) => bench.gate.play(bench.view(stream, { query: { tkn } }));

describe("viewers at the gate", () => {
  it("are refused with the limit's words, when to come back, and no question forgotten", async () => {
    bench.live();
    bench.rules = { one: { by: "stream", sessions: 1, retryAfter: "9s" } };
    bench.on("USER_NEW", allow());
    await play("live", "a");
    const words = "1 viewer at most on this stream; try again later (limit one)";
    for (let time = 0; time < 2; time++)
      await expect(play("live", "b")).rejects.toMatchObject({ code: "access.full", status: 503, retryAfterMs: 9_000, message: words });
    expect(bench.of("USER_NEW")).toHaveLength(3);
  });

  it("are sent to the fallback, once, and stay there", async () => {
    bench.live();
    bench.live("slate");
    bench.streams["slate"] = { source: "push://" };
    bench.rules = { one: { by: "server", sessions: 1, onReached: { fallback: "slate" } } };
    bench.on("USER_NEW", allow());
    const first = await play("live", "a");
    const second = await play("live", "b");
    expect([first, second].map(({ value, redirected, askedName }) => [value.name, redirected, askedName])).toEqual([
      ["live", false, "live"],
      ["slate", true, "live"],
    ]);
    const again = await play("live", "b");
    expect([again.value.name, again.sessionId]).toEqual(["slate", second.sessionId]);
    expect(bench.sessions.census().now.viewer).toBe(2);
    bench.sessions.stop(() => true, "away");
    expect((await play("live", "b")).value.name).toBe("live");
  });

  it("are refused when the fallback does not play, or has no place either", async () => {
    bench.live();
    bench.rules = { one: { by: "stream", streams: ["live"], sessions: 1, onReached: { fallback: "slate" } } };
    await play("live", "a");
    await expect(play("live", "b")).rejects.toMatchObject({ code: "access.full", message: expect.stringContaining("limit one") });
    bench.live("slate");
    bench.streams["slate"] = { source: "push://" };
    bench.rules = { ...bench.rules, two: { by: "server", sessions: 1, reason: "nothing left" } };
    await expect(play("live", "b")).rejects.toMatchObject({ code: "access.full", message: "nothing left" });
  });

  it("do not lose their place by a no of CONN_PLAY, and free it in 15 seconds", async () => {
    bench.live();
    bench.rules = { one: { by: "server", sessions: 1 } };
    bench.on("CONN_PLAY", deny("not this one"));
    await expect(play("live", "a")).rejects.toThrow("not this one");
    expect(bench.limits.states()).toMatchObject([{ used: 1 }]);
    await bench.clock.advance(15_000);
    expect(bench.limits.states()).toEqual([]);
  });
});

describe("publishers at the gate", () => {
  it("are refused while too much comes in, before anything of the stream exists, and ended when it is theirs", async () => {
    bench.rules = { sum: { by: "server", ingest: 1_000_000, reason: "too much comes in" } };
    const writer = await bench.gate.publish(bench.push("live"));
    for (let second = 0; second < 4; second++) {
      writer.count(0, 200_000);
      await bench.clock.advance(1_000);
    }
    expect(writer.signal.aborted).toBe(true);
    expect(bench.directory.get("live")).toBeUndefined();
    expect(bench.logged.filter((line) => line.includes("too much comes in"))).toEqual(["WARN A publisher is ended: too much comes in"]);
    await expect(bench.gate.publish(bench.push("live"))).rejects.toMatchObject({ code: "access.full", message: "too much comes in" });
    expect(bench.directory.get("live")).toBeUndefined();
  });
});
