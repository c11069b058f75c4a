import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { FakeClock, settle } from "../../test/support/fake-clock.ts";
import { allow, deny, type Limits, type Verdict } from "../base/decision.ts";
import { SluiceError } from "../base/errors.ts";
import { readSessionIdentity } from "../base/session-identity.ts";
import {
  type Ask,
  defaultSessionSettings,
  type Identity,
  type PlaceKeeper,
  type Seated,
  type SessionConnection,
  type SessionEnd,
  type Sessions,
} from "./session.ts";
import { createSessions } from "./sessions.ts";

const viewer = (part: Partial<Identity> = {}): Identity => ({
  type: "viewer",
  stream: "live",
  address: "203.0.113.5",
  token: "t1",
  protocol: "HLS",
  url: "",
  ...part,
});

/** Notes each place that is taken and freed, and fails where that does not go together. */
class Counter implements PlaceKeeper {
  readonly held = new Set<Seated>();
  readonly faults: string[] = [];
  taken = 0;
  freed = 0;
  most = Number.POSITIVE_INFINITY;
  bind(): void {}
  take(session: Seated, _limits: Limits | readonly Limits[] | undefined): void {
    if (this.held.size >= this.most) throw new SluiceError("access.full", "all places are taken");
    if (this.held.has(session)) this.faults.push("taken twice");
    this.held.add(session);
    this.taken++;
  }
  move(session: Seated, user: string): void {
    if (!this.held.has(session)) this.faults.push("moved without a place");
    session.user = user;
  }
  free(session: Seated): void {
    if (!this.held.delete(session)) this.faults.push("freed without a place");
    this.freed++;
  }
}

let clock: FakeClock;
let sessions: Sessions;
let places: Counter;
let ends: SessionEnd[];
let admitted: string[];
let refused: string[];
let asked: string[];
let expression: string;
let mode: number;
let answer: (identity: Identity) => Verdict | Promise<Verdict>;
const join = (part: Partial<Identity> = {}): Promise<SessionConnection> => {
  const identity = viewer(part);
  return sessions.join(identity, askOf(identity));
};
const askOf =
  (identity: Identity): Ask =>
  async (id, first, known) => {
    if (known) return known;
    asked.push(`${first ? "first" : "again"} ${identity.token} ${identity.address} ${id.slice(0, 4)}`);
    return answer(identity);
  };
const tokens = (): string[] => asked.map((line) => line.split(" ").slice(0, 2).join(" "));
const start = (): void => {
  clock = new FakeClock();
  places = new Counter();
  const settings = () => ({ ...defaultSessionSettings, sessionViewerMode: mode, sessionIdentity: readSessionIdentity(expression) });
  sessions = createSessions({ clock, log: { write: () => undefined }, settings, places, mostRefusals: 100 });
  [ends, admitted, refused, asked] = [[], [], [], []];
  sessions.onEnd((end) => ends.push(end));
  sessions.onAdmit((id) => admitted.push(id));
  sessions.onRefuse((id) => refused.push(id));
};

beforeEach(() => {
  expression = "";
  mode = 14;
  answer = () => allow();
  start();
});

describe("one session for each user", () => {
  beforeEach(() => {
    expression = "stream, user";
    answer = ({ token }) => allow({ user: token.split("-")[0] ?? "" });
  });

  it("is joined by the user's other tokens as soon as the answer has named the user, with one USER_END", async () => {
    const phone = await join({ token: "ann-1" });
    const tv = await join({ token: "ann-2", address: "198.51.100.1" });
    const other = await join({ token: "ben-1" });
    expect([tv.sessionId === phone.sessionId, other.sessionId === phone.sessionId]).toEqual([true, false]);
    // Known by now: nobody is asked, whatever the address.
    expect((await join({ token: "ann-2" })).sessionId).toBe(phone.sessionId);
    expect((await join({ token: "ann-1", protocol: "FLV" })).sessionId).toBe(phone.sessionId);
    expect(tokens()).toEqual(["first ann-1", "first ann-2", "first ben-1"]);
    expect([places.taken, admitted.length, refused.length]).toEqual([2, 2, 1]);
    sessions.stop(() => true, "over");
    expect(ends.map(({ id, user }) => [id, user])).toEqual([
      [phone.sessionId, "ann"],
      [other.sessionId, "ben"],
    ]);
    expect(ends[0]?.hosts.map(([host]) => host)).toEqual(["198.51.100.1", "203.0.113.5"]);
    expect([places.held.size, places.faults]).toEqual([0, []]);
  });

  it("is one when all of them come at once", async () => {
    const slow = Promise.withResolvers<void>();
    answer = async () => {
      await slow.promise;
      return allow({ user: "ann" });
    };
    const joining = Array.from({ length: 50 }, (_, at) => join({ token: `ann-${at % 10}` }));
    await settle();
    expect(asked.length).toBe(10);
    slow.resolve();
    const ids = new Set((await Promise.all(joining)).map(({ sessionId }) => sessionId));
    expect([ids.size, places.taken, admitted.length, refused.length]).toEqual([1, 1, 1, 9]);
  });

  it("waits for a session of the user that is being asked about already, and goes alone when that is refused", async () => {
    for (const verdict of [allow({ user: "ann" }), deny("no")]) {
      start();
      (await join({ token: "ann-1" }))[Symbol.dispose]();
      sessions.stop(() => true, "over");
      const slow = Promise.withResolvers<Verdict>();
      answer = ({ token }) => (token === "ann-1" ? slow.promise : allow({ user: "ann" }));
      const known = join({ token: "ann-1" }).catch(() => undefined);
      let isIn = false;
      const unknown = join({ token: "ann-2" }).then((connection) => {
        isIn = true;
        return connection;
      });
      await settle();
      expect([isIn, places.held.size]).toEqual([false, 0]);
      slow.resolve(verdict);
      const id = (await unknown).sessionId;
      expect([(await known)?.sessionId, places.taken, places.held.size]).toEqual([verdict.kind === "allow" ? id : undefined, 2, 1]);
      answer = ({ token }) => allow({ user: token.split("-")[0] ?? "" });
    }
  });

  it("keeps the name of its user however many addresses it has had", async () => {
    expression = "stream, user, ip";
    answer = () => allow({ user: "ann", roams: true });
    const first = await join({ token: "ann-1" });
    for (let at = 0; at < 20; at++) await join({ token: "ann-1", address: `192.0.2.${at}` });
    expect((await join({ token: "ann-2" })).sessionId).toBe(first.sessionId);
    expect(tokens()).toEqual(["first ann-1", "first ann-2"]);
  });

  it("is not another user's, when a token turns out to be somebody else's", async () => {
    await join({ token: "ann-1" });
    await join({ token: "ann-2" });
    sessions.stop(() => true, "over");
    asked = [];
    const slow = Promise.withResolvers<Verdict>();
    answer = ({ token }) => (token === "ann-1" ? slow.promise : allow({ user: "ann" }));
    const sold = join({ token: "ann-1" });
    const kept = join({ token: "ann-2" });
    await settle();
    slow.resolve(allow({ user: "ben" }));
    expect((await sold).sessionId).not.toBe((await kept).sessionId);
    expect(tokens()).toEqual(["first ann-1", "first ann-2"]);
    expect(sessions.get((await sold).sessionId)?.user).toBe("ben");
    expect(sessions.get((await kept).sessionId)?.user).toBe("ann");
    answer = ({ token }) => allow({ user: token.split("-")[0] ?? "" });
    expect((await join({ token: "ben-1" })).sessionId).toBe((await sold).sessionId);
  });

  it("is of one stream: who was named on another stream is asked about", async () => {
    await join({ token: "ann-1" });
    await join({ token: "ann-2", stream: "other" });
    asked = [];
    answer = () => deny("not this stream");
    await expect(join({ token: "ann-1", stream: "other" })).rejects.toThrow("not this stream");
    expect(tokens()).toEqual(["first ann-1"]);
  });

  it("ends when the viewer is another user at the next question, and begins anew as that user's", async () => {
    const connection = await join({ token: "ann-1" });
    answer = () => allow({ user: "ben" });
    await sessions.invalidate(["live"]);
    expect(connection.signal.reason).toMatchObject({ code: "access.ended" });
    const again = await join({ token: "ann-1" });
    expect([again.sessionId === connection.sessionId, sessions.get(again.sessionId)?.user]).toEqual([false, "ben"]);
  });

  it("takes of two answers the one that ends later, and asks with its token", async () => {
    answer = ({ token }) => allow({ user: "ann", expiresAt: clock.now() + (token === "ann-1" ? 60_000 : 600_000) });
    const connection = await join({ token: "ann-1" });
    await join({ token: "ann-2" });
    answer = () => allow({ user: "ann", expiresAt: clock.now() + 30_000 });
    await join({ token: "ann-3" });
    await clock.advance(500_000);
    for (const token of ["ann-1", "ann-3"]) await join({ token });
    expect([connection.signal.aborted, tokens()]).toEqual([false, ["first ann-1", "first ann-2", "first ann-3"]]);
    await clock.advance(95_000);
    expect(tokens().at(-1)).toBe("again ann-2");
  });

  it("refuses the user's every token when the session was refused", async () => {
    await join({ token: "ann-1" });
    await join({ token: "ann-2" });
    answer = () => deny("account closed");
    await sessions.invalidate(["live"]);
    asked = [];
    for (const token of ["ann-1", "ann-2"]) await expect(join({ token })).rejects.toThrow("account closed");
    expect(asked).toEqual([]);
  });

  it("cannot be renewed with a token of somebody else", async () => {
    const { sessionId } = await join({ token: "ann-1" });
    const renew = (token: string): Promise<void> => sessions.renew(sessionId, viewer({ token }), askOf(viewer({ token })));
    await renew("ann-2");
    await expect(renew("ben-1")).rejects.toMatchObject({ code: "access.denied", message: "This token is another user's." });
    expect(sessions.get(sessionId)?.user).toBe("ann");
    expect((await join({ token: "ben-1" })).sessionId).not.toBe(sessionId);
  });
});

describe("an address that changes", () => {
  const moved = { address: "198.51.100.9" };

  it("keeps the session when the answer says that it roams; USER_END lists both addresses", async () => {
    answer = () => allow({ roams: true });
    const first = await join();
    const second = await join(moved);
    expect([second.sessionId === first.sessionId, asked.length]).toEqual([true, 1]);
    expect(sessions.get(first.sessionId)?.host).toBe("::");
    await sessions.invalidate(["live"]);
    // It is asked about where it is now.
    expect(asked.at(-1)).toContain("again t1 198.51.100.9");
    sessions.stop(() => true, "over");
    expect(ends.map(({ hosts }) => hosts.map(([host]) => host))).toEqual([["198.51.100.9", "203.0.113.5"]]);
    await join(moved);
    expect(asked.length).toBe(3);
  });

  it("begins a new session without it, with another token, on another stream, or without a token of its own", async () => {
    const first = await join();
    expect((await join(moved)).sessionId).not.toBe(first.sessionId);
    answer = () => allow({ roams: true });
    const roaming = await join({ token: "r" });
    for (const part of [{ token: "s" }, { token: "r", stream: "other" }, { token: "r", madeToken: true }]) {
      expect((await join({ ...moved, ...part })).sessionId).not.toBe(roaming.sessionId);
    }
    // A token that was made for the client and comes back from it is its own.
    const made = await join({ token: "made", madeToken: true });
    expect((await join({ ...moved, token: "made" })).sessionId).toBe(made.sessionId);
  });

  it("keeps to the protocol where the mask has it, and to the token where the mask has it not", async () => {
    mode = 13;
    answer = () => allow({ roams: true });
    const first = await join();
    expect((await join({ ...moved, protocol: "FLV" })).sessionId).not.toBe(first.sessionId);
    expect((await join({ ...moved, address: "192.0.2.1", token: "t2" })).sessionId).not.toBe(first.sessionId);
    expect((await join({ ...moved, address: "192.0.2.2" })).sessionId).toBe(first.sessionId);
  });

  it("works by identity expressions that have an address in them", async () => {
    expression = "stream, claim:sub | token, ip/24";
    answer = () => allow({ roams: true });
    const claims = { sub: "ann" };
    const first = await join({ claims });
    expect((await join({ ...moved, claims })).sessionId).toBe(first.sessionId);
    expect((await join({ ...moved, claims: { sub: "ben" } })).sessionId).not.toBe(first.sessionId);
  });

  it("does not get in where it was refused; and no more when a later answer does not say that it roams", async () => {
    answer = ({ address }) => (address === moved.address ? deny("not from there") : allow({ roams: true }));
    await expect(join(moved)).rejects.toThrow("not from there");
    const first = await join();
    await expect(join(moved)).rejects.toThrow("not from there");
    answer = () => allow();
    await sessions.invalidate({ ids: [first.sessionId] });
    expect((await join({ address: "192.0.2.1" })).sessionId).not.toBe(first.sessionId);
  });

  it("leaves no names behind", async () => {
    answer = () => allow({ roams: true });
    for (let at = 0; at < 40; at++) await join({ address: `192.0.2.${at}` });
    expect([asked.length, sessions.list().length]).toEqual([1, 1]);
    const [{ id = "" } = {}] = sessions.list();
    const before = sessions.endOf(id)?.hosts.length;
    sessions.stop(() => true, "over");
    expect(before).toBe(40);
    answer = () => deny("no");
    for (let at = 0; at < 40; at++) await expect(join({ address: `192.0.2.${at}` })).rejects.toThrow("no");
  });
});

describe("each session that is let in takes one place and frees it once", () => {
  type Step =
    | { readonly do: "join" | "leave" | "renew" | "stop" | "untag"; readonly who: number; readonly with: number }
    | { readonly do: "answer"; readonly kind: number; readonly who: number }
    | { readonly do: "wait"; readonly ms: number }
    | { readonly do: "invalidate" | "settle" };
  const who = fc.nat(5);
  const step: fc.Arbitrary<Step> = fc.oneof(
    { weight: 8, arbitrary: fc.record({ do: fc.constantFrom("join" as const, "leave", "renew", "stop"), who, with: who }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant("answer" as const), kind: fc.nat(9), who }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.constantFrom(100, 1_000, 6_000, 16_000) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constantFrom("invalidate" as const, "settle") }) },
  );

  it("whatever is done in whatever order, by masks and by users", async () => {
    const run = async (chosen: string, steps: readonly Step[], most: number): Promise<void> => {
      expression = chosen;
      start();
      places.most = most;
      const waiting: (() => void)[] = [];
      let verdict = (): Verdict | Promise<Verdict> => allow();
      answer = () => verdict();
      const open: SessionConnection[] = [];
      const all: Promise<unknown>[] = [];
      const identityOf = (at: number): Identity =>
        viewer({ token: `t${at % 3}`, address: `192.0.2.${at % 2}`, protocol: at > 3 ? "FLV" : "HLS" });
      const verdictOf = (kind: number, at: number): Verdict =>
        [
          allow(),
          allow({ user: `u${at % 2}` }),
          allow({ user: `u${at % 2}`, roams: true, ttl: "3s" }),
          allow({ expiresAt: clock.now() + 5_000 }),
          allow({ user: "u0", scope: "user" }),
          deny("no", { denyFor: 0 }),
          deny("no", { scope: "address", denyFor: "2s" }),
          { ...deny("no"), failed: true as const },
          allow({ recheckEvery: "2s", scope: "token" }),
        ][kind] ?? allow();
      for (const one of steps) {
        switch (one.do) {
          case "join": {
            const identity = one.with === 0 ? viewer({ type: "input", protocol: "INPUT:RTMP" }) : identityOf(one.who);
            all.push(
              sessions.join(identity, askOf(identity)).then(
                (connection) => open.push(connection),
                () => undefined,
              ),
            );
            break;
          }
          case "leave":
            open.splice(one.who, 1)[0]?.[Symbol.dispose]();
            break;
          case "renew": {
            const identity = identityOf(one.with);
            const id = open[one.who]?.sessionId ?? "";
            all.push(sessions.renew(id, identity, askOf(identity)).catch(() => undefined));
            break;
          }
          case "stop":
            sessions.stop({ tokens: [`t${one.who % 3}`] }, "stopped");
            break;
          case "answer": {
            const { kind, who: at } = one;
            // Every fifth kind comes late.
            verdict = () =>
              kind % 5 === 4 ? new Promise((resolve) => waiting.push(() => resolve(verdictOf(kind, at)))) : verdictOf(kind, at);
            break;
          }
          case "wait":
            await clock.advance(one.ms);
            break;
          case "invalidate":
            all.push(sessions.invalidate(["live"]));
            break;
          default:
            for (const resolve of waiting.splice(0)) resolve();
            await settle();
        }
        const seated = [...places.held].map(({ id }) => id).toSorted();
        const living = sessions
          .list()
          .filter(({ state, type }) => state === "accepted" && type === "viewer")
          .map(({ id }) => id);
        expect(seated).toEqual(living.toSorted());
      }
      verdict = () => allow();
      for (let round = 0; round < 20 && waiting.length > 0; round++) {
        for (const resolve of waiting.splice(0)) resolve();
        await settle();
      }
      await Promise.all(all);
      sessions.stop(() => true, "over");
      expect(places.faults).toEqual([]);
      const viewers = ends.filter(({ type }) => type === "viewer").length;
      expect([places.held.size, places.freed, viewers]).toEqual([0, places.taken, places.taken]);
      expect(admitted.length).toBe(places.taken);
      await sessions[Symbol.asyncDispose]();
    };
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom("", "stream, user", "stream, token", "ip"),
        fc.array(step, { minLength: 20, maxLength: 60, size: "max" }),
        fc.constantFrom(1, 2, 100),
        run,
      ),
      { numRuns: 100 },
    );
  }, 60_000);
});
