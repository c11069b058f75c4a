import { GCProfiler } from "node:v8";
import { beforeEach, describe, expect, it } from "vitest";
import { allow } from "../../src/base/decision.ts";
import { defaultSessionSettings, type Identity, type Sessions } from "../../src/sessions/session.ts";
import { createSessions } from "../../src/sessions/sessions.ts";
import { FakeClock } from "../support/fake-clock.ts";

const viewer: Identity = { type: "viewer", stream: "live", address: "192.0.2.1", token: "t1", protocol: "FLV", url: "" };

/** What counters and history keep, and what a packet costs. */
describe("the history of 600 seconds", () => {
  let clock: FakeClock;
  let sessions: Sessions;
  beforeEach(() => {
    clock = new FakeClock();
    sessions = createSessions({ clock, log: { write: () => undefined }, settings: () => defaultSessionSettings });
  });

  it("has its size from the beginning: the newest 600 rows, each with what was sent in its time, however long a session lasts", async () => {
    const connection = await sessions.join(viewer, async () => allow());
    // 1,000 bytes a second until second 700, then 3,000.
    for (let second = 0; second < 1_400; second++) {
      connection.count(second < 700 ? 1_000 : 3_000, 0);
      await clock.advance(1_000);
    }
    const rows = sessions.totals({})?.rows ?? [];
    expect(rows.length).toBe(600);
    expect(new Set(rows.map(({ upbps, clients }) => `${clients} ${upbps}`))).toEqual(new Set(["1 3000"]));
    const older = sessions.totals({ start: -1_300 })?.rows ?? [];
    expect(older.length).toBeLessThanOrEqual(600);
    expect(older.every(({ upbps }) => upbps === 3_000)).toBe(true);
    // Counters of connection, session and stream say the same, and know what the history has forgotten.
    const all = 700 * 1_000 + 700 * 3_000;
    expect(sessions.counters("live")).toMatchObject({ up: all, views: 1 });
    expect(sessions.get(connection.sessionId)).toMatchObject({ up: all });
  });

  it("allocates nothing for a packet", async () => {
    const connection = await sessions.join(viewer, async () => allow());
    /** How often memory is collected while `what` is done two million times: once for every few megabytes. */
    const collections = (what: (at: number) => void): number => {
      const profiler = new GCProfiler();
      profiler.start();
      for (let at = 0; at < 2_000_000; at++) what(at);
      return profiler.stop()?.statistics.length ?? 0;
    };
    const kept: object[] = [{}];
    expect(collections((at) => (kept[0] = { at }))).toBeGreaterThan(5);
    collections(() => connection.count(1_316, 7));
    expect(collections(() => connection.count(1_316, 7))).toBeLessThanOrEqual(1);
  });
});
