import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeClock, settle } from "../../../test/support/fake-clock.ts";
import { busScene, push, viewer } from "../../../test/support/trigger-bus.ts";
import { allow, deny, rewrite } from "../../base/decision.ts";
import type { CallRecord } from "./call-record.ts";
import { type Journal, type JournalSetting, openJournal } from "./journal.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-journal-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const open = (setting: Partial<JournalSetting> = {}, lines: string[] = [], random = (): number => 0.5): Journal =>
  openJournal({
    directory,
    clock: new FakeClock(),
    log: { write: (kind, message) => void lines.push(`${kind} ${message}`) },
    setting,
    isPublic: (name) => name === "live",
    random,
  });

const record = (more: Partial<CallRecord> = {}): CallRecord => ({
  id: crypto.randomUUID(),
  time: 1000,
  trigger: "USER_NEW",
  stream: "live",
  payload: viewer,
  handlers: [],
  decision: allow(),
  ms: 1,
  ...more,
});

const disk = (): string =>
  readdirSync(directory)
    .filter((name) => name.startsWith("calls-"))
    .map((name) => readFileSync(join(directory, name), "utf8"))
    .join("");

describe("the journal", () => {
  it("writes down who was asked and why others were not, each answer, and the decision", async () => {
    await using journal = open();
    await using scene = busScene({ journal });
    scene.bus.on("USER_NEW", () => allow({ recheckEvery: "5m" }), { streams: ["other"] });
    scene.bus.on("USER_NEW", () => {
      throw new Error("no database");
    });
    scene.bus.on("USER_NEW", () => deny("please subscribe"));
    await scene.bus.fire("USER_NEW", viewer);
    const [call] = await journal.calls();
    expect(call).toMatchObject({ trigger: "USER_NEW", stream: "live", decision: { kind: "deny", reason: "please subscribe" } });
    expect(call?.handlers).toMatchObject([
      { id: "function-1", role: "decides", notAsked: "its filter does not match" },
      { role: "decides", failure: "no database", answer: { kind: "deny", failed: true } },
      { role: "decides", answer: { kind: "deny", reason: "please subscribe" } },
    ]);
    expect(await journal.call(call?.id ?? "")).toEqual(call);
    expect(await journal.call("other")).toBeUndefined();
  });

  it("is written when handlers exist and none matches, and not when there are none", async () => {
    await using journal = open();
    await using scene = busScene({ journal });
    scene.bus.on("USER_NEW", () => false, { streams: ["other"] });
    expect(scene.bus.wants("USER_NEW", "live")).toBe(true);
    expect(scene.bus.wants("CONN_OPEN", "live")).toBe(false);
    expect(await scene.bus.fire("USER_NEW", viewer)).toEqual(allow());
    expect((await journal.calls()).map((call) => call.handlers[0]?.notAsked)).toEqual(["its filter does not match"]);
  });

  it("says nothing of events that nobody was told, and shows a call that goes on for long before its end", async () => {
    await using journal = open();
    await using scene = busScene({ journal });
    scene.bus.configure({
      STREAM_BUFFER: [["/bin/true", false, ["other"]]],
      LIVE_BANDWIDTH: [{ handler: "/bin/true", sync: true, params: "9" }],
    });
    expect(scene.bus.wants("STREAM_BUFFER", "live")).toBe(false);
    await scene.bus.fire("STREAM_BUFFER", { stream: "live", state: "FULL" });
    await scene.bus.fire("LIVE_BANDWIDTH", { stream: "live", bytesPerSecond: 1 });
    expect(await journal.calls()).toEqual([]);
    let end = (): void => undefined;
    scene.bus.on("USER_NEW", () => new Promise<boolean>((resolve) => (end = () => resolve(true))), { mode: "shadow" });
    await scene.bus.fire("USER_NEW", viewer);
    await settle();
    await scene.clock.advance(3000);
    expect((await journal.calls()).map(({ handlers, decision }) => [handlers[0]?.answer, decision])).toEqual([[undefined, allow()]]);
    end();
    await settle();
    expect((await journal.calls()).map(({ handlers, decision }) => [handlers[0]?.answer, decision])).toEqual([[allow(), allow()]]);
  });

  it("holds no token, key, cookie or password, and finds a call by them", async () => {
    {
      await using journal = open();
      await using scene = busScene({ journal });
      scene.bus.on("USER_NEW", () => true);
      scene.bus.on("PUSH_REWRITE", () => rewrite("live"));
      scene.bus.on("RTMP_PUSH_REWRITE", ({ url }) => url.replace("k3y-one", "k3y-two"));
      scene.bus.on("STREAM_SOURCE", () => "rtsp://admin:hunter2@camera/one");
      const url = "https://bob:hunter2@site/hls/t0ken-a/index.m3u8?tkn=t0ken-b&stream=live#x";
      const secrets = { cookies: { login: "t0ken-c" }, query: { tkn: "t0ken-b" }, asked: "t0ken-a", token: "t0ken-b" };
      await scene.bus.fire("USER_NEW", {
        ...viewer,
        ...secrets,
        url,
        headers: { cookie: "login=t0ken-c", authorization: "Bearer t0ken-d", referer: "https://site/?t0ken-e", "user-agent": "VLC" },
      });
      await scene.bus.fire("PUSH_REWRITE", { ...push, url: "rtmp://host/live/k3y-one?a=k3y-two", stream: "k3y-one", asked: "k3y-one" });
      await scene.bus.fire("RTMP_PUSH_REWRITE", { ...push, url: "rtmp://host/live/k3y-one" });
      await scene.bus.fire("STREAM_SOURCE", { stream: "k3y-one" });
      expect((await journal.calls({ find: "t0ken-c" })).map((call) => call.trigger)).toEqual(["USER_NEW"]);
      expect((await journal.calls({ find: "k3y-one" })).map((call) => call.trigger)).toEqual([
        "STREAM_SOURCE",
        "RTMP_PUSH_REWRITE",
        "PUSH_REWRITE",
      ]);
      const [call] = await journal.calls({ trigger: "USER_NEW" });
      expect(call?.payload["headers"]).toMatchObject({ "user-agent": "VLC" });
      expect(String(call?.payload["url"])).toMatch(/^https:\/\/#\w{12}@site\/hls\/#\w{12}\/index\.m3u8\?tkn=#\w{12}&stream=live$/);
      const [pushed] = await journal.calls({ trigger: "PUSH_REWRITE" });
      expect(pushed?.decision).toEqual(rewrite("live"));
    }
    expect(disk()).not.toMatch(/t0ken|k3y|hunter2/);
    expect(statSync(directory).mode & 0o077).toBe(0);
  });

  it("keeps secrets on a rehearsal machine that says so", async () => {
    await using journal = open({ unmasked: true });
    journal.add(record());
    expect((await journal.calls())[0]?.payload).toEqual(viewer);
  });

  it("is there after a restart, newest first, and a line that was cut off harms nothing", async () => {
    {
      await using journal = open();
      for (const time of [1, 2]) journal.add(record({ time }));
    }
    const file = readdirSync(directory).find((name) => name.startsWith("calls-")) ?? "";
    writeFileSync(join(directory, file), `${disk()}{"id":"half`);
    await using journal = open();
    journal.add(record({ time: 3, trigger: "CONN_PLAY", decision: deny("no") }));
    expect((await journal.calls()).map(({ time }) => time)).toEqual([3, 2, 1]);
    expect((await journal.calls({ limit: 1 })).map(({ time }) => time)).toEqual([3]);
    expect((await journal.calls({ since: 2 })).map(({ time }) => time)).toEqual([3, 2]);
    expect((await journal.calls({ trigger: "CONN_PLAY" })).map(({ time }) => time)).toEqual([3]);
    expect((await journal.calls({ decision: "deny" })).map(({ time }) => time)).toEqual([3]);
    expect(await journal.calls({ stream: "other" })).toEqual([]);
  });

  it("keeps to its bytes, and the newest calls", async () => {
    await using journal = open({ bytes: 64_000 });
    for (let time = 0; time < 400; time++) {
      journal.add(record({ time }));
      await journal.flush();
    }
    const calls = await journal.calls({ limit: 1000 });
    expect(calls[0]?.time).toBe(399);
    expect(calls.length).toBeGreaterThan(20);
    expect(calls.length).toBeLessThan(200);
    expect(disk().length).toBeLessThanOrEqual(66_000);
  });

  it("sampled keeps each no and each failure, and a part of the rest; off keeps nothing", async () => {
    let random = 0.5;
    await using journal = open({ mode: "sampled", sample: 0.1 }, [], () => random);
    journal.add(record({ time: 1 }));
    journal.add(record({ time: 2, decision: deny("no") }));
    journal.add(record({ time: 3, handlers: [{ id: "a", handler: "a", role: "decides", failure: "late" }] }));
    journal.add(record({ time: 4, handlers: [{ id: "a", handler: "a", role: "shadow", answer: deny("no") }] }));
    random = 0.05;
    journal.add(record({ time: 5 }));
    journal.configure({ ...journal.setting, mode: "off" });
    expect(journal.on).toBe(false);
    journal.add(record({ time: 6, decision: deny("no") }));
    expect((await journal.calls()).map(({ time }) => time)).toEqual([5, 4, 3, 2]);
  });

  it("shows calls as they are written, and tells a disk that fails once, without harm", async () => {
    const lines: string[] = [];
    await using journal = open({}, lines);
    const seen: number[] = [];
    using following = journal.follow(({ time }) => void seen.push(time));
    journal.add(record({ time: 1 }));
    await journal.flush();
    rmSync(directory, { recursive: true });
    writeFileSync(directory, "in the way");
    journal.configure({ ...journal.setting, bytes: 16 });
    for (const time of [2, 3]) {
      journal.add(record({ time }));
      await journal.flush();
    }
    expect(seen).toEqual([1, 2, 3]);
    following[Symbol.dispose]();
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^ERROR The journal of trigger calls cannot be written: E/);
  });
});

describe("shadows", () => {
  it("are asked after the answer, never applied, and stand beside the decision", async () => {
    await using journal = open();
    await using scene = busScene({ journal });
    const modes: string[] = [];
    scene.bus.on("USER_NEW", (_, { mode }) => (modes.push(mode), deny("shadow says no")), { mode: "shadow" });
    scene.bus.on("USER_NEW", (_, { mode }) => (modes.push(mode), true));
    expect(await scene.bus.fire("USER_NEW", viewer)).toEqual(allow());
    expect(modes).toEqual(["live"]);
    await settle();
    await settle();
    expect(modes).toEqual(["live", "shadow"]);
    const [call] = await journal.calls();
    expect(call?.decision).toEqual(allow());
    expect(call?.handlers).toMatchObject([
      { role: "decides", answer: { kind: "allow" } },
      { role: "shadow", answer: { kind: "deny", reason: "shadow says no" } },
    ]);
    expect(scene.bus.stats()).toMatchObject({ USER_NEW: { count: 1 } });
  });

  it("do not hold up the answer, however long they take", async () => {
    await using scene = busScene({ limits: { drainMs: 0 } });
    scene.bus.on("USER_NEW", () => new Promise<boolean>(() => undefined), { mode: "shadow" });
    expect(await scene.bus.fire("USER_NEW", viewer)).toEqual(allow());
  });
});

describe("rehearsal", () => {
  it("asks everybody that matches and applies, counts and writes nothing", async () => {
    await using journal = open();
    await using scene = busScene({ journal });
    const modes: string[] = [];
    scene.bus.on("USER_NEW", (_, { mode }) => (modes.push(mode), deny("no")));
    scene.bus.on("USER_NEW", (_, { mode }) => (modes.push(mode), true), { mode: "shadow" });
    scene.bus.on("USER_NEW", () => true, { streams: ["other"] });
    const call = await scene.bus.rehearse("USER_NEW", viewer);
    expect(modes).toEqual(["rehearsal", "rehearsal"]);
    expect(call.decision).toEqual(deny("no"));
    expect(call.handlers.map(({ notAsked, answer }) => notAsked ?? answer?.kind)).toEqual(["deny", "its filter does not match", "allow"]);
    expect(scene.bus.stats()).toEqual({});
    expect(await journal.calls()).toEqual([]);
  });
});

describe("ids", () => {
  it("are the same for the same entry, in whatever order its keys stand, and differ for twins", async () => {
    await using scene = busScene();
    const entry = { handler: "/bin/true", sync: true, streams: ["a"] };
    scene.bus.configure({ USER_NEW: [entry, { streams: ["a"], sync: true, handler: "/bin/true" }, { ...entry, mode: "shadow" }] });
    const ids = scene.bus.handlers().map(({ id }) => id);
    expect(new Set(ids).size).toBe(3);
    expect(ids[1]).toBe(`${ids[0]}-2`);
    scene.bus.configure({ USER_NEW: [{ ...entry, mode: "shadow" }, entry] });
    expect(scene.bus.handlers().map(({ id }) => id)).toEqual([ids[2], ids[0]]);
    expect(scene.bus.handlers()[0]).toMatchObject({ trigger: "USER_NEW", source: "entry", mode: "shadow", handler: "/bin/true" });
  });
});
