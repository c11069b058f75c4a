import { beforeEach, describe, expect, it } from "vitest";
import { FakeClock, settle } from "../../../test/support/fake-clock.ts";
import { type Allow, allow, type Deny, deny, type Verdict } from "../../base/decision.ts";
import { Grants } from "./grants.ts";
import { type Ask, defaultSessionSettings, type Identity, type SessionConnection, type SessionEnd, type Sessions } from "../session.ts";
import { createSessions } from "../sessions.ts";

const viewer = (part: Partial<Identity> = {}): Identity => ({
  type: "viewer",
  stream: "live",
  address: "127.0.0.1",
  token: "t1",
  protocol: "HLS",
  url: "http://h/hls/live/index.m3u8?tkn=t1",
  ...part,
});

let clock: FakeClock;
let sessions: Sessions;
let ends: SessionEnd[];
let asked: string[];
let answer: (id: string) => Verdict | Promise<Verdict>;
const ask: Ask = async (id, _first, known) => {
  if (known) return known;
  asked.push(id);
  return answer(id);
};
const join = (part: Partial<Identity> = {}): Promise<SessionConnection> => sessions.join(viewer(part), ask);
const reason = (connection: SessionConnection): unknown => (connection.signal.aborted ? connection.signal.reason.message : undefined);
const failure: Deny = { ...deny("no answer"), failed: true };

beforeEach(() => {
  clock = new FakeClock();
  sessions = createSessions({ clock, log: { write: () => undefined }, settings: () => defaultSessionSettings });
  ends = [];
  asked = [];
  answer = () => allow();
  sessions.onEnd((end) => ends.push(end));
});

describe("ttl", () => {
  it("a yes is asked for again when it is over, and goes on with a new one", async () => {
    answer = () => allow({ ttl: "10s" });
    const connection = await join();
    await clock.advance(9_000);
    await join();
    expect(asked.length).toBe(1);
    await clock.advance(1_000);
    expect(asked.length).toBe(2);
    await clock.advance(10_000);
    expect([asked.length, reason(connection)]).toEqual([3, undefined]);
  });

  it("a no at its end ends the session", async () => {
    answer = () => allow({ ttl: 5_000 });
    const connection = await join();
    answer = () => deny("the day pass is over");
    await clock.advance(5_000);
    expect(reason(connection)).toBe("the day pass is over");
    await expect(join()).rejects.toThrow("the day pass is over");
    expect(ends.length).toBe(1);
  });

  it("new connections wait for the answer; who is connected stays until it comes", async () => {
    answer = () => allow({ ttl: "5s" });
    const connection = await join();
    const fresh = Promise.withResolvers<Verdict>();
    answer = () => fresh.promise;
    await clock.advance(5_000);
    let joined = 0;
    const later = [join(), join()].map((joining) => joining.then(() => joined++));
    await settle();
    expect([asked.length, joined, reason(connection)]).toEqual([2, 0, undefined]);
    fresh.resolve(allow({ ttl: "5s" }));
    await Promise.all(later);
    expect([asked.length, joined, reason(connection)]).toEqual([2, 2, undefined]);
  });

  it("a failure ends the session, as there is no yes any more, and is soon forgotten", async () => {
    answer = () => allow({ ttl: "5s" });
    const connection = await join();
    answer = () => failure;
    await clock.advance(5_000);
    expect(reason(connection)).toBe("no answer");
    await expect(join()).rejects.toThrow("no answer");
    await clock.advance(5_000);
    answer = () => allow();
    await join();
  });

  it("a request that comes between two seconds finds the yes over, too", async () => {
    answer = () => allow({ ttl: 1_500 });
    await join();
    await clock.advance(1_600);
    await join();
    expect(asked.length).toBe(2);
  });

  it("0 asks at every request", async () => {
    answer = () => allow({ ttl: 0 });
    await join();
    await join();
    expect(asked.length).toBe(2);
  });
});

describe("staleFor", () => {
  const life = { ttl: "5s", staleFor: "30s" } as const;

  it("the old yes serves while a fresh answer is fetched", async () => {
    answer = () => allow(life);
    const connection = await join();
    const fresh = Promise.withResolvers<Verdict>();
    answer = () => fresh.promise;
    await clock.advance(6_000);
    await join();
    expect([asked.length, reason(connection)]).toEqual([2, undefined]);
    fresh.resolve(allow(life));
    await settle();
    await clock.advance(5_000);
    expect(asked.length).toBe(3);
  });

  it("bridges an outage, tries again meanwhile, and ends when it is over", async () => {
    answer = () => allow(life);
    const connection = await join();
    answer = () => failure;
    await clock.advance(34_000);
    await join();
    expect(reason(connection)).toBeUndefined();
    expect(asked.length).toBeGreaterThan(4);
    await clock.advance(1_000);
    expect(reason(connection)).toBe("no answer");
  });

  it("an outage that ends in time changes nothing", async () => {
    answer = () => allow(life);
    const connection = await join();
    answer = () => failure;
    await clock.advance(20_000);
    answer = () => allow(life);
    await clock.advance(60_000);
    expect([reason(connection), ends.length]).toEqual([undefined, 0]);
  });

  it("a no counts at once", async () => {
    answer = () => allow(life);
    const connection = await join();
    answer = () => deny("no more");
    await clock.advance(5_000);
    expect(reason(connection)).toBe("no more");
  });
});

describe("recheckEvery", () => {
  it("a failure ends nobody, as the yes itself has no end", async () => {
    answer = () => allow({ recheckEvery: "5s" });
    const connection = await join();
    answer = () => failure;
    await clock.advance(120_000);
    expect(reason(connection)).toBeUndefined();
    expect(asked.length).toBeGreaterThan(20);
  });

  it("asks within a longer ttl", async () => {
    answer = () => allow({ ttl: "60s", recheckEvery: "10s" });
    await join();
    await clock.advance(30_000);
    expect(asked.length).toBe(4);
  });
});

describe("who the viewer is", () => {
  it("user and tags are shown, told at the end, and can be picked", async () => {
    answer = () => allow({ user: "ann", tags: ["vip", "eu"] });
    const { sessionId } = await join();
    expect(sessions.get(sessionId)).toMatchObject({ user: "ann", tags: ["vip", "eu"] });
    expect(sessions.stop(({ tags }) => tags.includes("vip"), "stopped")).toBe(1);
    expect(ends[0]).toMatchObject({ user: "ann", tags: ["vip", "eu"] });
  });

  it("a later answer says so anew", async () => {
    answer = () => allow({ ttl: "1s", user: "ann" });
    const { sessionId } = await join();
    answer = () => allow({ user: "bob", tags: ["x"] });
    await clock.advance(1_000);
    expect(sessions.get(sessionId)).toMatchObject({ user: "bob", tags: ["x"] });
  });
});

describe("scope", () => {
  const other = { address: "127.0.0.2" };

  it.each([
    ["token", { address: "127.0.0.2" }, { token: "t2" }],
    ["address", { token: "t2" }, { address: "127.0.0.2" }],
  ] as const)("a yes for the %s lets its other sessions in without a question", async (scope, same, different) => {
    answer = () => allow({ scope, ttl: "60s", user: "ann", tags: ["vip"] });
    const first = await join();
    const second = await join(same);
    expect(asked).toEqual([first.sessionId]);
    expect(sessions.get(second.sessionId)).toMatchObject({ state: "accepted", user: "ann", tags: ["vip"] });
    await join(different);
    await join({ ...same, stream: "other" });
    expect(asked.length).toBe(3);
  });

  it("one question renews the yes of all", async () => {
    answer = () => allow({ scope: "token", ttl: "10s" });
    const connections = [await join(), await join(other), await join({ address: "127.0.0.3" })];
    await clock.advance(10_000);
    expect(asked.length).toBe(2);
    answer = () => deny("over", { scope: "token" });
    await clock.advance(10_000);
    expect(asked.length).toBe(3);
    expect(connections.map(reason)).toEqual(["over", "over", "over"]);
  });

  it("a yes for a token is for no other stream, however the names and tokens are cut", async () => {
    answer = () => allow({ scope: "token", ttl: "60s", user: "ann" });
    await join({ stream: "live+a", token: "b t" });
    await join({ stream: "live+a b", token: "t", address: "127.0.0.2" });
    expect(asked).toHaveLength(2);
  });

  it("a no without a scope is for one session: the others are asked about", async () => {
    answer = () => allow({ scope: "token", ttl: "10s" });
    const [first, second] = [await join(), await join(other)];
    answer = (id) => (id === first?.sessionId ? deny("not here") : allow());
    await clock.advance(10_000);
    expect([reason(first), reason(second), asked.length]).toEqual(["not here", undefined, 3]);
  });

  it("its failure is one failure for all", async () => {
    answer = () => allow({ scope: "token", ttl: "10s", staleFor: "10s" });
    const connections = [await join(), await join(other)];
    answer = () => failure;
    await clock.advance(14_000);
    expect(asked.length).toBe(2);
    expect(connections.map(reason)).toEqual([undefined, undefined]);
    await clock.advance(6_000);
    expect(connections.map(reason)).toEqual(["no answer", "no answer"]);
  });

  it("a yes without an end holds as long as one of its sessions lives", async () => {
    answer = () => allow({ scope: "token" });
    const first = await join();
    const second = await join(other);
    first[Symbol.dispose]();
    await clock.advance(20_000);
    await join();
    expect(asked.length).toBe(1);
    second[Symbol.dispose]();
    sessions.stop(() => true, "stopped");
    await join();
    expect(asked.length).toBe(2);
  });

  it("with a ttl it also holds for who comes later", async () => {
    answer = () => allow({ scope: "token", ttl: "60s" });
    (await join())[Symbol.dispose]();
    await clock.advance(30_000);
    expect(ends.length).toBe(1);
    await join();
    expect(asked.length).toBe(1);
    await clock.advance(30_000);
    expect(asked.length).toBe(2);
  });

  it("a no for the token refuses its other sessions, and ends those that live", async () => {
    const watching = await join();
    const stranger = await join({ token: "t2" });
    answer = () => deny("shared too often", { scope: "token", denyFor: "60s" });
    await expect(join(other)).rejects.toThrow("shared too often");
    expect([reason(watching), reason(stranger)]).toEqual(["shared too often", undefined]);
    await expect(join({ address: "127.0.0.9" })).rejects.toThrow("shared too often");
    expect(asked.length).toBe(3);
    await clock.advance(60_000);
    answer = () => allow();
    await join({ address: "127.0.0.9" });
    expect(asked.length).toBe(4);
  });

  it("a user is known by the tokens under which the handlers have named them", async () => {
    answer = () => allow({ scope: "user", user: "ann", ttl: "60s" });
    const first = await join({ token: "phone" });
    await join({ token: "phone", address: "127.0.0.2" });
    expect(asked.length).toBe(1);
    const tv = await join({ token: "tv" });
    await join({ token: "phone", address: "127.0.0.3" });
    expect(asked.length).toBe(2);
    answer = () => deny("the account is closed", { scope: "user", user: "ann" });
    await expect(join({ token: "tablet" })).rejects.toThrow("closed");
    expect([first, tv].map(reason)).toEqual(["the account is closed", "the account is closed"]);
    await expect(join({ token: "phone", address: "127.0.0.4" })).rejects.toThrow("closed");
    expect(asked.length).toBe(3);
  });

  it("invalidate asks again, once for all, and forgets the no", async () => {
    answer = () => allow({ scope: "token", ttl: "1h" });
    const connections = [await join(), await join(other)];
    await sessions.invalidate(["live"]);
    expect(asked.length).toBe(2);
    answer = () => deny("closed", { scope: "address" });
    await sessions.invalidate(["live"]);
    expect(connections.map(reason)).toEqual(["closed", "closed"]);
    await sessions.invalidate(["live"]);
    answer = () => allow();
    await join({ token: "new" });
    await join();
  });

  it("without a token there is nobody to share with", async () => {
    answer = () => allow({ scope: "token", ttl: "60s" });
    await join({ token: "" });
    await join({ token: "", address: "127.0.0.2" });
    expect(asked.length).toBe(2);
  });
});

describe("the book of answers", () => {
  const until = { at: 0, freshUntil: 1000, until: 1000 };
  const yes: Allow = allow({ scope: "token", ttl: 1000 });

  it("is bounded, and forgets what is over", () => {
    const grants = new Grants(10);
    for (let at = 0; at < 100; at++) grants.keep(viewer({ token: `t${at}` }), yes, until);
    expect(grants.size).toBe(10);
    expect(grants.find(viewer({ token: "t99" }), "", 999)).toBeDefined();
    expect(grants.find(viewer({ token: "t0" }), "", 999)).toBeUndefined();
    grants.expire(1000);
    expect(grants.size).toBe(0);
  });

  it("puts a no before a yes", () => {
    const grants = new Grants();
    grants.keep(viewer(), yes, until);
    grants.keep(viewer(), deny("no", { scope: "address" }), until);
    expect(grants.find(viewer(), "", 5)?.verdict.kind).toBe("deny");
  });
});

describe("many at the same time", () => {
  it("are asked about 64 at a time", async () => {
    answer = () => allow({ ttl: "5s", staleFor: "1m" });
    for (let at = 0; at < 200; at++) await join({ token: `t${at}` });
    asked = [];
    let waiting: PromiseWithResolvers<Verdict>[] = [];
    answer = () => {
      const one = Promise.withResolvers<Verdict>();
      waiting.push(one);
      return one.promise;
    };
    await clock.advance(8_000);
    const counts: number[] = [];
    while (waiting.length > 0) {
      counts.push(waiting.length);
      const now = waiting;
      waiting = [];
      for (const one of now) one.resolve(allow());
      await settle();
    }
    expect(counts).toEqual([64, 64, 64, 8]);
    expect(new Set(asked).size).toBe(200);
  });
});
