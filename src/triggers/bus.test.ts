import { describe, expect, it } from "vitest";
import { settle } from "../../test/support/fake-clock.ts";
import { busScene, push, viewer } from "../../test/support/trigger-bus.ts";
import { allow, deny, keep, rewrite } from "../base/decision.ts";
import { checkFailed } from "./answer.ts";
import type { Payload } from "./table.ts";

const never = (): Promise<never> => new Promise(() => undefined);
const nonsense = (): never => 7 as never;

describe("who is asked", () => {
  it("says yes or keeps when nobody listens, and wants nothing", async () => {
    await using scene = busScene();
    expect(scene.bus.wants("USER_NEW", "live")).toBe(false);
    expect(await scene.bus.fire("USER_NEW", viewer)).toEqual(allow());
    expect(await scene.bus.fire("PUSH_REWRITE", push)).toEqual(keep());
    expect(await scene.bus.fire("STREAM_BUFFER", { stream: "live", state: "EMPTY" })).toBeUndefined();
    expect(scene.bus.stats()).toEqual({});
  });

  it("filters by stream, by base name where the table says so, and by the first of several", async () => {
    await using scene = busScene({ streamTags: (stream) => (stream === "radio" ? ["talk"] : []) });
    const { bus } = scene;
    bus.on("USER_NEW", () => deny("no"), { streams: ["live", "#talk"] });
    bus.on("STREAM_LOAD", () => deny("no"), { streams: ["live+a"] });
    bus.on("PUSH_REWRITE", () => "x", { streams: ["other"] });
    const ended: string[] = [];
    bus.on("USER_END", ({ token }) => void ended.push(token), { streams: ["live"] });
    expect(bus.wants("USER_NEW", "live+a")).toBe(true);
    expect(bus.wants("USER_NEW", "radio")).toBe(true);
    expect(bus.wants("USER_NEW", "tv")).toBe(false);
    expect(bus.wants("USER_NEW")).toBe(true);
    expect(await bus.fire("USER_NEW", { ...viewer, stream: "tv" })).toEqual(allow());
    expect(await bus.fire("STREAM_LOAD", { stream: "live+a" })).toEqual(allow());
    expect(await bus.fire("PUSH_REWRITE", push)).toEqual(rewrite("x"));
    const end = { protocols: "", hosts: "", seconds: 1, up: 0, down: 0, tags: "", hostSeconds: "", protocolSeconds: "", streamSeconds: "" };
    await bus.fire("USER_END", { ...end, token: "a", streams: "live,radio", sessionId: "" });
    await bus.fire("USER_END", { ...end, token: "b", streams: "radio,live", sessionId: "" });
    expect(ended).toEqual(["a"]);
  });

  it("tells the caller who was asked and what they answered, before the answer comes", async () => {
    await using scene = busScene();
    const told: string[] = [];
    const fire = () => scene.bus.fire("USER_NEW", viewer, undefined, (record, kept) => told.push(`${JSON.stringify(record)} ${kept}`));
    await fire();
    expect(told).toEqual([]);
    scene.bus.on("USER_NEW", () => allow({ user: "ann" }));
    scene.bus.on("USER_NEW", () => deny("no"), { streams: ["other"] });
    const decision = await fire();
    expect(told).toHaveLength(1);
    const [json = "", kept] = told[0]?.split(/ (?=false$)/) ?? [];
    expect([JSON.parse(json), kept]).toMatchObject([
      {
        trigger: "USER_NEW",
        decision,
        handlers: [{ answer: { kind: "allow", user: "ann" } }, { notAsked: "its filter does not match" }],
      },
      "false",
    ]);
  });

  it("forgets a handler that was disposed", async () => {
    await using scene = busScene();
    scene.bus.on("USER_NEW", () => false)[Symbol.dispose]();
    expect(scene.bus.wants("USER_NEW", "live")).toBe(false);
    expect(await scene.bus.fire("USER_NEW", viewer)).toEqual(allow());
  });
});

describe("combination", () => {
  it("runs all handlers in order even after a no, and the first no wins", async () => {
    await using scene = busScene();
    const ran: number[] = [];
    scene.bus.on("USER_NEW", async () => (await settle(), ran.push(1), allow()));
    scene.bus.on("USER_NEW", () => (ran.push(2), deny("second")));
    scene.bus.on("USER_NEW", () => (ran.push(3), deny("third")));
    scene.bus.on("USER_NEW", () => (ran.push(4), true));
    expect(await scene.bus.fire("USER_NEW", viewer)).toEqual(deny("second"));
    expect(ran).toEqual([1, 2, 3, 4]);
    expect(scene.bus.stats()).toEqual({ USER_NEW: { count: 4, ms: 0, fails: 0 } });
  });

  it("takes the last value; each handler sees the original payload; keep() has no opinion", async () => {
    await using scene = busScene();
    const seen: string[] = [];
    const see = (answer: string) => (payload: Payload<"PUSH_REWRITE">) => {
      seen.push(payload.stream);
      return answer;
    };
    scene.bus.on("PUSH_REWRITE", see("one"));
    scene.bus.on("PUSH_REWRITE", see("two\n"));
    scene.bus.on("PUSH_REWRITE", () => keep());
    expect(await scene.bus.fire("PUSH_REWRITE", push)).toEqual(rewrite("two"));
    expect(seen).toEqual(["key1", "key1"]);
    scene.bus.on("PUSH_REWRITE", () => deny("unknown key"));
    scene.bus.on("PUSH_REWRITE", () => keep());
    expect(await scene.bus.fire("PUSH_REWRITE", push)).toEqual(deny("unknown key"));
  });

  it("lets no handler change the payload for the next one", async () => {
    await using scene = busScene();
    scene.bus.on("USER_NEW", (payload) => Reflect.set(payload, "stream", "other"), { onFail: true });
    scene.bus.on("USER_NEW", ({ stream }) => stream === "live");
    expect(await scene.bus.fire("USER_NEW", { ...viewer })).toEqual(deny());
    expect(viewer.stream).toBe("live");
  });

  it("gives the server to handlers", async () => {
    const control = {
      liveStreams: () => ["live"],
      viewers: () => [],
      egress: () => 5,
      invalidateSessions: async () => 1,
      keepViewers: () => ({ [Symbol.dispose]: () => undefined }),
      publishing: () => false,
      recheckTagged: () => Promise.resolve(0),
      stopTagged: () => 0,
      stopSessions: () => 1,
    };
    await using scene = busScene({ control: () => control });
    scene.bus.on("USER_NEW", (_, { server }) => server.egress() > 4);
    expect(await scene.bus.fire("USER_NEW", viewer)).toEqual(allow());
  });

  it("keeps the order of calls that replace each other, for each stream", async () => {
    await using scene = busScene();
    const states: string[] = [];
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    scene.bus.on("STREAM_BUFFER", async ({ stream, state }) => {
      if (stream === "live" && state === "FULL") await held;
      states.push(`${stream} ${state}`);
    });
    const all = [
      scene.bus.fire("STREAM_BUFFER", { stream: "live", state: "FULL" }),
      scene.bus.fire("STREAM_BUFFER", { stream: "live", state: "EMPTY" }),
      scene.bus.fire("STREAM_BUFFER", { stream: "radio", state: "FULL" }),
    ];
    await settle();
    expect(states).toEqual(["radio FULL"]);
    release();
    await Promise.all(all);
    expect(states).toEqual(["radio FULL", "live FULL", "live EMPTY"]);
  });
});

describe("failure", () => {
  it.each([
    [
      "throws",
      () => {
        throw new Error("database is away");
      },
      "database is away",
    ],
    ["rejects", () => Promise.reject(new Error("database is away")), "database is away"],
    ["answers nonsense", nonsense, "it answered a number; USER_NEW wants true, false"],
    [
      "throws what is no error",
      () => {
        throw "text";
      },
      "text",
    ], // oxlint-disable-line no-throw-literal -- handlers may
  ])("a function that %s: no access, one line", async (_, handler, words) => {
    await using scene = busScene();
    scene.bus.on("USER_NEW", handler as () => Promise<boolean>);
    expect(await scene.bus.fire("USER_NEW", viewer)).toEqual(checkFailed);
    expect(await scene.bus.fire("USER_NEW", viewer)).toEqual(checkFailed);
    expect(scene.lines).toHaveLength(1);
    expect(scene.lines[0]).toContain(words);
    expect(scene.lines[0]).toMatch(/^WARN USER_NEW: the handler function .* the answer is no$/);
    expect(scene.bus.stats().USER_NEW).toMatchObject({ count: 2, fails: 2 });
  });

  it("a function that hangs is late after five seconds, and its signal is aborted", async () => {
    await using scene = busScene();
    let signal: AbortSignal | undefined;
    scene.bus.on("USER_NEW", function askShop(_, context) {
      signal = context.signal;
      return never();
    });
    const answer = scene.bus.fire("USER_NEW", viewer);
    await scene.clock.advance(4999);
    expect(signal?.aborted).toBe(false);
    await scene.clock.advance(1);
    expect(signal?.aborted).toBe(true);
    expect(await answer).toEqual(checkFailed);
    expect(scene.lines).toEqual([
      'WARN USER_NEW: the handler function "askShop" failed: it gave no answer within 5000 ms; the answer is no',
    ]);
    expect(scene.bus.stats().USER_NEW).toEqual({ count: 1, ms: 5000, fails: 1 });
  });

  it("has its own limit and its own policy when the options say so", async () => {
    await using scene = busScene();
    scene.bus.on("USER_NEW", never, { timeoutMs: 50, onFail: allow({ recheckEvery: "1m" }) });
    const answer = scene.bus.fire("USER_NEW", viewer);
    await scene.clock.advance(50);
    expect(await answer).toEqual(allow({ recheckEvery: "1m" }));
  });

  it("keeps the value of a rewrite, or what another handler said", async () => {
    await using scene = busScene();
    const asked = { ...push, defaultStream: "", protocol: "FLV" };
    const failing = scene.bus.on("DEFAULT_STREAM", nonsense);
    expect(await scene.bus.fire("DEFAULT_STREAM", asked)).toEqual(keep());
    failing[Symbol.dispose]();
    scene.bus.on("DEFAULT_STREAM", () => rewrite("recording"));
    scene.bus.on("DEFAULT_STREAM", nonsense);
    expect(await scene.bus.fire("DEFAULT_STREAM", asked)).toEqual(rewrite("recording"));
  });

  it("lets nobody in under the name that a function should have replaced", async () => {
    await using scene = busScene();
    scene.bus.on("PUSH_REWRITE", nonsense);
    expect(await scene.bus.fire("PUSH_REWRITE", push)).toEqual(checkFailed);
  });

  it("lets the server live", async () => {
    await using scene = busScene();
    scene.bus.on("SYSTEM_STOP", nonsense);
    expect(await scene.bus.fire("SYSTEM_STOP", { reason: "signal" })).toEqual(allow());
  });

  it("a late rejection after the limit is nobody's business", async () => {
    await using scene = busScene();
    const { promise, reject } = Promise.withResolvers<boolean>();
    scene.bus.on("USER_NEW", () => promise);
    const answer = scene.bus.fire("USER_NEW", viewer);
    await scene.clock.advance(5000);
    await answer;
    reject(new Error("too late"));
    await settle();
    expect(scene.lines).toHaveLength(1);
  });

  it("names a function that blocks the server", async () => {
    await using scene = busScene();
    scene.bus.on("USER_NEW", function busy() {
      void scene.clock.advance(300);
      return true;
    });
    expect(await scene.bus.fire("USER_NEW", viewer)).toEqual(allow());
    expect(scene.lines[0]).toContain('USER_NEW: function "busy" blocked the server for 300 ms');
  });

  it("refuses options that cannot be used", async () => {
    await using scene = busScene();
    expect(() => scene.bus.on("USER_NEW", () => true, { timeoutMs: 0 })).toThrow("timeoutMs is 0");
    expect(() => scene.bus.on("USER_NEW", () => true, { onFail: "yes" as never })).toThrow("onFail is no answer");
  });
});

describe("configuration", () => {
  it("is replaced as a whole, read back as it was given, and leaves functions alone", async () => {
    await using scene = busScene();
    scene.bus.on("STREAM_LOAD", () => true);
    const first = { USER_NEW: [["/bin/true", true, ["live"]]], NEVER: [] };
    scene.bus.configure(first);
    expect(scene.bus.entries()).toEqual(first);
    expect(scene.lines).toEqual(["WARN config.triggers.NEVER: no trigger has this name; it is kept and never fires"]);
    expect(scene.bus.wants("USER_NEW", "live")).toBe(true);
    expect(scene.bus.wants("USER_NEW", "tv")).toBe(false);
    expect(() => scene.bus.configure({ STREAM_END: 7 })).toThrow("config.triggers.STREAM_END");
    expect(scene.bus.entries()).toEqual(first);
    scene.bus.configure(null);
    expect(scene.bus.entries()).toEqual({});
    expect(scene.bus.wants("USER_NEW", "live")).toBe(false);
    expect(scene.bus.wants("STREAM_LOAD", "live")).toBe(true);
  });

  it("fires LIVE_BANDWIDTH from its argument on", async () => {
    await using scene = busScene();
    scene.bus.configure({ LIVE_BANDWIDTH: [{ handler: "/nowhere/at-all", sync: true, params: "1000", default: "false" }] });
    expect(await scene.bus.fire("LIVE_BANDWIDTH", { stream: "live", bytesPerSecond: 999 })).toEqual(allow());
    expect(await scene.bus.fire("LIVE_BANDWIDTH", { stream: "live", bytesPerSecond: 1000 })).toEqual(checkFailed);
  });
});

describe("the end", () => {
  it("waits for what runs, but not for ever", async () => {
    await using scene = busScene();
    let told = false;
    const { promise, resolve } = Promise.withResolvers<void>();
    scene.bus.on("STREAM_END", async () => {
      await promise;
      told = true;
    });
    const counts = { down: 0, up: 0, viewers: 0, inputs: 0, outputs: 0, viewerSeconds: 0 };
    void scene.bus.fire("STREAM_END", { stream: "live", ...counts });
    scene.bus.on("USER_NEW", never, { timeoutMs: 60_000 });
    const hanging = scene.bus.fire("USER_NEW", viewer);
    const ended = scene.bus[Symbol.asyncDispose]();
    resolve();
    await settle();
    expect(told).toBe(true);
    await scene.clock.advance(5000);
    await ended;
    expect(await hanging).toEqual(checkFailed);
    expect(await scene.bus.fire("USER_NEW", viewer)).toEqual(checkFailed);
  });
});
