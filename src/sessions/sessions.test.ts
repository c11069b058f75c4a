import { beforeEach, describe, expect, it, vi } from "vitest";
import { FakeClock, settle } from "../../test/support/fake-clock.ts";
import { allow, deny, type Verdict } from "../base/decision.ts";
import { type Ask, defaultSessionSettings, type Identity, type SessionConnection, type SessionEnd, type Sessions } from "./session.ts";
import { createSessions } from "./sessions.ts";

const viewer = (part: Partial<Identity> = {}): Identity => ({
  type: "viewer",
  stream: "live",
  address: "127.0.0.1",
  token: "t1",
  protocol: "HLS",
  url: "http://h/hls/live/index.m3u8?tkn=t1",
  ...part,
});
const publisher = (part: Partial<Identity> = {}): Identity => viewer({ type: "input", protocol: "INPUT:RTMP", token: "7", ...part });

let clock: FakeClock;
let sessions: Sessions;
let ends: SessionEnd[];
let idle: string[];
let asked: [id: string, first: boolean][];
let answer: () => Verdict | Promise<Verdict>;
const ask: Ask = async (id, first) => {
  asked.push([id, first]);
  return answer();
};
const reasonOf = (connection: SessionConnection): unknown => {
  const { aborted, reason } = connection.signal;
  return aborted ? [reason.code, reason.message] : false;
};

beforeEach(() => {
  clock = new FakeClock();
  sessions = createSessions({ clock, log: { write: () => undefined }, settings: () => defaultSessionSettings, mostRefusals: 100 });
  ends = [];
  idle = [];
  asked = [];
  answer = allow;
  sessions.onEnd((end) => ends.push(end));
  sessions.onStreamIdle((stream) => idle.push(stream));
});

describe("asking", () => {
  it("asks once for 200 connections that come at the same time, and lets none in before the answer", async () => {
    const gate = Promise.withResolvers<Verdict>();
    answer = () => gate.promise;
    let joined = 0;
    const all = Array.from({ length: 200 }, async (_, at) => {
      const connection = await sessions.join(viewer({ protocol: at % 2 ? "HLS" : "FLV" }), ask);
      joined++;
      return connection;
    });
    await settle();
    expect([joined, asked.length]).toEqual([0, 1]);
    gate.resolve(allow());
    const ids = new Set((await Promise.all(all)).map((connection) => connection.sessionId));
    expect([joined, asked.length, ids.size]).toEqual([200, 1, 1]);
    expect(asked[0]?.[1]).toBe(true);
  });

  it("asks each of 200 different viewers", async () => {
    await Promise.all(Array.from({ length: 200 }, (_, at) => sessions.join(viewer({ token: `t${at}` }), ask)));
    expect(asked.length).toBe(200);
    expect(sessions.counters("live")?.viewers).toBe(200);
  });

  it("does not ask about publishers", async () => {
    answer = () => deny("never");
    expect((await sessions.join(publisher(), ask)).sessionId).toMatch(/^I/);
    expect(asked).toEqual([]);
  });

  it("refuses all who waited, and for 600 seconds everybody of the same identity, without asking again", async () => {
    const gate = Promise.withResolvers<Verdict>();
    answer = () => gate.promise;
    const all = [sessions.join(viewer(), ask), sessions.join(viewer(), ask)];
    gate.resolve(deny("please subscribe first"));
    for (const join of all) await expect(join).rejects.toMatchObject({ code: "access.denied", message: "please subscribe first" });
    answer = allow;
    await clock.advance(599_000);
    await expect(sessions.join(viewer({ protocol: "FLV" }), ask)).rejects.toMatchObject({ message: "please subscribe first" });
    expect(asked.length).toBe(1);
    await clock.advance(1_000);
    await sessions.join(viewer(), ask);
    expect(asked.length).toBe(2);
  });

  it("keeps a refusal as long as its handler says, and a failure's only shortly", async () => {
    for (const [verdict, ms] of [
      [deny("no", { denyFor: 0 }), 0],
      [deny("no", { denyFor: "2s" }), 2_000],
      [{ ...deny("no"), failed: true } as const, 5_000],
    ] as const) {
      const identity = viewer({ token: `for ${ms}` });
      answer = () => verdict;
      await expect(sessions.join(identity, ask)).rejects.toThrow("no");
      answer = allow;
      if (ms > 0) await clock.advance(ms - 1);
      if (ms > 0) await expect(sessions.join(identity, ask)).rejects.toThrow("no");
      await clock.advance(1);
      await sessions.join(identity, ask);
    }
  });

  it("forgets the oldest refusals first when there are too many", async () => {
    answer = () => deny("no");
    for (let at = 0; at < 101; at++) await expect(sessions.join(viewer({ token: `r${at}` }), ask)).rejects.toThrow("no");
    asked = [];
    for (let at = 1; at < 101; at++) await expect(sessions.join(viewer({ token: `r${at}` }), ask)).rejects.toThrow("no");
    expect(asked.length).toBe(0);
    await expect(sessions.join(viewer({ token: "r0" }), ask)).rejects.toThrow("no");
    expect(asked.length).toBe(1);
  });

  it("passes on what a question throws, and asks the next one", async () => {
    const broken: Ask = () => Promise.reject(new Error("broken"));
    await expect(Promise.all([sessions.join(viewer(), broken), sessions.join(viewer(), broken)])).rejects.toThrow("broken");
    await sessions.join(viewer(), ask);
    expect(asked.length).toBe(1);
  });
});

describe("life", () => {
  it("ends 15 seconds after the last connection, not before, and is the same session until then", async () => {
    (await sessions.join(viewer(), ask))[Symbol.dispose]();
    await clock.advance(14_900);
    (await sessions.join(viewer({ protocol: "FLV" }), ask))[Symbol.dispose]();
    await clock.advance(14_900);
    expect([asked.length, ends.length]).toEqual([1, 0]);
    await clock.advance(1_200);
    expect(ends.length).toBe(1);
    expect(idle).toEqual(["live"]);
    await sessions.join(viewer(), ask);
    expect(asked.length).toBe(2);
  });

  it("counts the seconds in which something was connected, for each address, connector and stream", async () => {
    await clock.advance(200);
    const flv = await sessions.join(viewer({ protocol: "FLV" }), ask);
    const info = await sessions.join(viewer({ protocol: "HTTP" }), ask);
    info.count(1000, 0);
    info[Symbol.dispose]();
    flv.count(700_000, 12);
    await clock.advance(5_000);
    flv[Symbol.dispose]();
    await clock.advance(2_000);
    const hls = await sessions.join(viewer({ protocol: "HLS" }), ask);
    hls.count(88, 0);
    hls[Symbol.dispose]();
    expect(sessions.get(hls.sessionId)).toMatchObject({ protocol: "FLV,HLS,HTTP", host: "127.0.0.1", stream: "live", seconds: 7 });
    await clock.advance(20_000);
    expect(ends).toHaveLength(1);
    expect(ends[0]).toMatchObject({
      type: "viewer",
      state: "ended",
      token: "t1",
      seconds: 7,
      up: 701_088,
      down: 12,
      streams: [["live", 7]],
      protocols: [
        ["FLV", 6],
        ["HLS", 1],
      ],
      hosts: [["127.0.0.1", 7]],
    });
  });

  it("sorts the lists of a session with several streams and addresses, and shows them as several", async () => {
    sessions = createSessions({
      clock,
      log: { write: () => undefined },
      settings: () => ({ ...defaultSessionSettings, sessionViewerMode: 2 }),
    });
    sessions.onEnd((end) => ends.push(end));
    for (const [stream, address] of [
      ["zoo", "9.9.9.9"],
      ["ant", "10.0.0.1"],
    ] as const)
      (await sessions.join(viewer({ stream, address }), ask))[Symbol.dispose]();
    expect(sessions.list()).toMatchObject([{ stream: "", host: "::" }]);
    await clock.advance(17_000);
    expect(ends[0]?.streams.map(([name]) => name)).toEqual(["ant", "zoo"]);
  });

  it("shows bytes per second over the last five seconds", async () => {
    const connection = await sessions.join(viewer(), ask);
    for (let second = 0; second < 8; second++) {
      connection.count(1000, 10);
      await clock.advance(1_000);
    }
    expect(sessions.get(connection.sessionId)).toMatchObject({ upPerSecond: 1000, downPerSecond: 10, up: 8000, down: 80 });
  });

  it("ends what is picked, at once, and lets the viewer come back with a new question", async () => {
    const mine = await sessions.join(viewer(), ask);
    const other = await sessions.join(viewer({ token: "t2" }), ask);
    expect(sessions.stop((session) => session.id === mine.sessionId, "stopped by the operator")).toBe(1);
    expect(reasonOf(mine)).toEqual(["access.ended", "stopped by the operator"]);
    expect(reasonOf(other)).toBe(false);
    expect(ends.map((end) => end.id)).toEqual([mine.sessionId]);
    mine[Symbol.dispose]();
    await sessions.join(viewer(), ask);
    expect(asked.length).toBe(3);
  });

  it("keeps tags, within bounds", async () => {
    const { sessionId } = await sessions.join(viewer(), ask);
    expect(sessions.tag(sessionId, "vip")).toBe(true);
    expect(sessions.tag(sessionId, "x".repeat(600))).toBe(false);
    expect(sessions.tag("nobody", "vip")).toBe(false);
    expect(sessions.get(sessionId)?.tags).toEqual(["vip"]);
  });

  it("ends every session when it is closed, and lets nobody in afterwards", async () => {
    const slow = Promise.withResolvers<Verdict>();
    const connection = await sessions.join(viewer(), ask);
    await sessions.join(publisher(), ask);
    answer = () => slow.promise;
    const late = sessions.join(viewer({ token: "t2" }), ask);
    await sessions[Symbol.asyncDispose]();
    slow.resolve(allow());
    await expect(late).rejects.toMatchObject({ code: "access.ended" });
    await expect(sessions.join(viewer(), ask)).rejects.toMatchObject({ code: "access.ended" });
    expect(reasonOf(connection)).toMatchObject(["access.ended", expect.any(String)]);
    expect(ends.map((end) => end.type)).toEqual(["viewer", "input"]);
  });
});

describe("asking again", () => {
  it("invalidate leaves who may stay untouched and cuts off who may not", async () => {
    const stays = await sessions.join(viewer({ token: "stays" }), ask);
    const goes = await sessions.join(viewer({ token: "goes" }), ask);
    const elsewhere = await sessions.join(viewer({ stream: "live+b" }), ask);
    await sessions.join(publisher(), ask);
    asked = [];
    const again: Ask = async (id, first) => {
      asked.push([id, first]);
      return id === goes.sessionId ? deny("not any more") : allow();
    };
    answer = () => (asked.at(-1)?.[0] === goes.sessionId ? deny("not any more") : allow());
    expect(await sessions.invalidate(["live"])).toBe(2);
    expect(asked).toEqual([
      [stays.sessionId, false],
      [goes.sessionId, false],
    ]);
    expect([reasonOf(stays), reasonOf(elsewhere)]).toEqual([false, false]);
    expect(reasonOf(goes)).toEqual(["access.denied", "not any more"]);
    expect(ends.map((end) => end.id)).toEqual([goes.sessionId]);
    await expect(sessions.join(viewer({ token: "goes" }), again)).rejects.toThrow("not any more");
    await clock.advance(700_000);
    expect(ends.filter((end) => end.id === goes.sessionId)).toHaveLength(1);
  });

  it("invalidate forgets refusals of exactly these streams", async () => {
    answer = () => deny("no");
    await expect(sessions.join(viewer(), ask)).rejects.toThrow();
    await expect(sessions.join(viewer({ stream: "live+b" }), ask)).rejects.toThrow();
    answer = allow;
    expect(await sessions.invalidate(["live"])).toBe(1);
    await sessions.join(viewer(), ask);
    await expect(sessions.join(viewer({ stream: "live+b" }), ask)).rejects.toThrow();
    expect(ends).toEqual([]);
  });

  it("invalidate has at most 64 questions out, and waits for all of them", async () => {
    for (let at = 0; at < 150; at++) await sessions.join(viewer({ token: `t${at}` }), ask);
    let out = 0;
    let most = 0;
    answer = async () => {
      most = Math.max(most, ++out);
      await settle();
      out--;
      return allow();
    };
    expect(await sessions.invalidate(["live"])).toBe(150);
    expect([most, out, asked.length]).toEqual([64, 0, 300]);
  });

  it("asks once more when rules change while a question is out", async () => {
    const first = Promise.withResolvers<Verdict>();
    answer = () => (asked.length === 1 ? first.promise : deny("changed"));
    const join = sessions.join(viewer(), ask);
    const invalidated = sessions.invalidate(["live"]);
    first.resolve(allow());
    await expect(join).rejects.toThrow("changed");
    expect(await invalidated).toBe(1);
    expect(asked.map(([, isFirst]) => isFirst)).toEqual([true, true]);
  });

  it("recheckEvery asks in the background: a yes is not noticed, a no ends the connections", async () => {
    answer = () => allow({ recheckEvery: "30s" });
    const connection = await sessions.join(viewer(), ask);
    await clock.advance(29_000);
    expect(asked.length).toBe(1);
    await clock.advance(32_000);
    expect(asked.map(([, first]) => first)).toEqual([true, false, false]);
    expect(reasonOf(connection)).toBe(false);
    answer = () => deny("time is over");
    await clock.advance(31_000);
    expect(reasonOf(connection)).toEqual(["access.denied", "time is over"]);
    expect(ends).toHaveLength(1);
  });

  it("a handler's failure does not touch who watches", async () => {
    const connection = await sessions.join(viewer(), ask);
    answer = () => ({ kind: "deny", reason: "handler failed", failed: true });
    await sessions.invalidate(["live"]);
    expect(reasonOf(connection)).toBe(false);
    answer = () => deny("really not");
    await clock.advance(6_000);
    expect(reasonOf(connection)).toEqual(["access.denied", "really not"]);
  });
});

describe("counting", () => {
  it("totals has a row for each second and stops counting a session at its end", async () => {
    const input = await sessions.join(publisher(), ask);
    const connection = await sessions.join(viewer(), ask);
    for (let second = 0; second < 10; second++) {
      input.count(0, 500);
      connection.count(1000, 0);
      await clock.advance(1_000);
    }
    const totals = sessions.totals({ streams: ["live"] });
    expect(totals?.rows).toHaveLength(10);
    expect(totals?.rows.at(-1)).toEqual({ clients: 1, inputs: 1, outputs: 0, upbps: 1000, downbps: 500 });
    expect(totals?.end).toBe(Math.floor(clock.now() / 1000) - 1);
    sessions.stop((session) => session.type === "viewer", "end");
    await clock.advance(20_000);
    expect(sessions.totals({ start: -3 })?.rows.every((row) => row.clients === 0 && row.upbps === 0)).toBe(true);
    expect(sessions.totals({ protocols: ["INPUT"], start: -3 })?.rows.at(-1)?.inputs).toBe(1);
    expect(sessions.totals({ streams: ["other"] })).toBeUndefined();
    expect(sessions.totals({ streams: ["live"], start: -25, end: -23 })?.rows).toHaveLength(3);
  });

  it("never shows a negative or missing second, whatever the ticks do", async () => {
    const connection = await sessions.join(viewer(), ask);
    const late = vi.spyOn(clock, "monotonic");
    connection.count(5000, 0);
    await clock.advance(1_000);
    late.mockReturnValue(clock.now() - 1_795_361_000_000 + 7_000);
    const rows = sessions.totals({})?.rows ?? [];
    expect(rows.length).toBeGreaterThanOrEqual(5);
    for (const row of rows) expect(Math.min(...Object.values(row))).toBeGreaterThanOrEqual(0);
    late.mockRestore();
  });

  it("gives a stream's counters to the end, and forgets them with its last session", async () => {
    const counters: unknown[] = [];
    sessions.onStreamIdle((_, last) => counters.push(last));
    const input = await sessions.join(publisher(), ask);
    const connection = await sessions.join(viewer(), ask);
    input.count(0, 77);
    connection.count(460_937, 3);
    expect(sessions.counters("live")).toMatchObject({
      viewers: 1,
      inputs: 1,
      views: 1,
      totalInputs: 1,
      up: 460_937,
      down: 80,
      viewSeconds: 1,
    });
    await clock.advance(2_000);
    connection[Symbol.dispose]();
    input[Symbol.dispose]();
    expect(sessions.counters("live")).toMatchObject({ viewers: 1, inputs: 0 });
    await clock.advance(16_000);
    expect(counters).toEqual([
      {
        viewers: 0,
        inputs: 0,
        outputs: 0,
        unspecified: 0,
        views: 1,
        totalInputs: 1,
        totalOutputs: 0,
        viewSeconds: 3,
        up: 460_937,
        down: 80,
      },
    ]);
    expect(sessions.counters("live")).toBeUndefined();
    expect(sessions.knownStreams()).toEqual(["live"]);
    expect(sessions.list()).toHaveLength(2);
    await clock.advance(620_000);
    expect([sessions.knownStreams(), sessions.list()]).toEqual([[], []]);
  });
});
