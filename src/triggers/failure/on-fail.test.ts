import { describe, expect, it } from "vitest";
import { settle } from "../../../test/support/fake-clock.ts";
import { busScene, push, viewer } from "../../../test/support/trigger-bus.ts";
import { allow, deny, keep, rewrite } from "../../base/decision.ts";
import { checkFailed, HandlerFailure } from "../answer.ts";
import { type FailureCause, failureCauses } from "./failure-cause.ts";
import { createFailures, lastKnown, readEntryOnFail, readOnFail } from "./on-fail.ts";

const down = (reason: string) => ({ ...deny(reason), failed: true });
const never = (): Promise<never> => new Promise(() => undefined);
const throwing = (): never => {
  throw new Error("database is away");
};

describe("onFail", () => {
  it("has an answer for each cause, and one for the others", () => {
    const policy = readOnFail("USER_NEW", { timeout: true, open: deny("later"), default: false }, "x");
    const readings = Object.fromEntries(Object.entries(policy).map(([cause, step]) => [cause, step.reading]));
    const no = deny();
    expect(readings).toEqual({ timeout: allow(), connection: no, status: no, answer: no, busy: no, open: deny("later"), error: no });
  });

  it("is written in words in JSON", () => {
    const read = (name: "USER_NEW" | "PUSH_REWRITE", value: unknown) => readEntryOnFail(name, value, "x").timeout;
    expect(read("USER_NEW", "allow").reading).toEqual(allow());
    expect(read("USER_NEW", "deny").reading).toEqual(deny());
    expect(read("USER_NEW", "deny: come back later: soon ").reading).toEqual(deny("come back later: soon"));
    expect(read("USER_NEW", "last-known")).toEqual({ lastKnown: true, reading: checkFailed });
    expect(read("USER_NEW", { kind: "allow" }).reading).toEqual(allow());
    expect(read("PUSH_REWRITE", "keep").reading).toBeUndefined();
    expect(read("PUSH_REWRITE", "value: backup").reading).toEqual(rewrite("backup"));
    expect(read("PUSH_REWRITE", "last-known")).toEqual({ lastKnown: true, reading: checkFailed });
  });

  it.each<["USER_NEW" | "PUSH_REWRITE", unknown, string]>([
    ["USER_NEW", "yes", 'x is no answer of this trigger: here stands "yes"; there must be "allow", "deny: REASON", "last-known"'],
    ["USER_NEW", "keep", "there must be"],
    ["USER_NEW", "value: a", "there must be"],
    ["PUSH_REWRITE", "allow", '"deny: REASON", "keep", "value: NAME"'],
    ["PUSH_REWRITE", "backup", "there must be"],
    ["USER_NEW", { kind: "last-known", otherwise: keep() }, "x.otherwise is no answer"],
    ["USER_NEW", { timeout: "allow" }, "x.default is missing"],
  ])("of %s refuses %j", (name, value, words) => {
    expect(() => readEntryOnFail(name, value, "x")).toThrow(words);
  });

  it("remembers the last answer to the same question, and forgets the oldest of ten thousand", () => {
    const failures = createFailures("USER_NEW", readOnFail("USER_NEW", lastKnown(deny("later")), "x"));
    const of = (session: number) => ({ ...viewer, sessionId: String(session) });
    failures.succeeded(of(1), allow());
    failures.succeeded(of(2), deny("no"));
    expect(failures.failed({ ...of(1), url: "another" }, "timeout")).toEqual(allow());
    expect(failures.failed(of(2), "open")).toEqual(deny("no"));
    expect(failures.failed(of(3), "open")).toEqual(deny("later"));
    for (let session = 10; session < 10_009; session++) failures.succeeded(of(session), allow());
    expect(failures.failed(of(1), "timeout")).toEqual(deny("later"));
    expect(failures.failed(of(2), "timeout")).toEqual(deny("no"));
  });

  it("takes another address for another question where there is no session", () => {
    const failures = createFailures("PUSH_REWRITE", readOnFail("PUSH_REWRITE", lastKnown(), "x"));
    failures.succeeded(push, rewrite("live"));
    expect(failures.failed({ ...push }, "timeout")).toEqual(rewrite("live"));
    expect(failures.failed({ ...push, host: "203.0.113.9" }, "timeout")).toEqual(checkFailed);
  });
});

describe("a handler that fails", () => {
  it("has the answer of the cause", async () => {
    await using scene = busScene();
    const onFail = Object.fromEntries([...Object.keys(failureCauses), "default"].map((cause) => [cause, deny(cause)]));
    const options = { onFail: onFail as { [C in FailureCause | "default"]: ReturnType<typeof deny> }, breaker: false } as const;
    const fire = async (handler: () => boolean | Promise<boolean>, ms = 0) => {
      using _ = scene.bus.on("USER_NEW", handler, options);
      const answer = scene.bus.fire("USER_NEW", viewer);
      await scene.clock.advance(ms);
      return await answer;
    };
    expect(await fire(throwing)).toEqual(down("error"));
    expect(await fire(never, 5000)).toEqual(down("timeout"));
    expect(await fire(() => 7 as never)).toEqual(down("answer"));
    expect(await fire(() => Promise.reject(new HandlerFailure("x", { sort: "status" })))).toEqual(down("status"));
  });

  it("answers by what it last said, and the log says so", async () => {
    await using scene = busScene();
    let works = true;
    scene.bus.on("USER_NEW", ({ token }) => (works ? token === "t1" : throwing()), { onFail: lastKnown(deny("later")) });
    expect(await scene.bus.fire("USER_NEW", viewer)).toEqual(allow());
    works = false;
    expect(await scene.bus.fire("USER_NEW", viewer)).toEqual(allow());
    expect(await scene.bus.fire("USER_NEW", { ...viewer, sessionId: "other" })).toEqual(down("later"));
    expect(scene.lines).toEqual([
      expect.stringMatching(/^WARN USER_NEW: .* failed: database is away; what it last answered holds, else the answer is no$/),
    ]);
  });

  it("is left alone after five failures, told once, and asked again after the pause", async () => {
    await using scene = busScene();
    let asked = 0;
    let works = false;
    scene.bus.on(
      "USER_NEW",
      function shop() {
        asked++;
        return works || throwing();
      },
      { onFail: { open: deny("closed for now"), default: deny("later") } },
    );
    for (let i = 0; i < 5; i++) expect(await scene.bus.fire("USER_NEW", viewer)).toEqual(down("later"));
    for (let i = 0; i < 100; i++) expect(await scene.bus.fire("USER_NEW", viewer)).toEqual(down("closed for now"));
    expect(asked).toBe(5);
    expect(scene.bus.stats().USER_NEW).toMatchObject({
      count: 105,
      fails: 105,
      breakers: [{ handler: 'function "shop"', state: "open", since: scene.clock.now(), failures: 5 }],
    });
    expect(scene.bus.handlers()[0]?.calls).toMatchObject({ inFlight: 0, waiting: 0, breaker: { state: "open" } });
    works = true;
    await scene.clock.advance(5000);
    expect(await scene.bus.fire("USER_NEW", viewer)).toEqual(allow());
    expect(scene.bus.stats().USER_NEW).not.toHaveProperty("breakers");
    expect(scene.lines).toEqual([
      'WARN USER_NEW: the handler function "shop" failed: database is away; the answer is no',
      'WARN USER_NEW: the handler function "shop" is not asked for 5 s after 5 failures, the last one: database is away; the answer is no',
      'INFO USER_NEW: the handler function "shop" answers again and is asked as before',
    ]);
  });

  it("is still left alone when another handler is configured, until its own entry changes", async () => {
    await using scene = busScene();
    const entry = { handler: "/nowhere/at-all", sync: true, breaker: { failures: 1 } };
    const state = () => scene.bus.handlers()[0]?.calls.breaker?.state;
    scene.bus.configure({ USER_NEW: [entry] });
    expect(await scene.bus.fire("USER_NEW", viewer)).toEqual(checkFailed);
    expect(state()).toBe("open");
    scene.bus.configure({ USER_NEW: [entry, ["/bin/true", false]] });
    expect(state()).toBe("open");
    scene.bus.configure({ USER_NEW: [{ ...entry, timeoutMs: 100 }] });
    expect(state()).toBe("closed");
  });

  it("that is only told is always tried", async () => {
    await using scene = busScene();
    let told = 0;
    scene.bus.on("STREAM_BUFFER", () => {
      told++;
      throwing();
    });
    for (let i = 0; i < 20; i++) await scene.bus.fire("STREAM_BUFFER", { stream: "live", state: "EMPTY" });
    expect(told).toBe(20);
    expect(scene.lines).toHaveLength(1);
  });
});

describe("calls in flight", () => {
  it("are so many at once; who waits too long gets the answer of busy", async () => {
    await using scene = busScene();
    const open: (() => void)[] = [];
    scene.bus.on("USER_NEW", () => new Promise<boolean>((resolve) => open.push(() => resolve(true))), {
      maxCalls: 2,
      maxWaitMs: 1000,
      onFail: { busy: deny("too many at once"), default: false },
    });
    const answers = [1, 2, 3, 4].map((session) => scene.bus.fire("USER_NEW", { ...viewer, sessionId: String(session) }));
    await settle();
    expect(open).toHaveLength(2);
    expect(scene.bus.handlers()[0]?.calls).toMatchObject({ inFlight: 2, waiting: 2 });
    open[0]?.();
    expect(await answers[0]).toEqual(allow());
    await settle();
    expect(open).toHaveLength(3);
    await scene.clock.advance(1000);
    expect(await answers[3]).toEqual(down("too many at once"));
    for (const finish of open) finish();
    expect(await Promise.all(answers.slice(0, 3))).toEqual([allow(), allow(), allow()]);
    expect(scene.bus.handlers()[0]?.calls.breaker).toMatchObject({ state: "closed", failures: 0 });
  });

  it("spare the handler questions that nobody has any more, without a word in the log", async () => {
    await using scene = busScene();
    let asked = 0;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    scene.bus.on("CONN_OPEN", () => (asked++, promise), { maxCalls: 1, onFail: false });
    const gone = new AbortController();
    const first = scene.bus.fire("CONN_OPEN", viewer);
    const second = scene.bus.fire("CONN_OPEN", viewer, gone.signal);
    await settle();
    gone.abort();
    expect(await second).toMatchObject({ kind: "deny", failed: true });
    resolve(true);
    expect(await first).toEqual(allow());
    expect(asked).toBe(1);
    expect(scene.lines).toEqual([]);
    expect(scene.bus.stats().CONN_OPEN).toMatchObject({ fails: 0 });
  });
});
