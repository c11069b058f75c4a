import { beforeEach, describe, expect, it } from "vitest";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { allow, deny, type Verdict } from "../base/decision.ts";
import { picks } from "./pick.ts";
import { type Ask, defaultSessionSettings, type Identity, type SessionPick, type Sessions, type SessionView } from "./session.ts";
import { createSessions } from "./sessions.ts";

const view: SessionView = {
  id: "abc",
  type: "viewer",
  state: "accepted",
  token: "t1",
  protocol: "HLS",
  host: "203.0.113.5",
  stream: "live+cam 1",
  startedAt: 0,
  seconds: 0,
  positionMs: 0,
  up: 0,
  down: 0,
  upPerSecond: 0,
  downPerSecond: 0,
  tags: ["gold", "beta"],
  user: "ann",
};

describe("a pick", () => {
  it.each<[SessionPick, boolean]>([
    [{}, false],
    [{ ids: ["abc"] }, true],
    [{ ids: ["ab"] }, false],
    [{ streams: ["live+cam 1"] }, true],
    [{ streams: ["live"] }, false],
    [{ streams: ["live+"] }, true],
    [{ streams: ["li+"] }, false],
    [{ streams: ["*"] }, true],
    [{ streams: ["live*"] }, true],
    [{ streams: ["*1"] }, true],
    [{ streams: ["l*cam*1"] }, true],
    [{ streams: ["l*1*cam"] }, false],
    [{ streams: ["live+cam 1*cam 1"] }, false],
    [{ streams: ["live.cam 1"] }, false],
    [{ tags: ["beta"] }, true],
    [{ tags: ["bet"] }, false],
    [{ users: ["ben", "ann"] }, true],
    [{ tokens: ["t1"] }, true],
    [{ addresses: ["203.0.113.5"] }, true],
    [{ addresses: ["203.0.113.0/24"] }, true],
    [{ addresses: ["203.0.112.0/24", "::/0"] }, true],
    [{ addresses: ["203.0.112.0/24"] }, false],
    [{ addresses: ["nonsense", "203.0.113.5/99", ""] }, false],
    [{ ids: ["no"], users: ["no"], addresses: ["203.0.113.0/24"] }, true],
  ])("%j: %s", (pick, expected) => {
    expect(picks(pick)(view)).toBe(expected);
  });

  it("of empty texts picks nobody, also not those who have no user, token or stream", () => {
    const nobody = { ...view, id: "", user: "", token: "", stream: "", host: "", tags: [] };
    const empty: SessionPick = { ids: [""], streams: ["", "*", "+"], tags: [""], users: [""], tokens: [""], addresses: [""] };
    expect(picks(empty)(nobody)).toBe(false);
  });

  it("with many stars is no slower than with one", () => {
    const hostile = picks({ streams: [`${"a*".repeat(5000)}b`] });
    expect(hostile({ ...view, stream: "a".repeat(100) })).toBe(false);
  });
});

describe("calls by patterns", () => {
  let clock: FakeClock;
  let sessions: Sessions;
  let asked: string[];
  let answer: (identity: Identity) => Verdict;
  const join = (part: Partial<Identity>) => {
    const identity: Identity = { type: "viewer", stream: "live", address: "203.0.113.5", token: "t1", protocol: "HLS", url: "", ...part };
    const ask: Ask = async () => {
      asked.push(`${identity.stream} ${identity.token}`);
      return answer(identity);
    };
    return sessions.join(identity, ask);
  };

  beforeEach(async () => {
    clock = new FakeClock();
    sessions = createSessions({ clock, log: { write: () => undefined }, settings: () => defaultSessionSettings });
    asked = [];
    answer = ({ token }) => (token.startsWith("no") ? deny("no") : allow({ user: `user of ${token}`, tags: [`tag-${token}`] }));
    await join({ token: "a" });
    await join({ token: "b", stream: "live+x" });
    await join({ token: "c", stream: "other", address: "2001:db8::1" });
    await expect(join({ token: "no1" })).rejects.toThrow();
    await expect(join({ token: "no2", stream: "live+y", address: "198.51.100.7" })).rejects.toThrow();
    await join({ type: "input", token: "p", stream: "live", protocol: "INPUT:RTMP" });
    asked = [];
  });

  it.each<[SessionPick | string[], number, string[]]>([
    [["live"], 2, ["live a"]],
    [["live*"], 0, []],
    [{ streams: ["live*"] }, 4, ["live a", "live+x b"]],
    [{ streams: ["live+"] }, 2, ["live+x b"]],
    [{ streams: ["*"] }, 5, ["live a", "live+x b", "other c"]],
    [{ tags: ["tag-c"] }, 1, ["other c"]],
    [{ users: ["user of a", "user of b"] }, 2, ["live a", "live+x b"]],
    [{ tokens: ["a", "no1"] }, 2, ["live a"]],
    [{ addresses: ["198.51.100.0/24", "2001:db8::/32"] }, 2, ["other c"]],
    [{ addresses: ["10.0.0.0/8"] }, 0, []],
    [{}, 0, []],
  ])("invalidate %j touches %i sessions and asks about %j", async (pick, touched, about) => {
    expect(await sessions.invalidate(pick)).toBe(touched);
    expect(asked).toEqual(about);
  });

  it("invalidate forgets the refusals that it picks, by id too, and no others", async () => {
    const refused = sessions.standing({ type: "viewer", stream: "live", address: "203.0.113.5", token: "no1", protocol: "HLS", url: "" });
    expect([refused.state, await sessions.invalidate({ ids: [refused.id] })]).toEqual(["refused", 1]);
    answer = () => allow();
    await join({ token: "no1" });
    expect(asked).toEqual(["live no1"]);
    await expect(join({ token: "no2", stream: "live+y", address: "198.51.100.7" })).rejects.toThrow("no");
  });

  it("invalidate forgets an answer that is for all of an address", async () => {
    answer = () => deny("not from there", { scope: "address" });
    await expect(join({ token: "d", address: "192.0.2.1" })).rejects.toThrow("not from there");
    answer = () => allow();
    await expect(join({ token: "e", address: "192.0.2.1" })).rejects.toThrow("not from there");
    await sessions.invalidate({ addresses: ["192.0.2.0/28"] });
    await join({ token: "e", address: "192.0.2.1" });
    expect(asked).toEqual(["live d", "live e"]);
  });

  it("stop takes a pick and tells how many it ended, publishers among them", () => {
    expect(sessions.stop({ streams: ["live+"], users: ["user of c"] }, "stopped")).toBe(2);
    expect(sessions.stop(picks({ streams: ["live"] }), "stopped")).toBe(2);
    expect(sessions.stop({ streams: ["*"] }, "stopped")).toBe(0);
  });

  it("untag takes away a tag that is there, once", async () => {
    const id = (await join({ token: "a" })).sessionId;
    const changes: string[] = [];
    sessions.onChange((changed, what) => changes.push(`${changed === id} ${what}`));
    expect([sessions.untag(id, "tag-a"), sessions.untag(id, "tag-a"), sessions.untag("unknown", "tag-a")]).toEqual([true, false, false]);
    expect([sessions.get(id)?.tags, changes]).toEqual([[], ["true changed"]]);
    expect(sessions.stop({ tags: ["tag-a"] }, "stopped")).toBe(0);
    // Its room is free again.
    for (let round = 0; round < 100; round++)
      expect([sessions.tag(id, "x".repeat(500)), sessions.untag(id, "x".repeat(500))]).toEqual([true, true]);
  });
});
