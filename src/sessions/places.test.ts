import { beforeEach, describe, expect, it } from "vitest";
import { FakeClock, settle } from "../../test/support/fake-clock.ts";
import { allow, deny, type Limits, type Verdict, type ViewerLife } from "../base/decision.ts";
import type { SluiceError } from "../base/errors.ts";
import { Places } from "./places.ts";
import { type Ask, defaultSessionSettings, type Identity, type SessionConnection, type Sessions } from "./session.ts";
import { createSessions } from "./sessions.ts";

const viewer = (part: Partial<Identity> = {}): Identity => ({
  type: "viewer",
  stream: "live",
  address: "127.0.0.1",
  token: "t1",
  protocol: "FLV",
  url: "http://h/live.flv",
  ...part,
});

let clock: FakeClock;
let sessions: Sessions;
let asked: number;
let refused: string[];
let answer: (id: string) => Verdict | Promise<Verdict>;
const ask: Ask = async (id, _first, known) => {
  if (known) return known;
  asked++;
  return answer(id);
};
const join = (part: Partial<Identity> = {}): Promise<SessionConnection> => sessions.join(viewer(part), ask);
/** Joins with a token of its own; gives the words of a refusal, or "in". */
let count = 0;
const tried = (part: Partial<Identity> = {}): Promise<unknown> =>
  join({ token: `own${count++}`, ...part }).then(
    () => "in",
    (error: unknown) => (error as Error).message,
  );
const limited = (limit: number, life: ViewerLife = {}): void => {
  answer = () => allow({ user: "ann", limits: { sessions: limit }, ...life });
};
const full = (who: string, viewers = "2 viewers"): string => `${viewers} at most for this ${who}; close another one first`;

beforeEach(() => {
  clock = new FakeClock();
  sessions = createSessions({ clock, log: { write: () => undefined }, settings: () => defaultSessionSettings });
  asked = 0;
  refused = [];
  sessions.onRefuse((id) => refused.push(id));
});

describe("a limit of sessions", () => {
  it("lets exactly 2 of 200 in who come at once and wait for a slow handler", async () => {
    const slow = Promise.withResolvers<Verdict>();
    answer = () => slow.promise;
    const all = Array.from({ length: 200 }, () => tried());
    await settle();
    expect(asked).toBe(200);
    slow.resolve(allow({ user: "ann", limits: { sessions: 2 } }));
    const told = await Promise.all(all);
    expect([told.filter((words) => words === "in").length, told.filter((words) => words === full("account")).length]).toEqual([2, 198]);
    expect([sessions.list().length, refused.length]).toEqual([2, 198]);
  });

  it("lets exactly 2 in whatever the order of the answers", async () => {
    const open: PromiseWithResolvers<Verdict>[] = [];
    answer = () => {
      const one = Promise.withResolvers<Verdict>();
      open.push(one);
      return one.promise;
    };
    const all = Array.from({ length: 20 }, () => tried());
    await settle();
    const yes = allow({ user: "ann", limits: { sessions: 2 } });
    for (const one of open.splice(10).toReversed()) {
      one.resolve(yes);
      await settle();
    }
    for (const one of open) one.resolve(yes);
    const told = await Promise.all(all);
    expect(told.flatMap((words, at) => (words === "in" ? [at] : []))).toEqual([18, 19]);
  });

  it("refuses with its code and words, and does not remember that", async () => {
    limited(1);
    const first = await join();
    await expect(join({ token: "t2" })).rejects.toMatchObject({ code: "access.denied", status: 403, message: full("account", "1 viewer") });
    expect(await tried({ token: "t2" })).toBe(full("account", "1 viewer"));
    expect(asked).toBe(3);
    expect(first.signal.aborted).toBe(false);
    sessions.stop(() => true, "away");
    expect(await tried({ token: "t2" })).toBe("in");
  });

  it("refuses all who wait for the same answer", async () => {
    limited(1);
    await join();
    const both = await Promise.all([tried({ token: "t2" }), tried({ token: "t2", protocol: "HLS" })]);
    expect([both, asked]).toEqual([[full("account", "1 viewer"), full("account", "1 viewer")], 2]);
  });

  it("counts no further connection of a session that is in", async () => {
    limited(1);
    await join();
    const again = await join({ protocol: "HLS" });
    expect(again.signal.aborted).toBe(false);
  });

  it("counts a user on all streams and at all addresses, or each stream for itself", async () => {
    limited(2);
    expect(await tried()).toBe("in");
    expect(await tried({ stream: "other", address: "192.0.2.1" })).toBe("in");
    expect(await tried({ stream: "third" })).toBe(full("account"));
    limited(1, { limits: { sessions: 1, per: "stream" } });
    expect(await tried({ stream: "third" })).toBe("in");
    expect(await tried({ stream: "other" })).toBe("1 viewer at most for this account on this stream; close another one first");
    answer = () => allow({ user: "ben", limits: { sessions: 1 } });
    expect(await tried()).toBe("in");
  });

  it("counts a token that was brought, else the address", async () => {
    answer = () => allow({ limits: { sessions: 2 } });
    expect(await tried({ token: "shared", address: "192.0.2.1" })).toBe("in");
    expect(await tried({ token: "shared", address: "192.0.2.2" })).toBe("in");
    expect(await tried({ token: "shared", address: "192.0.2.3" })).toBe(full("token"));
    expect(await tried({ madeToken: true, address: "192.0.2.1" })).toBe("in");
    expect(await tried({ madeToken: true, address: "192.0.2.1" })).toBe("in");
    expect(await tried({ madeToken: true, address: "192.0.2.1" })).toBe(full("address"));
    expect(await tried({ token: "", address: "192.0.2.1" })).toBe(full("address"));
    expect(await tried({ token: "192.0.2.1", address: "192.0.2.1" })).toBe("in");
  });

  it("also counts those whose own yes had none", async () => {
    answer = () => allow({ user: "ann" });
    expect([await tried(), await tried(), await tried()]).toEqual(["in", "in", "in"]);
    limited(3);
    expect(await tried()).toBe(full("account", "3 viewers"));
  });

  it("holds for those whom another's answer lets in", async () => {
    limited(2, { scope: "address" });
    expect([await tried(), await tried(), await tried()]).toEqual(["in", "in", full("account")]);
    expect(asked).toBe(1);
  });

  it("does not concern publishers", async () => {
    answer = () => allow({ limits: { sessions: 1 } });
    await join({ type: "input", protocol: "INPUT:RTMP", token: "" });
    expect(await tried({ token: "" })).toBe("in");
    sessions.stop(({ type }) => type === "input", "away");
    expect(await tried({ token: "", stream: "other" })).toBe(full("address", "1 viewer"));
  });
});

describe("a place", () => {
  it("is free when its session has been idle for 15 seconds, and not before", async () => {
    limited(1);
    const first = await join();
    first[Symbol.dispose]();
    await clock.advance(14_000);
    expect(await tried()).toBe(full("account", "1 viewer"));
    await clock.advance(1_000);
    expect(await tried()).toBe("in");
  });

  it("is free at once when its session is stopped, and already when its end is told", async () => {
    limited(1);
    await join();
    const told: Promise<unknown>[] = [];
    sessions.onEnd(() => told.push(tried()));
    sessions.stop(() => true, "away");
    expect(await Promise.all(told)).toEqual(["in"]);
  });

  it("is free when `invalidate` ends its session, and kept when the answer is yes", async () => {
    limited(1);
    const first = await join();
    await sessions.invalidate(["live"]);
    expect(await tried()).toBe(full("account", "1 viewer"));
    answer = () => deny("over", { denyFor: 0 });
    await sessions.invalidate(["live"]);
    expect(first.signal.aborted).toBe(true);
    limited(1);
    expect([await tried(), await tried()]).toEqual(["in", full("account", "1 viewer")]);
  });

  it("is not lost by a no, a failure, or a new question while the first is out", async () => {
    answer = () => deny("no", { denyFor: 0, user: "ann" });
    expect(await tried()).toBe("no");
    answer = () => Promise.reject(new Error("broken"));
    expect(await tried()).toBe("broken");
    const slow = Promise.withResolvers<Verdict>();
    answer = () => slow.promise;
    const joining = tried();
    await settle();
    const invalidated = sessions.invalidate(["live"]);
    limited(1);
    slow.resolve(allow({ user: "ann", limits: { sessions: 1 } }));
    expect(await joining).toBe("in");
    await invalidated;
    expect(await tried()).toBe(full("account", "1 viewer"));
    expect(refused.length).toBe(3);
  });

  it("is kept when a recheck's yes has a lower limit; who is new is counted by it", async () => {
    limited(3, { recheckEvery: "10s" });
    const both = [await join(), await join({ token: "t2" })];
    limited(1, { recheckEvery: "10s" });
    await clock.advance(20_000);
    expect(asked).toBeGreaterThanOrEqual(4);
    expect(both.map(({ signal }) => signal.aborted)).toEqual([false, false]);
    expect(await tried()).toBe(full("account", "1 viewer"));
  });

  it("moves to the user that a recheck names, also when that user has too many", async () => {
    limited(1);
    await join();
    answer = () => allow({ user: "ben", limits: { sessions: 1 } });
    await join({ token: "t2" });
    await sessions.invalidate(["live"]);
    expect(await tried()).toBe(full("account", "1 viewer"));
    limited(1);
    expect(await tried()).toBe("in");
    sessions.stop(({ user }) => user === "ben", "away");
    answer = () => allow({ user: "ben", limits: { sessions: 1 } });
    expect(await tried()).toBe("in");
  });
});

describe("who has been there longest", () => {
  const ending = (limit: number, part: Partial<Limits> = {}): void => {
    answer = () => allow({ user: "ann", limits: { sessions: limit, onReached: "end-oldest", ...part } });
  };
  const reasons = (connections: readonly SessionConnection[]): unknown[] =>
    connections.map(({ signal }) => (signal.aborted ? (signal.reason as SluiceError).code : "watches"));

  it("has to go for who comes, if the answer says so", async () => {
    ending(2);
    const all = [await join(), await join({ token: "t2" }), await join({ token: "t3" })];
    expect(reasons(all)).toEqual(["access.ended", "watches", "watches"]);
    expect(all[0]?.signal.reason.message).toBe("2 viewers at most for this account; a newer one has taken this place");
    expect(sessions.list().filter(({ state }) => state === "accepted").length).toBe(2);
  });

  it("goes although many come at once: never more than the limit live", async () => {
    ending(3);
    let most = 0;
    sessions.onAdmit(() => (most = Math.max(most, sessions.census().now.viewer)));
    const told = await Promise.all(Array.from({ length: 50 }, () => tried()));
    expect(told.filter((words) => words === "in").length).toBeGreaterThanOrEqual(3);
    expect([most, sessions.census().now.viewer]).toEqual([3, 3]);
  });

  it("does not come back for 30 seconds at the cost of the newer one", async () => {
    ending(1, { reason: "one screen at a time" });
    (await join()).position(4_000);
    const second = await join({ token: "t2" });
    const told = { code: "access.denied", message: "one screen at a time", retryAfterMs: 30_000, watchedMs: 4_000 };
    await expect(join()).rejects.toMatchObject(told);
    await clock.advance(29_000);
    expect(await tried({ token: "t1" })).toBe("one screen at a time");
    await clock.advance(1_000);
    expect(await tried({ token: "t1" })).toBe("in");
    expect(reasons([second])).toEqual(["access.ended"]);
  });

  it("comes back at once when there is room", async () => {
    ending(1);
    await join();
    await join({ token: "t2" });
    sessions.stop(() => true, "away");
    expect(await tried({ token: "t1" })).toBe("in");
  });

  it("is known again without a token of its own by user, address, protocol and stream", async () => {
    ending(1);
    await join({ token: "made1", madeToken: true });
    await join({ token: "made2", madeToken: true, address: "192.0.2.1" });
    expect(await tried({ token: "made3", madeToken: true })).toContain("a newer one");
    expect(await tried({ token: "made4", madeToken: true, address: "192.0.2.2" })).toBe("in");
  });

  it("keeps its turn when it moves to another user", async () => {
    answer = (id) => allow({ user: id, recheckEvery: "10s" });
    const first = await join();
    ending(2, {});
    const second = await join({ token: "t2" });
    await sessions.invalidate(["live"]);
    const third = await join({ token: "t3" });
    expect(reasons([first, second, third])).toEqual(["access.ended", "watches", "watches"]);
  });
});

describe("limits of several kinds", () => {
  it("all hold", async () => {
    const limits = [{ sessions: 3 }, { sessions: 1, by: "address" }] as const;
    answer = () => allow({ user: "ann", limits });
    expect(await tried()).toBe("in");
    expect(await tried()).toBe("1 viewer at most for this address; close another one first");
    expect(await tried({ address: "192.0.2.1" })).toBe("in");
    expect(await tried({ address: "192.0.2.2" })).toBe("in");
    expect(await tried({ address: "192.0.2.3" })).toBe(full("account", "3 viewers"));
  });

  it("let nobody in who would get his place from one, and no place from another; nobody is ended for that", async () => {
    answer = () => allow({ user: "ann", limits: { sessions: 5 } });
    const inside = [await join(), await join({ token: "t2" })];
    answer = () =>
      allow({
        user: "ann",
        limits: [
          { sessions: 2, onReached: "end-oldest" },
          { sessions: 1, by: "address" },
        ],
      });
    expect(await tried()).toBe("1 viewer at most for this address; close another one first");
    expect(inside.map(({ signal }) => signal.aborted)).toEqual([false, false]);
  });

  it("do not limit a name that the viewer does not have", async () => {
    answer = () => allow({ limits: { sessions: 1, by: "user" } });
    expect([await tried(), await tried()]).toEqual(["in", "in"]);
    answer = () => allow({ limits: { sessions: 1, by: "token" } });
    expect(await tried({ token: "" })).toBe("in");
    expect(await tried({ token: "", stream: "other" })).toBe("in");
    expect(await tried({ token: "a" })).toBe("in");
    expect(await tried({ token: "a", address: "192.0.2.1" })).toBe(full("token", "1 viewer"));
  });

  it("say their own reason and when to come back", async () => {
    answer = () => allow({ user: "ann", limits: { sessions: 1, reason: "one at a time", retryAfter: "20s" } });
    await join();
    await expect(join({ token: "t2" })).rejects.toMatchObject({ message: "one at a time", retryAfterMs: 20_000 });
  });
});

describe("the count", () => {
  it("leaves nothing behind, and mixes up no names", () => {
    const places = new Places(() => 0);
    const seated = ["a", "b c", "live+b\ntoken c"].flatMap((token) =>
      ["live+a", "live+a b", "token"].flatMap((stream) =>
        ["", token].map((user) => ({ id: "", identity: viewer({ stream, token, address: token }), user })),
      ),
    );
    for (const one of seated) places.take(one, { sessions: 1, per: "stream" });
    for (const one of seated) expect(() => places.take(one, { sessions: 3 })).toThrow("3 viewers at most");
    // One name on each stream for each session; and six names on all streams.
    expect([places.size, places.names]).toEqual([seated.length, seated.length + 6]);
    for (const one of seated) places.free(one);
    expect([places.size, places.names]).toEqual([0, 0]);
  });
});
