import { beforeEach, describe, expect, it } from "vitest";
import { FakeClock, settle } from "../../../test/support/fake-clock.ts";
import { allow, deny, type Verdict } from "../../base/decision.ts";
import { isSluiceError, type SluiceError } from "../../base/errors.ts";
import { readSessionIdentity } from "../../base/session-identity.ts";
import { type Ask, defaultSessionSettings, type Identity, type SessionConnection, type SessionEnd, type Sessions } from "../session.ts";
import { createSessions } from "../sessions.ts";

const viewer = (part: Partial<Identity> = {}): Identity => ({
  type: "viewer",
  stream: "live",
  address: "127.0.0.1",
  token: "t1",
  protocol: "HLS",
  url: "",
  ...part,
});

let clock: FakeClock;
let sessions: Sessions;
let ends: SessionEnd[];
let asked: string[];
let expression: string;
let answer: (token: string) => Verdict | Promise<Verdict>;
const askOf =
  ({ token }: Identity): Ask =>
  async (_id, first, known) => {
    if (known) return known;
    asked.push(`${first ? "first" : "again"} ${token}`);
    return answer(token);
  };
const join = (part: Partial<Identity> = {}): Promise<SessionConnection> => {
  const identity = viewer(part);
  return sessions.join(identity, askOf(identity));
};
const renew = (id: string, part: Partial<Identity>): Promise<void> => {
  const identity = viewer(part);
  return sessions.renew(id, identity, askOf(identity));
};
const reason = ({ signal }: SessionConnection): unknown => (signal.aborted ? (signal.reason as SluiceError).message : "watches");
const refused = async (joining: Promise<unknown>): Promise<SluiceError> => {
  const error: unknown = await joining.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!isSluiceError(error)) throw new Error("it was let in", { cause: error });
  return error;
};
const inSeconds = (seconds: number): number => clock.now() + seconds * 1000;
const expired = "The permission to watch has ended.";

beforeEach(() => {
  clock = new FakeClock();
  expression = "";
  const settings = () => ({ ...defaultSessionSettings, sessionIdentity: readSessionIdentity(expression) });
  sessions = createSessions({ clock, log: { write: () => undefined }, settings });
  ends = [];
  asked = [];
  answer = () => allow();
  sessions.onEnd((end) => ends.push(end));
});

describe("expiresAt", () => {
  it("is asked about once, up to 10 seconds before, and a yes with a later end goes on", async () => {
    const end = inSeconds(600);
    answer = () => allow({ expiresAt: end });
    const connection = await join();
    expect(sessions.get(connection.sessionId)?.expiresAt).toBe(end);
    await clock.advance(588_000);
    expect(asked).toEqual(["first t1"]);
    answer = () => allow({ expiresAt: end + 600_000 });
    await clock.advance(2_000);
    expect(asked).toEqual(["first t1", "again t1"]);
    await clock.advance(500_000);
    expect([asked.length, reason(connection), sessions.get(connection.sessionId)?.expiresAt]).toEqual([2, "watches", end + 600_000]);
  });

  it("of a short life is asked about a tenth of it before", async () => {
    answer = () => allow({ expiresAt: inSeconds(30) });
    const connection = await join();
    await clock.advance(25_000);
    expect(asked.length).toBe(1);
    await clock.advance(2_000);
    expect([asked.length, reason(connection)]).toEqual([2, "watches"]);
  });

  it("ends the session to the millisecond when the answer has the same end, after one question", async () => {
    const end = inSeconds(60.3);
    answer = () => allow({ expiresAt: end, recheckEvery: "20s" });
    const connection = await join();
    await clock.advance(60_299);
    // Two by `recheckEvery`; the third is early because of the end, which then is known to be none that moves.
    expect([asked.length, reason(connection)]).toEqual([4, "watches"]);
    await clock.advance(1);
    expect([reason(connection), ends.length, asked.length]).toEqual([expired, 1, 4]);
  });

  it("ends the session when no answer comes in time, and what comes later changes nothing", async () => {
    answer = () => allow({ expiresAt: inSeconds(100), staleFor: "1h" });
    const connection = await join();
    const late = Promise.withResolvers<Verdict>();
    answer = () => late.promise;
    await clock.advance(99_999);
    expect([asked.length, reason(connection)]).toEqual([2, "watches"]);
    const waiting = join();
    await clock.advance(1);
    expect([reason(connection), ends.length]).toEqual([expired, 1]);
    await waiting;
    late.resolve(allow());
    await settle();
    expect(ends.length).toBe(1);
  });

  it("ends the session at once with a no", async () => {
    answer = () => allow({ expiresAt: inSeconds(100) });
    const connection = await join();
    answer = () => deny("subscription cancelled");
    await clock.advance(90_000);
    expect(reason(connection)).toBe("subscription cancelled");
  });

  it("is not touched by a failure before it, and ends with one at it", async () => {
    answer = () => allow({ expiresAt: inSeconds(100) });
    const connection = await join();
    answer = () => ({ ...deny("no answer"), failed: true });
    await clock.advance(99_000);
    expect([asked.length > 2, reason(connection)]).toEqual([true, "watches"]);
    await clock.advance(1_000);
    expect([reason(connection), ends.length]).toEqual([expect.stringMatching(/no answer|has ended/), 1]);
    answer = () => allow();
    await clock.advance(5_000);
    await join();
  });

  it("that has passed is a no, soon asked for again", async () => {
    answer = () => allow({ expiresAt: clock.now() });
    expect((await refused(join())).message).toBe(expired);
    await refused(join());
    expect(asked.length).toBe(1);
    await clock.advance(5_000);
    answer = () => allow();
    await join();
    expect(ends).toEqual([]);
  });

  it("bounds an answer that is for several sessions, and is asked about once for all", async () => {
    const end = inSeconds(100);
    answer = () => allow({ expiresAt: end, scope: "address" });
    const all = [await join(), await join({ token: "t2" }), await join({ token: "t3" })];
    answer = () => allow({ expiresAt: end + 100_000, scope: "address" });
    await clock.advance(150_000);
    expect([asked.length, all.map(reason)]).toEqual([2, ["watches", "watches", "watches"]]);
    await clock.advance(50_000);
    expect([asked.length, new Set(all.map(reason))]).toEqual([3, new Set([expired])]);
  });

  it("asks with the token that came last, also when that comes in the last seconds", async () => {
    expression = "stream, ip";
    const end = inSeconds(100);
    answer = (token) => allow({ expiresAt: token === "t1" ? end : end + 500_000 });
    const connection = await join();
    await clock.advance(50_000);
    await join({ token: "made", madeToken: true });
    await clock.advance(42_000);
    expect(asked).toEqual(["first t1", "again t1"]);
    (await join({ token: "t2" }))[Symbol.dispose]();
    await clock.advance(1_000);
    expect(asked).toEqual(["first t1", "again t1", "again t2"]);
    await clock.advance(300_000);
    expect([reason(connection), asked.length]).toEqual(["watches", 3]);
  });
});

describe("two players of one session", () => {
  it("with a token each ask no more often than one", async () => {
    expression = "stream, ip";
    const end = inSeconds(100);
    answer = () => allow({ expiresAt: end });
    const connection = await join();
    for (let polled = 0; polled < 99; polled++) {
      for (const token of ["t1", "t2"]) (await join({ token }))[Symbol.dispose]();
      await clock.advance(1_000);
    }
    expect([reason(connection), asked]).toEqual(["watches", ["first t1", "again t2"]]);
  });
});

describe("renew", () => {
  it("makes a fresh token another name of the session, and its life the session's", async () => {
    answer = () => allow({ expiresAt: inSeconds(60) });
    const connection = await join();
    connection.count(10, 0);
    answer = () => allow({ expiresAt: inSeconds(600), user: "ann", tags: ["renewed"] });
    const changes: string[] = [];
    sessions.onChange((_id, what) => changes.push(what));
    await renew(connection.sessionId, { token: "t2" });
    const later = await join({ token: "t2" });
    expect([later.sessionId, asked, changes.includes("changed")]).toEqual([connection.sessionId, ["first t1", "again t2"], true]);
    await clock.advance(300_000);
    expect(reason(connection)).toBe("watches");
    expect(sessions.get(connection.sessionId)).toMatchObject({ token: "t2", user: "ann", tags: ["renewed"], up: 10 });
    await clock.advance(295_000);
    // The next question is asked with the newest token.
    expect(asked.at(-1)).toBe("again t2");
    sessions.stop(() => true, "over");
    expect(ends).toMatchObject([{ id: connection.sessionId, token: "t1" }]);
  });

  it("is not undone by requests that still have the old token", async () => {
    answer = (token) => allow({ expiresAt: inSeconds(token === "t1" ? 60 : 600) });
    const connection = await join();
    await renew(connection.sessionId, { token: "t2" });
    answer = (token) => (token === "t1" ? deny("the old pass is over") : allow({ expiresAt: inSeconds(600) }));
    for (let polled = 0; polled < 100; polled++) {
      (await join())[Symbol.dispose]();
      await clock.advance(6_000);
    }
    expect([reason(connection), asked]).toEqual(["watches", ["first t1", "again t2", "again t2"]]);
  });

  it("with a no leaves the session as it is", async () => {
    const connection = await join();
    answer = () => deny("this token is no good", { retryAfter: "7s" });
    expect(await refused(renew(connection.sessionId, { token: "t2" }))).toMatchObject({
      code: "access.denied",
      message: "this token is no good",
      retryAfterMs: 7000,
    });
    answer = () => allow();
    await join();
    expect([reason(connection), asked]).toEqual(["watches", ["first t1", "again t2"]]);
    const other = await join({ token: "t2" });
    expect(other.sessionId).not.toBe(connection.sessionId);
  });

  it("with a failure or an error leaves the session as it is, too", async () => {
    const connection = await join();
    answer = () => Promise.reject(new Error("broken"));
    expect(await refused(renew(connection.sessionId, { token: "t2" }))).toMatchObject({ code: "access.denied", message: "broken" });
    expect(reason(connection)).toBe("watches");
  });

  it("is one after the other, and the last one counts", async () => {
    const connection = await join();
    const first = Promise.withResolvers<Verdict>();
    answer = (token) => (token === "t2" ? first.promise : allow({ expiresAt: inSeconds(900) }));
    const both = [renew(connection.sessionId, { token: "t2" }), renew(connection.sessionId, { token: "t3" })];
    await settle();
    expect(asked).toEqual(["first t1", "again t2"]);
    first.resolve(allow({ expiresAt: inSeconds(30) }));
    await Promise.all(both);
    expect(asked).toEqual(["first t1", "again t2", "again t3"]);
    expect(sessions.get(connection.sessionId)).toMatchObject({ token: "t3", expiresAt: inSeconds(900) });
  });

  it("waits for a question that is out, and is rejected when the session ends meanwhile", async () => {
    const connection = await join();
    const slow = Promise.withResolvers<Verdict>();
    answer = (token) => (token === "t1" ? slow.promise : allow());
    const touched = sessions.invalidate(["live"]);
    const renewing = refused(renew(connection.sessionId, { token: "t2" }));
    await settle();
    expect(asked).toEqual(["first t1", "again t1"]);
    slow.resolve(deny("over"));
    expect([await touched, (await renewing).code, asked.length]).toEqual([1, "access.ended", 2]);
  });

  it("is rejected when the session is stopped before its answer comes; the answer has no effect", async () => {
    const connection = await join();
    const slow = Promise.withResolvers<Verdict>();
    answer = () => slow.promise;
    const renewing = refused(renew(connection.sessionId, { token: "t2" }));
    await settle();
    sessions.stop(() => true, "stopped");
    slow.resolve(allow());
    expect((await renewing).code).toBe("access.ended");
    answer = () => deny("no");
    await refused(join({ token: "t2" }));
    expect(ends.length).toBe(1);
  });

  it("of nobody, of another stream, of a publisher or of a refused session is access.unknown", async () => {
    const { sessionId } = await join();
    const input = await join({ type: "input", protocol: "INPUT:RTMP" });
    for (const [id, part] of [
      ["nobody", {}],
      [sessionId, { stream: "other" }],
      [input.sessionId, { type: "input" }],
    ] as const) {
      expect((await refused(renew(id, part))).code).toBe("access.unknown");
    }
    expect(asked).toEqual(["first t1"]);
  });

  it("asks once more when rules change while its question is out; a no to it is followed by a question about the session", async () => {
    const connection = await join();
    let slow = Promise.withResolvers<Verdict>();
    answer = (token) => (token === "t2" ? slow.promise : allow());
    const yes = renew(connection.sessionId, { token: "t2" });
    await settle();
    const first = sessions.invalidate(["live"]);
    const answered = slow;
    slow = Promise.withResolvers<Verdict>();
    answered.resolve(allow());
    await settle();
    expect(asked).toEqual(["first t1", "again t2", "again t2"]);
    slow.resolve(allow());
    await Promise.all([yes, first]);

    slow = Promise.withResolvers<Verdict>();
    answer = (token) => (token === "t3" ? slow.promise : deny("rules have changed"));
    const no = refused(renew(connection.sessionId, { token: "t3" }));
    await settle();
    const second = sessions.invalidate(["live"]);
    slow.resolve(deny("no good"));
    expect([(await no).message, await second, reason(connection)]).toEqual(["no good", 1, "rules have changed"]);
  });

  it("keeps a bounded number of names, and takes them along when the session ends", async () => {
    const connection = await join();
    for (let at = 2; at <= 21; at++) await renew(connection.sessionId, { token: `t${at}` });
    asked = [];
    for (const token of ["t1", "t14", "t21"]) expect((await join({ token })).sessionId).toBe(connection.sessionId);
    expect(asked).toEqual([]);
    expect((await join({ token: "t13" })).sessionId).not.toBe(connection.sessionId);
    sessions.stop({ ids: [connection.sessionId] }, "over");
    asked = [];
    await join({ token: "t21" });
    expect(asked).toEqual(["first t21"]);
  });

  it("works for a session that has taken the answer of another one of its scope", async () => {
    answer = () => allow({ scope: "address", ttl: "10s" });
    await join();
    await clock.advance(3_000);
    const second = await join({ token: "t2" });
    await clock.advance(8_000);
    await renew(second.sessionId, { token: "t3" });
    await sessions.invalidate({ ids: [second.sessionId] });
    expect(asked.slice(-2)).toEqual(["again t3", "again t3"]);
  });

  it("does not take the name of a session that lives already", async () => {
    const [one, two] = [await join(), await join({ token: "t2" })];
    await renew(one.sessionId, { token: "t2" });
    expect((await join({ token: "t2" })).sessionId).toBe(two.sessionId);
    expect([reason(one), reason(two), sessions.get(one.sessionId)?.token]).toEqual(["watches", "watches", "t2"]);
  });

  it("is not overtaken by the question that is due: nobody is asked with the old token any more", async () => {
    answer = () => allow({ ttl: "20s" });
    const connection = await join();
    const slow = Promise.withResolvers<Verdict>();
    answer = (token) => (token === "t2" ? slow.promise : deny("the old token is over"));
    await clock.advance(19_000);
    const renewing = renew(connection.sessionId, { token: "t2" });
    await clock.advance(3_000);
    const joining = join();
    slow.resolve(allow({ ttl: "20s" }));
    await renewing;
    await joining;
    expect([reason(connection), asked]).toEqual(["watches", ["first t1", "again t2"]]);
  });
});

describe("a refused session", () => {
  it("says what was watched, to its connections and for 30 seconds to who comes back, and when to try again", async () => {
    const connection = await join();
    connection.position(81_000);
    answer = () => deny("over", { denyFor: "1m", retryAfter: "20s" });
    await sessions.invalidate(["live"]);
    expect(connection.signal.reason).toMatchObject({ code: "access.denied", message: "over", watchedMs: 81_000, retryAfterMs: 20_000 });
    await clock.advance(5_000);
    expect(await refused(join())).toMatchObject({ message: "over", watchedMs: 81_000, retryAfterMs: 15_000 });
    await clock.advance(25_000);
    // The client was told to come back before the no ends: then it is the end of the no that counts.
    expect(await refused(join())).toMatchObject({ message: "over", watchedMs: undefined, retryAfterMs: 30_000 });
    await clock.advance(30_000);
    answer = () => allow();
    await join();
  });

  it("says it also when the no was not remembered and is given again", async () => {
    const connection = await join();
    connection.position(500);
    answer = () => deny("over", { denyFor: 0 });
    await sessions.invalidate(["live"]);
    expect(await refused(join())).toMatchObject({ message: "over", watchedMs: 500, retryAfterMs: undefined });
  });

  it("says it for all that a no with a scope has ended, and for all names of a session", async () => {
    const one = await join();
    const two = await join({ token: "t2" });
    two.position(7_000);
    await renew(two.sessionId, { token: "t3" });
    one.position(9_000);
    answer = () => deny("the address is blocked", { scope: "address" });
    await sessions.invalidate({ ids: [one.sessionId] });
    expect([one.signal.reason, two.signal.reason]).toMatchObject([{ watchedMs: 9_000 }, { watchedMs: 7_000 }]);
    for (const [token, watchedMs] of [
      ["t1", 9_000],
      ["t2", 7_000],
      ["t3", 7_000],
      ["t4", undefined],
    ] as const) {
      expect(await refused(join({ token }))).toMatchObject({ message: "the address is blocked", watchedMs });
    }
  });

  it("that nobody let in has watched nothing; a no is kept for as long as it says to wait", async () => {
    answer = () => deny("full house", { retryAfter: "30s" });
    expect(await refused(join())).toMatchObject({ watchedMs: undefined, retryAfterMs: 30_000 });
    await clock.advance(29_999);
    expect(await refused(join())).toMatchObject({ retryAfterMs: 1 });
    answer = () => allow();
    await clock.advance(1);
    await join();
    expect(asked.length).toBe(2);
  });

  it("that was stopped was not refused: it says nothing of the kind", async () => {
    const connection = await join();
    connection.position(500);
    sessions.stop(() => true, "stopped");
    answer = () => deny("no");
    expect(await refused(join())).toMatchObject({ watchedMs: undefined });
  });

  it("is cut in the turn in which the answer comes, with all that have the same fate", async () => {
    answer = () => allow({ recheckEvery: "10s" });
    const all = await Promise.all(Array.from({ length: 200 }, (_, at) => join({ token: `t${at}` })));
    answer = () => deny("over");
    const sent = clock.now() + 10_000;
    const cut: number[] = [];
    for (const { signal } of all) signal.addEventListener("abort", () => cut.push(clock.now() - sent));
    await clock.advance(12_000);
    expect([cut.length, Math.max(...cut) <= 1_000]).toEqual([200, true]);
  });
});
