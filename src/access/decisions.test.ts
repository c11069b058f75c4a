import { describe, expect, it } from "vitest";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { createDecisions, type DecisionFacts, type DecisionOptions, type DecisionRecord, hashOf } from "./decisions.ts";

function book(options: Partial<DecisionOptions> = {}) {
  const clock = new FakeClock();
  const decisions = createDecisions({ clock, isPublic: (name) => name === "live", ...options });
  return { clock, decisions };
}

function facts(part: Partial<DecisionFacts> = {}): DecisionFacts {
  return {
    ...{ kind: "play", result: "deny", reason: "no", rule: "USER_NEW function #1", sessionId: "", address: "192.0.2.7" },
    ...{ protocol: "HLS", asked: "live", stream: "live", user: "", token: "", steps: [] },
    ...part,
  } as DecisionFacts;
}

const session = "e2d99ec5349e6db7177434677bb02631454add7f8ab4c4ee37bf076bb9198f53";
const ids = (records: readonly DecisionRecord[]): readonly string[] => records.map(({ id }) => id);

describe("the book of decisions", () => {
  it("gives each an id that can be read out, and finds it as people write it down", () => {
    const { decisions } = book();
    const seen = new Set<string>();
    for (let at = 0; at < 1000; at++) seen.add(decisions.add(facts({ token: `t${at}` })).id);
    expect(seen.size).toBe(1000);
    for (const id of seen) expect(id).toMatch(/^[0-9A-HJKMNP-TV-Z]{10}$/);
    const [id = ""] = seen;
    const written = ` ${id.slice(0, 5).toLowerCase()}-${id.slice(5).replaceAll("0", "o").replaceAll("1", "l")} `;
    expect(ids(decisions.why(written))).toEqual([id]);
    expect(decisions.why("")).toEqual([]);
    expect(decisions.why("0000000000")).toEqual([]);
  });

  it("finds by session, its beginning, address, token, token hash, and by the name that was asked for when that is a secret", () => {
    const { decisions } = book();
    const one = decisions.add(facts({ sessionId: session, token: "Secret-1", user: "ann" }));
    const two = decisions.add(facts({ address: "2001:db8::1", asked: "t0ken-9", stream: "" }));
    expect(ids(decisions.why(session))).toEqual([one.id]);
    expect(ids(decisions.why("E2D99E"))).toEqual([one.id]);
    expect(decisions.why("e2d99")).toEqual([]);
    expect(ids(decisions.why("::ffff:192.0.2.7"))).toEqual([one.id]);
    expect(ids(decisions.why("Secret-1"))).toEqual([one.id]);
    expect(decisions.why("secret-1")).toEqual([]);
    expect(ids(decisions.why(hashOf("Secret-1")))).toEqual([one.id]);
    expect(ids(decisions.why("2001:DB8:0::1"))).toEqual([two.id]);
    expect(ids(decisions.why("T0ken-9"))).toEqual([two.id]);
    expect(ids(decisions.find({ token: "Secret-1", result: "deny", address: "192.0.2.7", stream: "live", sessionId: session }))).toEqual([
      one.id,
    ]);
    expect(decisions.find({ token: "Secret-1", result: "allow" })).toEqual([]);
  });

  it("keeps no secret: not the token, not a name that no stream has, not a password, whoever wrote it where", () => {
    const { decisions } = book();
    const words = (secret: string): string => `no token ${secret}, nor ${secret.toUpperCase()}`;
    const record = decisions.add(
      facts({
        token: "tok.en$1(x)",
        asked: "key-0123",
        stream: "",
        secrets: ["Key-0123!", "passw0rd"],
        reason: words("tok.en$1(x)"),
        rule: "USER_NEW key-0123",
        user: "tok.en$1(x)",
        steps: [{ step: "USER_NEW", ms: 1, text: "says no Key-0123! key-0123 passw0rd tok.en$1(x)" }],
      }),
    );
    const text = JSON.stringify([record, ...decisions.why(record.id)]);
    for (const secret of ["tok.en$1(x)", "key-0123", "Key-0123!", "passw0rd"]) expect(text).not.toContain(secret);
    expect(record.asked).toMatch(/^#[0-9a-f]{12}$/);
    expect(record.steps[0]?.text).toBe("says no (hidden) (hidden) (hidden) (hidden)");
    expect(decisions.add(facts({ token: "live", asked: "live", reason: "live is closed" })).reason).toBe("live is closed");
  });

  it("leaves words whole that have a short token in them", () => {
    const { decisions } = book();
    const { reason } = decisions.add(facts({ token: "other", reason: "another value than other; OTHER, other_one, other2" }));
    expect(reason).toBe("another value than (hidden); OTHER, (hidden)_one, other2");
    expect(decisions.add(facts({ token: "others", reason: "brothers" })).reason).toBe("br(hidden)");
  });

  it("makes one of what is said to the same client again, for ten minutes, and tells listeners once", async () => {
    const { decisions, clock } = book();
    const told: string[] = [];
    using _follow = decisions.onDecision(({ id }) => told.push(id));
    const first = decisions.add(facts({ token: "a" }));
    await clock.advance(1000);
    const second = decisions.add(facts({ token: "a", steps: [{ step: "new", ms: 0, text: "newest" }] }));
    expect(second).toMatchObject({ id: first.id, at: first.at, repeats: 1, lastAt: first.at + 1000, steps: [{ text: "newest" }] });
    expect(decisions.add(facts({ token: "b" })).id).not.toBe(first.id);
    expect(decisions.add(facts({ token: "a", reason: "other words" })).id).not.toBe(first.id);
    await clock.advance(600_000);
    expect(decisions.add(facts({ token: "a" })).id).not.toBe(first.id);
    expect(told).toHaveLength(4);
    const [yes, again] = [decisions.add(facts({ result: "allow" })), decisions.add(facts({ result: "allow" }))];
    expect(again.id).not.toBe(yes.id);
    const checks = ["first", "second"].map((rule) => decisions.add(facts({ kind: "recheck", result: "allow", sessionId: session, rule })));
    expect(checks[1]).toMatchObject({ id: checks[0]?.id, rule: "second", repeats: 1 });
  });

  it("gives the decision that a remembered no goes back to", () => {
    const { decisions } = book();
    const no = decisions.add(facts({ sessionId: session }));
    expect(decisions.again(session)).toMatchObject({ id: no.id, repeats: 1 });
    expect(decisions.again(session)).toMatchObject({ id: no.id, repeats: 2 });
    expect(decisions.again("other")).toBeUndefined();
    expect(decisions.lastNo(session)?.id).toBe(no.id);
  });

  it("is bounded in number and in bytes, whatever clients send, and forgets the oldest", () => {
    const { decisions } = book({ most: 3 });
    const added = ["a", "b", "c", "d"].map((token) => decisions.add(facts({ token, sessionId: `${token}00000` })).id);
    expect(ids(decisions.find({}))).toEqual(added.slice(1).toReversed());
    expect(decisions.why(added[0] ?? "")).toEqual([]);
    expect(decisions.again("a00000")).toBeUndefined();

    const small = book({ mostBytes: 20_000 }).decisions;
    const long = "x".repeat(1_000_000);
    for (let at = 0; at < 100; at++) {
      const steps = Array.from({ length: 32 }, () => ({ step: "s", ms: 0, text: long }));
      const record = small.add(facts({ token: `${at}`, reason: long, rule: long, user: long, steps }));
      expect(JSON.stringify(record).length).toBeLessThan(20_000);
    }
    expect(small.find({}).length).toBeLessThan(4);
  });

  it("goes on from a decision, newest first", () => {
    const { decisions } = book();
    const added = Array.from({ length: 5 }, (_, at) => decisions.add(facts({ token: `${at}` })).id).toReversed();
    expect(ids(decisions.find({ limit: 2 }))).toEqual(added.slice(0, 2));
    expect(ids(decisions.find({ limit: 2, before: added[1] ?? "" }))).toEqual(added.slice(2, 4));
    expect(ids(decisions.find({ before: added[4] ?? "" }))).toEqual([]);
    expect(decisions.find({ before: "forgotten" })).toEqual([]);
  });
});
