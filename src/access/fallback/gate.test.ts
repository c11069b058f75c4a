import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { settle } from "../../../test/support/fake-clock.ts";
import { GateBench } from "../../../test/support/gate-bench.ts";
import { tinyPacket, videoTrack } from "../../../test/support/tiny-format.ts";
import type { StreamWriter } from "../../streams/stream.ts";

const gone = { code: "CLEAN_REMOTE_CLOSE", text: "closed" } as const;
let bench: GateBench;
beforeEach(() => {
  bench = new GateBench();
  bench.streams["live"] = { source: "push://", fallback: { sources: ["slate"], minStable: 0 } };
  bench.streams["slate"] = { source: "push://" };
});
afterEach(async () => await bench.close());

async function feed(ms: number, ...writers: readonly StreamWriter[]): Promise<void> {
  for (let at = 0; at < ms; at += 40) {
    for (const writer of writers) writer.write(tinyPacket(1, at, at % 1000 === 0));
    await bench.clock.advance(40);
  }
}

function live(name: string): StreamWriter {
  const writer = bench.live(name);
  writer.describe([videoTrack()]);
  return writer;
}

describe("a viewer of a stream that goes offline", () => {
  it("keeps connection and session, is not asked about again, and the stream's end is told as always", async () => {
    for (const name of ["USER_NEW", "STREAM_BUFFER", "USER_END", "STREAM_UNLOAD", "DEFAULT_STREAM"] as const) {
      if (name === "USER_NEW") bench.on(name, true);
      else if (name === "STREAM_UNLOAD") bench.on(name, true);
      else if (name === "DEFAULT_STREAM") bench.on(name, { kind: "keep" });
      else bench.on(name, undefined);
    }
    const slate = live("slate");
    const first = live("live");
    await feed(6_080, slate, first);
    const admission = await bench.gate.play(bench.view("live"));
    expect(admission.redirected).toBe(false);
    await first.close(gone);
    await feed(1000, slate);
    expect(admission.signal.aborted).toBe(false);
    expect(bench.gate.programs.state("live")).toMatchObject({ shows: "slate", liveAgain: false });
    expect(bench.of("STREAM_BUFFER").map((line) => line.split("|").slice(1, 3).join(" "))).toContain("live EMPTY");
    // Who comes now gets the same programme, is told that it stands in for the stream, and nobody is asked what to show.
    const late = await bench.gate.play(bench.view("live", { query: { tkn: "late" } }));
    expect(late.value).toBe(admission.value);
    expect(late.redirected).toBe(true);
    expect(bench.of("DEFAULT_STREAM")).toEqual([]);
    const back = live("live");
    await feed(2000, slate, back);
    expect(bench.gate.programs.state("live")).toMatchObject({ shows: "live" });
    const later = await bench.gate.play(bench.view("live", { query: { tkn: "later" } }));
    expect(later.redirected).toBe(false);
    expect(bench.of("USER_NEW")).toHaveLength(3);
    expect(bench.of("USER_END")).toEqual([]);
    for (const one of [admission, late, later]) one[Symbol.dispose]();
  });

  it("is told what it may know, without a name, and gets the stream itself when it asks for it", async () => {
    bench.streams["live"] = { source: "push://", fallback: { sources: ["slate"], minStable: 0, switch: "offer" } };
    bench.on("PLAY_REWRITE", { kind: "rewrite", to: "live" });
    bench.on("USER_NEW", true);
    const slate = live("slate");
    const first = live("live");
    await feed(6_080, slate, first);
    const ask = (query: Record<string, string> = {}) => bench.gate.play(bench.view("token-of-live", { query: { tkn: "one", ...query } }));
    using admission = await ask();
    expect(admission.standIn?.()).toEqual({ shown: false, offlineSince: undefined, liveAgain: false, switch: "offer" });
    expect(admission.redirected).toBe(false);
    let told = 0;
    using listening = admission.onStandIn?.(() => told++);
    await first.close(gone);
    await feed(500, slate);
    expect(listening).toBeDefined();
    expect(told).toBe(1);
    expect(admission.redirected).toBe(true);
    const standIn = admission.standIn?.();
    expect(standIn).toMatchObject({ shown: true, shows: "stream", liveAgain: false, offlineSince: expect.any(Number) });
    expect(JSON.stringify(standIn)).not.toMatch(/slate|live"/);
    expect(admission.askedName).toBe("token-of-live");
    const back = live("live");
    await feed(3000, slate, back);
    expect(admission.standIn?.()).toEqual({ shown: true, shows: "stream", offlineSince: undefined, liveAgain: true, switch: "offer" });
    // The next request of its playlist stays where it is; asking for the stream itself does not.
    using stays = await ask();
    expect(stays.value).toBe(admission.value);
    using goes = await ask({ tolive: "1" });
    expect(goes.value).toBe(back.stream);
    expect(goes.sessionId).toBe(admission.sessionId);
    using then = await ask();
    expect(then.value).toBe(back.stream);
    expect(bench.of("USER_NEW")).toHaveLength(1);
  });

  it("is the rule of a wildcard stream, too, and counts under the stream's name", async () => {
    bench.on("USER_NEW", true);
    const slate = live("slate");
    await feed(2000, slate);
    using admission = await bench.gate.play(bench.view("live+a"));
    expect(admission.value.name).toBe("live+a");
    admission.count(1000, 0);
    expect(bench.sessions.counters("live+a")).toMatchObject({ viewers: 1, up: 1000 });
    expect(bench.sessions.counters("slate")).toBeUndefined();
  });

  it("who opens it while it is offline is shown the other one under its name", async () => {
    bench.on("USER_NEW", true);
    const slate = live("slate");
    await feed(2000, slate);
    const admission = await bench.gate.play(bench.view("live"));
    expect(admission.redirected).toBe(true);
    expect(admission.value.name).toBe("live");
    expect(bench.of("USER_NEW")[0]).toContain("USER_NEW|live|");
    admission[Symbol.dispose]();
    await slate.close(gone);
    await settle();
    bench.streams["other"] = { source: "push://", fallback: { sources: ["slate"] } };
    await expect(bench.gate.play(bench.view("other"))).rejects.toMatchObject({ code: "access.offline" });
  });
});
