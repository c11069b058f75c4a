import { beforeEach, describe, expect, it } from "vitest";
import { FakeClock } from "../../../test/support/fake-clock.ts";
import { allow, type Verdict } from "../../base/decision.ts";
import type { SluiceError } from "../../base/errors.ts";
import { type Ask, defaultSessionSettings, type Identity, type SessionConnection, type Sessions } from "../../sessions/session.ts";
import { createSessions } from "../../sessions/sessions.ts";
import { LimitKeeper } from "./limit-keeper.ts";
import type { LimitRule, LimitState } from "./limit.ts";
import { fallbackOf, limitOf } from "./refusal.ts";

let clock: FakeClock;
let rules: Record<string, LimitRule>;
let tags: Record<string, readonly string[]>;
let bitrates: Record<string, number>;
let ended: string[];
let changes: LimitState[];
let keeper: LimitKeeper;
let sessions: Sessions;
let answer: () => Verdict | Promise<Verdict>;
let count: number;

const ask: Ask = async (_id, _first, known) => known ?? answer();
const viewer = (part: Partial<Identity> = {}): Identity => ({
  type: "viewer",
  stream: "live",
  address: "192.0.2.1",
  token: `own${count++}`,
  protocol: "FLV",
  url: "http://h/live.flv",
  ...part,
});
const join = (part: Partial<Identity> = {}): Promise<SessionConnection> => sessions.join(viewer(part), ask);
/** "in", or the words of the refusal. */
const tried = (part: Partial<Identity> = {}): Promise<string> =>
  join(part).then(
    () => "in",
    (error: unknown) => (error as Error).message,
  );
const refusalOf = (part: Partial<Identity> = {}): Promise<SluiceError> =>
  join(part).then(
    () => Promise.reject(new Error("it was let in")),
    (error: unknown) => error as SluiceError,
  );
const used = (name: string): readonly (readonly [string, number, boolean])[] =>
  keeper
    .states()
    .filter((state) => state.name === name)
    .map(({ key, used: now, closed }) => [key, now, closed] as const);
/** Sends to everybody who watches, and gets from publishers, what was agreed for so many seconds. */
const flow = async (seconds: number, ...flows: readonly (readonly [SessionConnection, number])[]): Promise<void> => {
  for (let second = 0; second < seconds; second++) {
    for (const [connection, bits] of flows) connection.count(bits / 8, 0);
    await clock.advance(1_000);
  }
};

beforeEach(() => {
  clock = new FakeClock();
  rules = {};
  tags = {};
  bitrates = {};
  ended = [];
  changes = [];
  count = 0;
  answer = () => allow();
  keeper = new LimitKeeper({
    clock,
    log: { write: () => undefined },
    rules: () => rules,
    streamTags: (stream) => tags[stream] ?? [],
    bitrate: (stream) => bitrates[stream] ?? 0,
    rates: () => sessions.rates(),
    endPublisher: (stream, reason) => {
      ended.push(`${stream}: ${reason}`);
      sessions.stop((session) => session.type === "input" && session.stream === stream, reason);
    },
  });
  keeper.onChange((state) => changes.push(state));
  sessions = createSessions({ clock, log: { write: () => undefined }, settings: () => defaultSessionSettings, places: keeper });
});

describe("sessions", () => {
  it("lets exactly 2 of 200 in who come at once", async () => {
    rules = { two: { by: "server", sessions: 2 } };
    const slow = Promise.withResolvers<Verdict>();
    answer = () => slow.promise;
    const all = Array.from({ length: 200 }, () => tried());
    slow.resolve(allow());
    const told = await Promise.all(all);
    expect(told.filter((words) => words === "in").length).toBe(2);
    expect(told.filter((words) => words === "2 viewers at most on this server; try again later (limit two)").length).toBe(198);
    expect(keeper.states()).toMatchObject([
      { name: "two", key: "server", measure: "sessions", used: 2, most: 2, closed: true, refused: 198 },
    ]);
    sessions.stop(() => true, "away");
    expect([keeper.states(), keeper.sums()]).toEqual([[], [{ name: "two", measure: "sessions", used: 0, most: 2, refused: 198 }]]);
  });

  it("refuses with 503, when to come back, and the limit; nothing of that is remembered", async () => {
    rules = { one: { by: "server", sessions: 1, reason: "full house", retryAfter: "7s" } };
    const first = await join();
    const error = await refusalOf({ token: "late" });
    expect(error).toMatchObject({ code: "access.full", status: 503, message: "full house", retryAfterMs: 7_000 });
    expect([limitOf(error), fallbackOf(error), limitOf(new Error("x"))]).toEqual(["one", undefined, undefined]);
    rules = { one: { by: "server", sessions: 1 } };
    expect((await refusalOf({ token: "late" })).retryAfterMs).toBe(15_000);
    first[Symbol.dispose]();
    await clock.advance(15_000);
    expect(await tried({ token: "late" })).toBe("in");
  });

  it.each([
    ["user", "1 viewer at most for this account; close another one first (limit x)"],
    ["token", "1 viewer at most for this token; close another one first (limit x)"],
    ["address", "1 viewer at most from this address; close another one first (limit x)"],
    ["stream", "1 viewer at most on this stream; try again later (limit x)"],
    ["server", "1 viewer at most on this server; try again later (limit x)"],
  ] as const)("counts by %s", async (by, words) => {
    rules = { x: { by, sessions: 1 } };
    const ann = { token: "secret", address: "192.0.2.1", stream: "live" };
    answer = () => allow({ user: "ann" });
    expect(await tried(ann)).toBe("in");
    answer = () => allow({ user: by === "user" ? "ann" : "ben" });
    const same = { token: "other", address: "192.0.2.2", stream: "else", ...(by in ann && { [by]: ann[by as keyof typeof ann] }) };
    expect(await tried(same)).toBe(words);
    expect(words).not.toContain("secret");
    expect(JSON.stringify(keeper.states())).not.toContain("secret");
    answer = () => allow({ user: "carl" });
    const another = { token: "third", address: "192.0.2.3", stream: "third" };
    expect(await tried(another)).toBe(by === "server" ? words : "in");
  });

  it("does not count who has no such name", async () => {
    rules = { users: { by: "user", sessions: 1 }, tokens: { by: "token", sessions: 1 } };
    expect([await tried({ token: "" }), await tried({ token: "", stream: "b" }), await tried({ madeToken: true })]).toEqual([
      "in",
      "in",
      "in",
    ]);
    expect(keeper.states()).toEqual([]);
  });

  it("counts networks of both families", async () => {
    rules = { net: { by: "address", prefix: { ipv4: 24, ipv6: 56 }, sessions: 1 } };
    expect(await tried({ address: "203.0.113.5" })).toBe("in");
    expect(await tried({ address: "203.0.113.250" })).toBe("1 viewer at most from this network; close another one first (limit net)");
    expect(await tried({ address: "203.0.114.5" })).toBe("in");
    expect(await tried({ address: "2001:db8:0:ff::1" })).toBe("in");
    expect(await tried({ address: "2001:db8:0:f0::2" })).toContain("1 viewer");
    expect(await tried({ address: "2001:db8:0:100::1" })).toBe("in");
    expect(keeper.states().map(({ key }) => key)).toEqual(["203.0.113.0/24", "203.0.114.0/24", "2001:db8::/56", "2001:db8:0:100::/56"]);
  });

  it("counts streams by name, wildcard and tag, each for itself or all together", async () => {
    tags = { eu: ["big"], us: ["big"] };
    rules = {
      each: { by: "stream", streams: ["cam+"], sessions: 1 },
      together: { by: "server", streams: ["#big"], sessions: 1 },
    };
    expect([await tried({ stream: "cam+a" }), await tried({ stream: "cam+b" }), await tried({ stream: "eu" })]).toEqual(["in", "in", "in"]);
    expect(await tried({ stream: "cam+a" })).toContain("on this stream");
    expect(await tried({ stream: "us" })).toBe("1 viewer at most on these streams; try again later (limit together)");
    expect([await tried({ stream: "cam" }), await tried({ stream: "cam" })]).toEqual(["in", "in"]);
    tags = { us: ["big"] };
    keeper.recount();
    expect(await tried({ stream: "us" })).toBe("in");
  });

  it("stays shut until the safe mark", async () => {
    rules = { four: { by: "server", sessions: 4, safe: 0.5 } };
    const all = [await join(), await join(), await join(), await join()];
    const leave = (at: number): void => void sessions.stop(({ id }) => id === all[at]?.sessionId, "away");
    leave(0);
    expect(await tried()).toContain("4 viewers at most");
    leave(1);
    expect(await tried()).toBe("in");
    expect(changes.map(({ used: now, closed }) => [now, closed])).toEqual([
      [4, true],
      [2, false],
    ]);
  });

  it("does not concern publishers", async () => {
    rules = { none: { by: "server", sessions: 1 } };
    await join({ type: "input", protocol: "INPUT:RTMP" });
    expect(await tried()).toBe("in");
    sessions.stop(({ type }) => type === "input", "away");
    expect(used("none")).toEqual([["server", 1, true]]);
  });
});

describe("the oldest", () => {
  it("goes for who comes, in the same step", async () => {
    rules = { two: { by: "stream", sessions: 2, onReached: "end-oldest" } };
    let most = 0;
    sessions.onAdmit(() => (most = Math.max(most, sessions.census().now.viewer)));
    const all = [await join(), await join(), await join()];
    expect(all.map(({ signal }) => (signal.aborted ? signal.reason.message : "watches"))).toEqual([
      "2 viewers at most on this stream; a newer one has taken this place (limit two)",
      "watches",
      "watches",
    ]);
    await Promise.all(Array.from({ length: 20 }, () => tried()));
    expect([most, used("two")]).toEqual([2, [["live", 2, true]]]);
    // 21 had to go; 18 of these had not been told yet that they are in, and are refused.
    expect(keeper.sums()[0]?.refused).toBe(39);
  });

  it("does not come back at the cost of the newer for 30 seconds, so that two do not throw each other out", async () => {
    rules = { one: { by: "user", sessions: 1, onReached: "end-oldest" } };
    answer = () => allow({ user: "ann" });
    await join({ token: "a" });
    const second = await join({ token: "b" });
    const error = await refusalOf({ token: "a" });
    expect(error).toMatchObject({ code: "access.full", retryAfterMs: 30_000 });
    await clock.advance(30_000);
    expect(await tried({ token: "a" })).toBe("in");
    expect(second.signal.aborted).toBe(true);
  });

  it("makes room that another limit can use, too", async () => {
    rules = { server: { by: "server", sessions: 2 }, user: { by: "user", sessions: 1, onReached: "end-oldest" } };
    answer = () => allow({ user: "ann" });
    const ann = await join();
    answer = () => allow({ user: "ben" });
    await join();
    answer = () => allow({ user: "carl" });
    expect(await tried()).toContain("limit server");
    answer = () => allow({ user: "ann" });
    expect(await tried()).toBe("in");
    expect(ann.signal.aborted).toBe(true);
    expect(used("server")).toEqual([["server", 2, true]]);
  });

  it("goes in one step: nobody is told that there was room meanwhile, and who had to go is counted", async () => {
    rules = { one: { by: "server", sessions: 1, onReached: "end-oldest" } };
    await join();
    await join();
    await join();
    expect(changes.map(({ used: now, closed }) => [now, closed])).toEqual([[1, true]]);
    expect(keeper.states()).toMatchObject([{ used: 1, refused: 2 }]);
    sessions.stop(() => true, "away");
    expect(changes.at(-1)).toMatchObject({ used: 0, closed: false });
  });

  it("is who began first, also when it has become another user's since", async () => {
    rules = { two: { by: "user", sessions: 2, onReached: "end-oldest" } };
    answer = () => allow({ user: "ann" });
    const moved = await join();
    answer = () => allow({ user: "ben" });
    const others = [await join({ address: "192.0.2.2" })];
    await sessions.invalidate(["live"]);
    others.push(await join({ address: "192.0.2.3" }));
    expect([moved, ...others].map(({ signal }) => signal.aborted)).toEqual([true, false, false]);
  });

  it("stays when another limit refuses who comes", async () => {
    rules = { user: { by: "user", sessions: 1, onReached: "end-oldest" }, stream: { by: "stream", sessions: 1 } };
    answer = () => allow({ user: "ann" });
    const ann = await join({ stream: "a" });
    answer = () => allow({ user: "ben" });
    await join({ stream: "b" });
    answer = () => allow({ user: "ann" });
    expect(await tried({ stream: "b" })).toContain("limit stream");
    expect(ann.signal.aborted).toBe(false);
  });

  it("goes one by one when a rule has become lower", async () => {
    const all = [await join(), await join(), await join(), await join()];
    rules = { two: { by: "server", sessions: 2, onReached: "end-oldest" } };
    expect(all.filter(({ signal }) => signal.aborted).length).toBe(0);
    expect(await tried()).toBe("in");
    expect(all.map(({ signal }) => signal.aborted)).toEqual([true, true, true, false]);
  });
});

describe("a fallback", () => {
  it("is named in the error, and its viewers do not count", async () => {
    rules = { one: { by: "server", sessions: 1, onReached: { fallback: "Slate" } } };
    expect(await tried()).toBe("in");
    const error = await refusalOf();
    expect([error.code, fallbackOf(error)]).toEqual(["access.full", "slate"]);
    expect([await tried({ stream: "slate" }), await tried({ stream: "slate" })]).toEqual(["in", "in"]);
    expect(used("one")).toEqual([["server", 1, true]]);
  });
});

describe("rules that change", () => {
  it("count who is in already, at once", async () => {
    const all = [await join(), await join(), await join()];
    rules = { three: { by: "server", sessions: 3 } };
    expect(await tried()).toContain("3 viewers at most");
    rules = { three: { by: "server", sessions: 4 } };
    expect(await tried()).toBe("in");
    rules = { three: { by: "server", sessions: 1 } };
    expect(all.some(({ signal }) => signal.aborted)).toBe(false);
    expect(used("three")).toEqual([["server", 4, true]]);
    rules = {};
    expect([await tried(), keeper.states()]).toEqual(["in", []]);
  });

  it("keep what they know when they stay the same", async () => {
    const rule: LimitRule = { by: "server", sessions: 2, safe: 0.5 };
    rules = { a: rule };
    const first = await join();
    await join();
    sessions.stop(({ id }) => id === first.sessionId, "away");
    await tried();
    rules = { a: { ...rule }, b: { by: "stream", sessions: 9 } };
    expect(keeper.sums().map(({ name, refused }) => [name, refused])).toEqual([
      ["a", 0],
      ["b", 0],
    ]);
    await tried();
    await tried();
    rules = { a: { ...rule } };
    expect(keeper.states()).toMatchObject([{ used: 2, closed: true, refused: 2 }]);
  });

  it("follow a session to its new user", async () => {
    rules = { one: { by: "user", sessions: 1 } };
    answer = () => allow({ user: "ann" });
    await join();
    answer = () => allow({ user: "ben" });
    await sessions.invalidate(["live"]);
    expect(used("one")).toEqual([["ben", 1, true]]);
    answer = () => allow({ user: "ann" });
    expect(await tried()).toBe("in");
  });
});

describe("egress", () => {
  it("promises what a viewer will need until the measurement has it, and counts nothing twice", async () => {
    bitrates = { live: 1_000_000 };
    rules = { ten: { by: "stream", egress: 10_000_000 } };
    const all = await Promise.all(Array.from({ length: 20 }, () => join().catch(() => undefined)));
    const inside = all.filter((connection) => connection !== undefined);
    expect(inside.length).toBe(10);
    expect(used("ten")).toEqual([["live", 10_000_000, true]]);
    // They have come at the end of a second, so to say.
    await clock.advance(1_000);
    for (let second = 0; second < 12; second++) {
      await flow(1, ...inside.map((connection) => [connection, 1_000_000] as const));
      expect(used("ten")).toEqual([["live", 10_000_000, true]]);
    }
  });

  it("is shut until the safe mark, and open at once then", async () => {
    bitrates = { live: 1_000_000 };
    rules = { limit: { by: "stream", egress: 4_000_000, safe: 0.5, reason: "busy" } };
    const all = [await join(), await join(), await join(), await join()];
    const busy = await refusalOf();
    expect(busy).toMatchObject({ code: "access.full", message: "busy", retryAfterMs: 5_000 });
    await flow(6, ...all.map((connection) => [connection, 1_000_000] as const));
    sessions.stop(({ id }) => id === all[0]?.sessionId, "away");
    await flow(6, ...all.slice(1).map((connection) => [connection, 1_000_000] as const));
    expect([used("limit"), await tried()]).toEqual([[["live", 3_000_000, true]], "busy"]);
    sessions.stop(({ id }) => id === all[1]?.sessionId, "away");
    await flow(4, ...all.slice(2).map((connection) => [connection, 1_000_000] as const));
    expect(await tried()).toBe("busy");
    await flow(1, ...all.slice(2).map((connection) => [connection, 1_000_000] as const));
    expect([used("limit"), await tried()]).toEqual([[["live", 2_000_000, false]], "in"]);
  });

  it("shuts by itself when streams need more than before", async () => {
    bitrates = { live: 1_000_000, other: 500_000 };
    rules = { all: { by: "server", egress: 4_000_000 } };
    const [one, two] = [await join(), await join({ stream: "other" })];
    await flow(6, [one, 4_000_000], [two, 500_000]);
    expect(used("all")).toEqual([["server", 4_500_000, true]]);
    expect(await tried()).toBe("No bandwidth is left on this server for another viewer; try again later (limit all)");
    expect(changes.at(-1)).toMatchObject({ name: "all", closed: true });
  });

  it("counts a tag's streams together, and no others", async () => {
    tags = { a: ["eu"], b: ["eu"] };
    bitrates = { a: 600_000, b: 600_000, c: 600_000 };
    rules = { eu: { by: "server", streams: ["#eu"], egress: 1_000_000 } };
    expect([await tried({ stream: "a" }), await tried({ stream: "c" })]).toEqual(["in", "in"]);
    expect(await tried({ stream: "b" })).toBe("No bandwidth is left on these streams for another viewer; try again later (limit eu)");
  });

  it("lets the first viewer of a stream in of which nothing is known, then measures", async () => {
    rules = { low: { by: "stream", egress: 300_000 } };
    const first = await join();
    expect(await tried()).toContain("No bandwidth");
    await flow(7, [first, 100_000]);
    expect(used("low")).toEqual([["live", 100_000, false]]);
    expect([await tried(), await tried(), await tried()].filter((words) => words === "in").length).toBe(2);
  });

  it("refuses a viewer who needs more than there is at all", async () => {
    bitrates = { live: 5_000_000 };
    rules = { low: { by: "server", egress: 3_000_000 } };
    expect(await tried()).toContain("No bandwidth");
    await clock.advance(2_000);
    expect(keeper.states()).toEqual([]);
  });

  it("gives back what was promised to who has left", async () => {
    bitrates = { live: 1_000_000 };
    rules = { two: { by: "server", egress: 2_000_000 } };
    await join();
    await join();
    expect(await tried()).toContain("No bandwidth");
    sessions.stop(() => true, "away");
    expect(await tried()).toBe("in");
  });

  it("ends the oldest, and does not end more for what these have got before", async () => {
    bitrates = { live: 1_000_000 };
    rules = { three: { by: "server", egress: 3_000_000, onReached: "end-oldest" } };
    const all = [await join(), await join(), await join()];
    await flow(8, ...all.map((connection) => [connection, 1_000_000] as const));
    all.push(await join());
    await flow(1, ...all.slice(1).map((connection) => [connection, 1_000_000] as const));
    all.push(await join());
    expect(all.map(({ signal }) => signal.aborted)).toEqual([true, true, false, false, false]);
    for (let second = 0; second < 8; second++) {
      await flow(1, ...all.slice(2).map((connection) => [connection, 1_000_000] as const));
      expect(used("three")).toEqual([["server", 3_000_000, true]]);
    }
    expect(all[0]?.signal.reason.message).toBe(
      "3 Mbit/s to viewers at most on this server; a newer one has taken this place (limit three)",
    );
  });

  it("is measured on after a change of rules, with its promises", async () => {
    bitrates = { live: 1_000_000 };
    rules = { a: { by: "server", egress: 5_000_000 } };
    const [one, two] = [await join(), await join()];
    await clock.advance(1_000);
    await flow(2, [one, 1_000_000], [two, 1_000_000]);
    rules = { b: { by: "stream", egress: 2_000_000 } };
    expect(await tried()).toContain("limit b");
    expect(used("b")).toEqual([["live", 2_000_000, true]]);
  });
});

describe("ingest", () => {
  const publisher = (stream: string): Promise<SessionConnection> => {
    keeper.admitPublisher(stream);
    return join({ type: "input", stream, protocol: "INPUT:RTMP", token: stream });
  };
  const push = async (seconds: number, ...flows: readonly (readonly [SessionConnection, number])[]): Promise<void> => {
    for (let second = 0; second < seconds; second++) {
      for (const [connection, bits] of flows) if (!connection.signal.aborted) connection.count(0, bits / 8);
      await clock.advance(1_000);
    }
  };

  it("ends a publisher who stays over it, and not one who is over it for a moment", async () => {
    rules = { two: { by: "stream", ingest: 2_000_000 } };
    const [calm, loud] = [await publisher("calm"), await publisher("loud")];
    await push(1, [calm, 8_000_000], [loud, 1_000_000]);
    await push(3, [calm, 500_000], [loud, 4_000_000]);
    expect(ended).toEqual(["loud: 2 Mbit/s at most are taken on this stream; push less (limit two)"]);
    expect(() => keeper.admitPublisher("loud")).toThrow("push less");
    keeper.admitPublisher("third");
    await push(29, [calm, 500_000]);
    expect(() => keeper.admitPublisher("loud")).toThrow("push less");
    await push(1, [calm, 500_000]);
    keeper.admitPublisher("loud");
    expect(ended.length).toBe(1);
  });

  it.each([
    ["refuse", "c"],
    ["end-oldest", "a"],
  ] as const)("of all together ends only one (%s)", async (onReached, gone) => {
    rules = { sum: { by: "server", ingest: 5_000_000, onReached, reason: "too much" } };
    const [a, b, c] = [await publisher("a"), await publisher("b"), await publisher("c")];
    await push(12, [a, 2_000_000], [b, 2_000_000], [c, 2_000_000]);
    expect(ended).toEqual([`${gone}: too much`]);
    expect(used("sum")).toEqual([["server", 4_000_000, false]]);
    rules = { sum: { by: "server", ingest: 4_000_000 } };
    const error = (() => {
      try {
        keeper.admitPublisher("d");
      } catch (thrown) {
        return thrown as SluiceError;
      }
    })();
    expect(error).toMatchObject({ code: "access.full", status: 503, retryAfterMs: 5_000 });
    expect(keeper.sums()[0]?.refused).toBe(2);
  });

  it("forgets its bans when the rules change", async () => {
    rules = { two: { by: "stream", ingest: 1_000_000 } };
    const one = await publisher("one");
    await push(4, [one, 4_000_000]);
    expect(ended.length).toBe(1);
    rules = { two: { by: "stream", ingest: 9_000_000 } };
    keeper.admitPublisher("one");
  });
});

describe("who listens", () => {
  it("cannot disturb by throwing", async () => {
    rules = { one: { by: "server", sessions: 1 } };
    keeper.onChange(() => {
      throw new Error("broken");
    });
    expect(await tried()).toBe("in");
  });
});
