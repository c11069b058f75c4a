import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeClock } from "../../../test/support/fake-clock.ts";
import { type Allow, allow, deny, rewrite } from "../../base/decision.ts";
import type { Payload } from "../../triggers/table.ts";
import { createMistControl, type MistControl } from "./control.ts";
import type { MistClientRow } from "./shapes.ts";

const row = (sessid: string, stream: string, protocol: string, upbps = 0): MistClientRow => ({
  host: "192.0.2.1",
  stream,
  protocol,
  conntime: 7,
  down: 0,
  up: 0,
  downbps: 0,
  upbps,
  sessid,
});
const viewer = (sessionId: string, more: Partial<Payload<"USER_NEW">> = {}): Payload<"USER_NEW"> => ({
  stream: "live",
  host: "192.0.2.1",
  token: sessionId,
  protocol: "HLS",
  url: "http://h/hls/live/index.m3u8",
  sessionId,
  asked: "live",
  recheck: false,
  query: {},
  headers: {},
  cookies: {},
  ...more,
});

let clock: FakeClock;
let rows: MistClientRow[];
let stopped: string[];
let invalidated: string[][];
let lines: string[];
let down: boolean;
let control: MistControl;

beforeEach(() => {
  clock = new FakeClock();
  [rows, stopped, invalidated, lines, down] = [[], [], [], [], false];
  const unless = async <T>(value: T): Promise<T> => {
    if (down) throw new Error("no connection");
    return value;
  };
  control = createMistControl({
    client: {
      clients: () => unless(rows),
      activeStreams: () => unless({ live: { status: "Online" }, old: { status: "Offline" } }),
      invalidateSessions: async (streams) => void invalidated.push(await unless([streams].flat())),
      stopSessid: async (ids) => void stopped.push(...(await unless([ids].flat()))),
    },
    clock,
    log: { write: (_kind, message) => void lines.push(message) },
  });
});
afterEach(() => control[Symbol.dispose]());

const admit = (payload: Payload<"USER_NEW">, outcome: Allow | ReturnType<typeof deny> = allow()): string | undefined =>
  control.decided("USER_NEW", payload, outcome);

describe("what a MistServer plays", () => {
  it("is known by its API, viewers apart from publishers and outputs", async () => {
    rows = [row("a", "live", "HLS", 1000), row("b", "live", "INPUT:RTMP"), row("c", "live", "OUTPUT:TSSRT"), row("d", "old", "FLV", 5)];
    await control.look();
    admit(viewer("a", { token: "t1" }));
    expect(control.liveStreams()).toEqual(["live"]);
    expect(control.viewers("live")).toEqual([
      { sessionId: "a", stream: "live", host: "192.0.2.1", token: "t1", protocol: "HLS", seconds: 7, egress: 8000 },
    ]);
    expect([control.viewers().length, control.egress(), control.publishing("live"), control.publishing("old")]).toEqual([
      2,
      8040,
      true,
      false,
    ]);
  });

  it("is not guessed when it is not known", async () => {
    expect(() => control.publishing("live")).toThrow(/not known now: it was not looked at yet/);
    await control.look();
    expect(control.publishing("live")).toBe(false);
    down = true;
    await clock.advance(11_000);
    expect(() => control.publishing("live")).toThrow(/not known now: no connection/);
    expect(admit(viewer("a"), allow({ limits: { sessions: 1 } }))).toMatch(/not known now/);
    down = false;
    await clock.advance(1000);
    expect(control.publishing("live")).toBe(false);
  });

  it("cannot be kept by it", () => {
    expect(() => control.keepViewers("live", { sources: ["slate"] })).toThrow("fallback_stream");
  });
});

describe("what a MistServer does not keep", () => {
  it("is kept here: tags, by which viewers and publishers are ended or asked again", async () => {
    rows = [row("a", "live", "HLS"), row("p", "studio", "INPUT:RTMP"), row("q", "other", "INPUT:RTMP")];
    await control.look();
    admit(viewer("a"), allow({ tags: ["t"] }));
    admit(viewer("b", { stream: "vod" }), allow({ tags: ["t", "u"] }));
    control.decided("PUSH_REWRITE", {} as never, rewrite("studio", { tags: ["t"] }));
    control.decided("PUSH_REWRITE", {} as never, rewrite("other", { tags: ["t"] }));
    control.decided("PUSH_REWRITE", {} as never, rewrite("other"));
    expect(control.stopTagged("t", "over")).toBe(3);
    expect(await control.recheckTagged("t")).toBe(2);
    control.decided("USER_END", { sessionId: "a" } as never, undefined);
    admit(viewer("b", { stream: "vod" }), deny("no more"));
    expect(control.stopTagged("u", "over")).toBe(0);
    expect([stopped, invalidated]).toEqual([["a", "b", "p"], [["live", "vod"]]]);
  });

  it("is kept here: the end of a yes, for which the stream is asked about again, and not more often than that", async () => {
    admit(viewer("a"), allow({ ttl: "60s" }));
    admit(viewer("b"), allow({ expiresAt: clock.now() + 20_000 }));
    admit(viewer("c"), allow({ recheckEvery: 1 }));
    admit(viewer("d", { stream: "vod" }), allow());
    await clock.advance(4999);
    expect(invalidated).toEqual([]);
    await clock.advance(1);
    expect(invalidated).toEqual([["live"]]);
    down = true;
    admit(viewer("b"), allow({ expiresAt: clock.now() + 15_000 }));
    await clock.advance(15_000);
    expect(lines.join()).toContain("watch on: no connection");
    down = false;
    await clock.advance(5000);
    expect(invalidated).toEqual([["live"], ["live"]]);
  });

  it("is kept here: how many sessions a viewer has", async () => {
    await control.look();
    const two = { user: "ann", limits: { sessions: 2, reason: "two screens" } };
    expect(admit(viewer("a"), allow(two))).toBeUndefined();
    expect(admit(viewer("b"), allow(two))).toBeUndefined();
    expect(admit(viewer("c"), allow(two))).toBe("two screens");
    // Who is asked about again is no newcomer.
    expect(admit(viewer("b"), allow(two))).toBeUndefined();
    expect(admit(viewer("c"), allow({ ...two, limits: { sessions: 2, onReached: "end-oldest" } }))).toBeUndefined();
    await clock.advance(0);
    expect(stopped).toEqual(["a"]);
    // One whose end was never told, and that the MistServer does not have any more, takes no place.
    rows = [row("c", "live", "HLS")];
    await clock.advance(21_000);
    expect(admit(viewer("d"), allow(two))).toBeUndefined();
    expect(admit(viewer("e"), allow(two))).toBe("two screens");
    expect(admit(viewer("e", { stream: "vod" }), allow({ ...two, limits: { sessions: 2, per: "stream" } }))).toBeUndefined();
  });

  it.each([
    ["token", { token: "t" }, { token: "t2" }],
    ["address", { token: "" }, { token: "", host: "192.0.2.9" }],
  ] as const)("counts by the %s where no user is named", async (_by, same, other) => {
    await control.look();
    const one = allow({ limits: { sessions: 1 } });
    expect(admit(viewer("a", same), one)).toBeUndefined();
    expect(admit(viewer("b", same), one)).toBe("only 1 session at a time; end another one first");
    expect(admit(viewer("c", other), one)).toBeUndefined();
  });
});
