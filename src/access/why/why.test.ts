import { exportJWK, generateSecret, SignJWT } from "jose";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { settle } from "../../../test/support/fake-clock.ts";
import { GateBench } from "../../../test/support/gate-bench.ts";
import { allow, deny, rewrite } from "../../base/decision.ts";
import type { SluiceError } from "../../base/errors.ts";
import type { AccessRequest } from "../../sessions/access-request.ts";
import type { DecisionRecord } from "../decisions.ts";
import type { Jwk } from "../tokens/jwk.ts";

let bench: GateBench;
beforeEach(() => {
  bench = new GateBench();
});
afterEach(() => bench.close());

const all = (): readonly DecisionRecord[] => bench.decisions.find({}).toReversed();
const last = (): DecisionRecord => bench.decisions.find({ limit: 1 })[0] ?? expect.fail("there is no decision");
const steps = ({ steps: list }: DecisionRecord): readonly string[] => list.map(({ step, text }) => `${step}: ${text}`);
const refused = (request: AccessRequest, door: "play" | "publish" = "play"): Promise<SluiceError> =>
  bench.gate[door](request).then(
    () => expect.fail("it was let in"),
    (error: unknown) => error as SluiceError,
  );

describe("why a push", () => {
  const password = "Passw0rd";
  const push = (name = "live") => bench.push(name, { password });

  it("was let in: the handler that gave it its name has decided, and not one that only said what it is", async () => {
    bench.on("PUSH_REWRITE", () => rewrite("live"));
    bench.on("STREAM_SOURCE", () => rewrite("push://"));
    const admission = await bench.gate.publish(push("some-key"));
    expect(last()).toMatchObject({ kind: "publish", result: "allow", rule: "PUSH_REWRITE function #1", stream: "live" });
    admission[Symbol.dispose]();
  });

  it.each([
    ["push://", "not Passw0rd"],
    ["push://@Passw0rd", "not (hidden)"],
    ["push://@another1", "The password is wrong."],
  ])("was refused to %s: what was sent as a password is hidden only where there is one", async (source, reason) => {
    bench.streams["live"] = { source };
    bench.on("STREAM_PUSH", deny("not Passw0rd"));
    await refused(push(), "publish");
    expect(last()).toMatchObject({ kind: "publish", result: "deny", reason });
  });
});

describe("why a viewer", () => {
  it("was refused: who was asked, the words, the time, and the number that it was shown, in the log, too", async () => {
    bench.live();
    bench.on("USER_NEW", async () => {
      await bench.clock.advance(12);
      return deny("please subscribe, Secret-77", { note: "ann has no plan", user: "ann" });
    });
    const error = await refused(bench.view("live", { query: { tkn: "Secret-77" } }));
    expect(error).toMatchObject({ code: "access.denied", message: "please subscribe, Secret-77", decisionId: last().id });
    const record = last();
    expect(record).toMatchObject({
      ...{ kind: "play", result: "deny", reason: "please subscribe, (hidden)", rule: "USER_NEW function #1" },
      ...{ address: "127.0.0.1", protocol: "FLV", asked: "live", stream: "live", user: "ann" },
    });
    expect(steps(record)).toEqual([
      "session: is new",
      'USER_NEW: function #1 says no "please subscribe, (hidden)" (user ann); note: ann has no plan',
    ]);
    expect(record.steps[1]?.ms).toBe(12);
    expect(bench.decisions.why("Secret-77")).toEqual([record]);
    expect(bench.logged.find((line) => line.includes(`decision ${record.id}`))).toContain("please subscribe");
    expect(bench.logged.join("\n")).not.toContain("Secret-77");
  });

  it("is refused again by the no before: the same number, counted, until when it holds", async () => {
    bench.live();
    bench.on("USER_NEW", deny("no"));
    const view = () => bench.view("live", { query: { tkn: "a" } });
    const first = await refused(view());
    const second = await refused(view());
    const page = await refused(bench.view("live", { query: { tkn: "a" }, protocol: "HTTP", infoOnly: true }));
    expect(new Set([first.decisionId, second.decisionId, page.decisionId]).size).toBe(1);
    expect(all()).toHaveLength(1);
    expect(last().repeats).toBe(2);
  });

  it("was let in: by whom, for how long, and the counters of limits; further requests add nothing", async () => {
    bench.live();
    bench.rules = { "two-per-user": { by: "user", sessions: 2 } };
    bench.on("CONN_OPEN", true);
    bench.on("USER_NEW", allow({ user: "ann", ttl: "1h", limits: { sessions: 3 } }));
    const admission = await bench.gate.play(bench.view("live", { query: { tkn: "a" } }));
    expect(last()).toMatchObject({ result: "allow", reason: "", rule: "CONN_OPEN function #1; USER_NEW function #2", user: "ann" });
    expect(last().sessionId).toBe(admission.sessionId);
    expect(steps(last())).toEqual([
      "CONN_OPEN: function #1 says yes",
      "session: is new",
      "USER_NEW: function #2 says yes (user ann, for 1h, at most 3 at once)",
      "limit: two-per-user (user): 1 of 2 sessions",
    ]);
    const connection = bench.connection();
    for (let at = 0; at < 10; at++) (await bench.gate.play(bench.view("live", { connection, query: { tkn: "a" } })))[Symbol.dispose]();
    expect(all()).toHaveLength(1);
  });

  it("found all places taken: which limit, with its counters; and where a fallback of it led", async () => {
    bench.live();
    bench.live("waiting");
    bench.rules = { one: { by: "user", sessions: 1 } };
    bench.on("USER_NEW", allow({ user: "ann" }));
    await bench.gate.play(bench.view("live", { query: { tkn: "a" } }));
    const error = await refused(bench.view("live", { query: { tkn: "b" } }));
    expect(error.code).toBe("access.full");
    expect(last()).toMatchObject({ result: "deny", rule: "limit one", reason: error.message, user: "ann" });
    expect(steps(last())).toContain("limit: one (user): 1 of 1 sessions, reached");

    bench.rules = { one: { by: "stream", streams: ["live"], sessions: 1, onReached: { fallback: "waiting" } } };
    const elsewhere = await bench.gate.play(bench.view("live", { query: { tkn: "c" } }));
    expect([elsewhere.value.name, elsewhere.redirected]).toEqual(["waiting", true]);
    expect(steps(last())).toContain("fallback: another stream, as the limit says");
    expect((await bench.gate.play(bench.view("live", { query: { tkn: "c" } }))).value.name).toBe("waiting");
    bench.rules = { ...bench.rules, two: { by: "stream", streams: ["waiting"], sessions: 1, onReached: { fallback: "live" } } };
    expect((await refused(bench.view("live", { query: { tkn: "d" } }))).code).toBe("access.full");
  });

  it("was refused for a name that leads nowhere, of which only a mark is kept", async () => {
    bench.on("DEFAULT_STREAM", deny("nothing here"));
    const error = await refused(bench.view("t0ken-123"));
    expect(last()).toMatchObject({ id: error.decisionId, rule: "DEFAULT_STREAM function #1", stream: "", reason: "nothing here" });
    expect(last().asked).toMatch(/^#/);
    expect(JSON.stringify(all())).not.toContain("t0ken-123");
    expect(bench.decisions.why("t0ken-123")).toHaveLength(1);
    await refused(bench.view(""));
    expect(last()).toMatchObject({ reason: "The address has no stream name.", rule: "The address has no stream name." });
  });

  it("waits for another request's answer, or shares one of its scope", async () => {
    bench.live();
    const answer = Promise.withResolvers<ReturnType<typeof allow>>();
    bench.on("USER_NEW", () => answer.promise);
    const [one, two] = [0, 1].map(() => bench.gate.play(bench.view("live", { query: { tkn: "a" } })));
    await settle();
    answer.resolve(allow({ scope: "token" }));
    await Promise.all([one, two]);
    expect(all()).toHaveLength(1);
    await bench.gate.play(bench.view("live", { query: { tkn: "a" }, address: "192.0.2.9" }));
    expect(last()).toMatchObject({ address: "192.0.2.9", rule: "an answer that holds for all with this token" });
    expect(steps(last())[0]).toBe("session: is new; a yes that is for all with this token holds");
  });

  it("was ended: by a no at a recheck, by a command, but not by leaving", async () => {
    bench.live();
    let answer = allow({ user: "ann" }) as ReturnType<typeof allow> | ReturnType<typeof deny>;
    bench.on("USER_NEW", () => answer);
    const open = () => bench.gate.play(bench.view("live", { query: { tkn: "a" } }));
    const { sessionId } = await open();
    answer = deny("your plan has ended");
    await bench.sessions.invalidate(["live"]);
    expect(all().map(({ kind, result, reason }) => [kind, result, reason])).toEqual([
      ["play", "allow", ""],
      ["recheck", "deny", "your plan has ended"],
    ]);
    expect(bench.decisions.why(sessionId)).toHaveLength(2);
    expect((await refused(bench.view("live", { query: { tkn: "a" } }))).decisionId).toBe(last().id);

    answer = allow();
    await bench.sessions.invalidate(["live"]);
    await open();
    bench.sessions.stop(() => true, "kicked by the operator");
    expect(last()).toMatchObject({ kind: "end", rule: "ended by a command", reason: "kicked by the operator", sessionId });
    (await open())[Symbol.dispose]();
    const before = all().length;
    await bench.clock.advance(20_000);
    expect(bench.sessions.get(sessionId)?.state).toBe("ended");
    expect(all()).toHaveLength(before);
  });

  it("goes on although its handler fails at a recheck", async () => {
    bench.live();
    let works = true;
    bench.on("USER_NEW", () => (works ? allow() : Promise.reject(new Error("database down"))));
    await bench.gate.play(bench.view("live", { query: { tkn: "a" } }));
    works = false;
    await bench.sessions.invalidate(["live"]);
    expect(last()).toMatchObject({ kind: "recheck", result: "allow" });
    expect(last().rule).toContain("(failed): the session goes on");
    expect(steps(last())[0]).toContain("function #1 failed: database down");
  });
});

describe("why a publisher", () => {
  it("was let in or refused, found by what it pushed to", async () => {
    bench.on("PUSH_REWRITE", ({ stream }) => (stream === "good-key" ? "live" : deny(`unknown key ${stream}`)));
    const error = await refused(bench.push("wrong-key"), "publish");
    expect(error).toMatchObject({ message: "unknown key (hidden)", decisionId: last().id });
    expect(last()).toMatchObject({ kind: "publish", result: "deny", rule: "PUSH_REWRITE function #1", protocol: "RTMP", stream: "" });
    await bench.gate.publish(bench.push("good-key"));
    expect(last()).toMatchObject({ kind: "publish", result: "allow", stream: "live" });
    expect(steps(last())[0]).toBe("PUSH_REWRITE: function #1 says another value");
    for (const key of ["wrong-key", "good-key"]) {
      expect(bench.decisions.why(key)).toHaveLength(1);
      expect(JSON.stringify(all()) + bench.logged.join("\n")).not.toContain(key);
    }
  });
});

describe("a JWT", () => {
  let sign: (claims: Record<string, unknown>) => Promise<string>;
  const seconds = (): number => Math.floor(bench.clock.now() / 1000);
  const view = (tkn: string, part: Partial<AccessRequest> = {}): AccessRequest => bench.view("live", { query: { tkn }, ...part });
  beforeEach(async () => {
    const secret = await generateSecret("HS256", { extractable: true });
    bench.tokens.configure([{ ...(await exportJWK(secret)), kid: "k1" } as Jwk]);
    sign = (claims) => new SignJWT(claims).setProtectedHeader({ alg: "HS256", kid: "k1" }).sign(secret);
    bench.live();
  });

  it("that holds is a yes without USER_NEW; one that does not goes on to it", async () => {
    bench.on("USER_NEW", deny("no"));
    const token = await sign({ sub: "live", exp: seconds() + 60 });
    await bench.gate.play(view(token));
    expect(bench.of("USER_NEW")).toEqual([]);
    expect(last()).toMatchObject({ result: "allow", rule: "a JWT that holds" });
    expect(steps(last()).join()).toContain(`JWT: holds until ${new Date((seconds() + 60) * 1000).toISOString()}`);
    const other = await sign({ sub: "other" });
    expect((await refused(view(other))).message).toBe("no");
    expect(bench.of("USER_NEW")[0]).toMatch(/\|false$/);
    expect(steps(last()).join()).toContain("JWT: does not hold:");
    expect(JSON.stringify(all())).not.toContain(token.split(".")[2]);
  });

  it("is looked at again when its time is up: then USER_NEW is asked, and its no ends the session", async () => {
    bench.on("USER_NEW", deny("your token is over"));
    const admission = await bench.gate.play(view(await sign({ sub: "live", exp: seconds() + 30 })));
    await bench.clock.advance(29_000);
    expect(admission.signal.aborted).toBe(false);
    await bench.clock.advance(3_000);
    expect(admission.signal.aborted).toBe(true);
  });

  it("is demanded where the stream says so, with words, and nothing is remembered", async () => {
    bench.streams["live"] = { source: "push://", requireToken: true };
    bench.on("USER_NEW", true);
    expect((await refused(bench.view("live"))).message).toBe("This stream needs a token.");
    expect(last().rule).toBe("requireToken of the stream");
    const wrong = await refused(view(await sign({ sub: "live", exp: seconds() - 60 })));
    expect(wrong.code).toBe("access.denied");
    await bench.gate.play(view(await sign({ sub: "live" })));
    expect(bench.of("USER_NEW")).toEqual([]);
  });

  it("that holds later is refused until then, and says when to come back", async () => {
    bench.on("USER_NEW", deny("too early"));
    const token = await sign({ sub: "live", nbf: seconds() + 100 });
    expect((await refused(view(token))).retryAfterMs).toBeGreaterThanOrEqual(95_000);
    await bench.clock.advance(94_000);
    expect((await refused(view(token))).message).toBe("too early");
    expect(bench.of("USER_NEW")).toHaveLength(1);
    await bench.clock.advance(2_000);
    await bench.gate.play(view(token));
  });

  it("in the place of the stream's name is the token, and its sub the stream", async () => {
    bench.on("USER_NEW", deny("no"));
    const token = await sign({ sub: "live" });
    const admission = await bench.gate.play(bench.view(token, { protocol: "RTMP", carriesToken: false }));
    expect([admission.value.name, admission.token, admission.askedName]).toEqual(["live", token, "live"]);
    expect(JSON.stringify(all())).not.toContain(token);
  });

  it("has claims that an identity expression can look at", async () => {
    bench.settings.sessions = { ...bench.settings.sessions, sessionIdentity: ["claim:user"] };
    const play = async (claims: Record<string, unknown>) => (await bench.gate.play(view(await sign({ sub: "live", ...claims })))).sessionId;
    const [ann, again, ben] = [await play({ user: "ann" }), await play({ user: "ann", n: 2 }), await play({ user: "ben" })];
    expect(again).toBe(ann);
    expect(ben).not.toBe(ann);
  });
});

describe("cookies in an identity expression", () => {
  it("tell viewers apart that share a token and an address", async () => {
    bench.live();
    bench.settings.sessions = { ...bench.settings.sessions, sessionIdentity: ["stream", "cookie:visitor"] };
    const play = async (visitor: string) =>
      (await bench.gate.play(bench.view("live", { query: { tkn: "same" }, cookies: { visitor, other: "x" } }))).sessionId;
    const [one, two, oneAgain] = [await play("1"), await play("2"), await play("1")];
    expect(two).not.toBe(one);
    expect(oneAgain).toBe(one);
  });
});

describe("a fresh token", () => {
  const answers = new Map<string, ReturnType<typeof allow> | ReturnType<typeof deny>>();
  const watch = (tkn: string, part: Partial<AccessRequest> = {}) => bench.gate.play(bench.view("live", { query: { tkn }, ...part }));
  beforeEach(() => {
    answers.clear();
    bench.live();
    bench.on("USER_NEW", ({ token }) => answers.get(token) ?? allow());
  });

  it.each([
    ["the cookie of the old one", { cookies: { tkn: "old" } }],
    ["the old one as was", { query: { tkn: "new", was: "old" } }],
    ["a bearer token over the old query", { query: { tkn: "old", was: "old" }, headers: { authorization: "Bearer new" } }],
  ])("keeps the session when it comes with %s", async (_name, part) => {
    const first = await watch("old");
    const second = await watch("new", part);
    expect(second.sessionId).toBe(first.sessionId);
    expect(first.signal.aborted).toBe(false);
    expect((await watch("new")).sessionId).toBe(first.sessionId);
    expect(bench.of("USER_NEW")).toHaveLength(2);
    expect(bench.of("USER_NEW")[1]?.split("|").slice(0, 7)).toEqual([
      ...["USER_NEW", "live", "127.0.0.1", "new", "FLV"],
      ...[bench.view("live", { query: { tkn: "new" }, ...part }).url, first.sessionId],
    ]);
    expect(all().map(({ kind }) => kind)).toEqual(["play", "renew"]);
  });

  it("that is refused leaves the session as it was", async () => {
    const first = await watch("old");
    answers.set("bad", deny("this token is stolen"));
    const error = await refused(bench.view("live", { query: { tkn: "bad" }, cookies: { tkn: "old" } }));
    expect([error.message, first.signal.aborted]).toEqual(["this token is stolen", false]);
    expect((await watch("old")).sessionId).toBe(first.sessionId);
  });

  it("begins a session of its own when the old token is unknown, or was only made for the client", async () => {
    const anonymous = await bench.gate.play(bench.view("live"));
    const named = await watch("new", { cookies: { tkn: anonymous.token } });
    expect(named.sessionId).not.toBe(anonymous.sessionId);
    const stranger = await watch("other", { cookies: { tkn: "nobodys" } });
    expect(new Set([anonymous.sessionId, named.sessionId, stranger.sessionId]).size).toBe(3);
  });

  it.each([[[]], [["stream", "user | token"]]])(
    "of another user begins a session of that user, with identity %j",
    async (sessionIdentity) => {
      answers.set("old", allow({ user: "ann" }));
      answers.set("new", allow({ user: "ben" }));
      bench.settings.sessions = { ...bench.settings.sessions, sessionIdentity };
      const ann = await watch("old");
      const ben = await watch("new", { cookies: { tkn: "old" } });
      expect(ben.sessionId).not.toBe(ann.sessionId);
      expect([ann, ben].map(({ sessionId }) => bench.sessions.get(sessionId)?.user)).toEqual(["ann", "ben"]);
      expect(ann.signal.aborted).toBe(false);
      const renewal = bench.gate.renew(bench.view("live", { protocol: "HTTP", query: { tkn: "new", was: "old" } }));
      await expect(renewal).rejects.toMatchObject({ code: "access.denied" });
    },
  );

  it("may come by itself: the same session, and until when it holds", async () => {
    const first = await watch("old");
    answers.set("new", allow({ ttl: "10m" }));
    const renewed = await bench.gate.renew(bench.view("live", { protocol: "HTTP", query: { tkn: "new", was: "old" } }));
    expect(renewed).toMatchObject({ sessionId: first.sessionId, expiresAt: bench.clock.now() + 600_000 });
    expect(renewed.cookie).toMatch(/^tkn=new;/);
    expect((await watch("new")).sessionId).toBe(first.sessionId);
    expect(bench.of("USER_NEW")).toHaveLength(2);
  });

  it("is not taken without the old one, however well somebody knows the session", async () => {
    const { sessionId } = await watch("old");
    const renew = (part: Partial<AccessRequest>) => bench.gate.renew(bench.view("live", { protocol: "HTTP", ...part }));
    await expect(renew({ query: { tkn: "new" } })).rejects.toMatchObject({ code: "access.unknown" });
    await expect(renew({ query: { tkn: "new", was: sessionId } })).rejects.toMatchObject({ code: "access.unknown" });
    await expect(renew({ cookies: { tkn: "old" } })).rejects.toMatchObject({ code: "input.invalid" });
    answers.set("bad", deny("no"));
    await expect(renew({ query: { tkn: "bad" }, cookies: { tkn: "old" } })).rejects.toMatchObject({ code: "access.denied", message: "no" });
    expect(last()).toMatchObject({ kind: "renew", result: "deny" });
    expect(bench.sessions.get(sessionId)?.state).toBe("accepted");
  });
});
