import { describe, expect, it } from "vitest";
import { allow, deny, keep, rewrite, type Verdict } from "../base/decision.ts";
import { joinVerdicts, readNative, readReply, readText } from "./answer.ts";
import { readJson } from "./decision-object.ts";
import { type TriggerDefinition, type TriggerName, triggers } from "./table.ts";

const names = Object.keys(triggers) as TriggerName[];

describe("typed answers of the text form", () => {
  it.each([
    ["USER_NEW", "deny", "please pay", deny("please pay", { final: true })],
    ["USER_NEW", " Deny ", undefined, deny("not allowed", { final: true })],
    ["USER_NEW", "value", undefined, allow()],
    ["PUSH_REWRITE", "keep", undefined, undefined],
    ["PUSH_REWRITE", "deny", "a\r\nb", deny("a  b", { final: true })],
    ["STREAM_SOURCE", "keep", undefined, undefined],
    ["STREAM_SOURCE", "use-configured", undefined, keep()],
    ["STREAM_SOURCE", "configured", undefined, keep()],
    ["STREAM_SOURCE", "offline", "back at nine", deny("back at nine", { final: true })],
    ["STREAM_BUFFER", "deny", undefined, undefined],
  ] as const)("%s: %s", (name, action, reason, reading) => {
    expect(readReply(name, { text: "true", action, ...(reason !== undefined && { reason }) })).toEqual(reading);
  });

  it("takes a word that the trigger does not have for a failure, not for an answer", () => {
    for (const name of names) {
      const { actions, answer }: TriggerDefinition = triggers[name];
      if (answer === "notify") continue;
      for (const action of ["keep", "deny", "offline", "use-configured", "", "maybe"]) {
        if (actions?.includes(action as "deny")) continue;
        expect(() => readReply(name, { text: "true", action }), `${name} ${action}`).toThrow(`no word for ${name}`);
      }
    }
  });

  it("reads STREAM_SOURCE's older text", () => {
    expect(readText("STREAM_SOURCE", "offline: not before nine\n")).toEqual(deny("not before nine", { final: true }));
    expect(readText("STREAM_SOURCE", "offline:")).toMatchObject({ kind: "deny" });
    expect(readText("PUSH_REWRITE", "offline:x")).toEqual(rewrite("offline:x"));
  });
});

describe("the decision object of the JSON form", () => {
  const read = (name: TriggerName, value: unknown): unknown => readJson(name, JSON.stringify(value));

  it("reads each kind", () => {
    const life = {
      ttl: "1m",
      staleFor: 5000,
      recheckEvery: "10s",
      scope: "user",
      expiresAt: 1_900_000_000_000,
      roams: true,
      user: "ann",
      note: "paid until May",
      tags: ["vip"],
      limits: { sessions: 2 },
    } as const;
    const limits = [
      { sessions: 2, by: "user", onReached: "end-oldest", reason: "two screens", retryAfter: "10s" },
      { sessions: 5, by: "address" },
    ] as const;
    expect(read("USER_NEW", { decision: "allow", limits })).toEqual(allow({ limits }));
    expect(read("USER_NEW", { decision: "allow", limits: { per: "stream", sessions: 1 } })).toEqual(
      allow({ limits: { sessions: 1, per: "stream" } }),
    );
    expect(read("USER_NEW", { decision: "allow", reason: "paid", ...life })).toEqual(allow(life));
    expect(
      read("USER_NEW", { decision: "deny", reason: "no", denyFor: "1s", retryAfter: 5, scope: "token", note: "rule 2", final: true }),
    ).toEqual(deny("no", { denyFor: "1s", retryAfter: 5, scope: "token", note: "rule 2", final: true }));
    expect(read("USER_NEW", { decision: "deny" })).toEqual(deny());
    expect(read("CONN_PLAY", { decision: "allow" })).toEqual(allow());
    expect(read("PUSH_REWRITE", { decision: "rewrite", to: " live " })).toEqual(rewrite("live"));
    expect(read("PUSH_REWRITE", { decision: "rewrite", to: "live", whenTaken: "take-over", tags: ["cam"], note: "1" })).toEqual(
      rewrite("live", { whenTaken: "take-over", tags: ["cam"], note: "1" }),
    );
    expect(read("PUSH_REWRITE", { decision: "keep" })).toBeUndefined();
    expect(read("PUSH_REWRITE", { decision: "deny", reason: "unknown key" })).toEqual(deny("unknown key"));
    expect(readJson("STREAM_BUFFER", "whatever")).toBeUndefined();
  });

  it.each([
    ["USER_NEW", {}, "`decision` is nothing; it must be for USER_NEW one of allow, deny"],
    ["USER_NEW", { decision: true }, "`decision`"],
    ["USER_NEW", { decision: "keep" }, "one of allow, deny"],
    ["USER_NEW", { decision: "rewrite", to: "x" }, "one of allow, deny"],
    ["PUSH_REWRITE", { decision: "allow" }, "one of rewrite, keep, deny"],
    ["PUSH_REWRITE", { decision: "rewrite" }, "`to` is nothing"],
    ["PUSH_REWRITE", { decision: "rewrite", to: "  " }, "`to`"],
    ["PUSH_REWRITE", { decision: "rewrite", to: "x", whenTaken: "fight" }, "`whenTaken`"],
    ["PLAY_REWRITE", { decision: "rewrite", to: "x", whenTaken: "refuse" }, "`whenTaken`, which rewrite for PLAY_REWRITE does not have"],
    ["PUSH_REWRITE", { decision: "keep", to: "x" }, "`to`, which keep for PUSH_REWRITE does not have"],
    ["USER_NEW", { decision: "allow", ttls: 5 }, "`ttls`, which allow for USER_NEW does not have; it has ttl, "],
    ["CONN_PLAY", { decision: "allow", ttl: 5 }, "`ttl`, which allow for CONN_PLAY does not have"],
    ["CONN_PLAY", { decision: "deny", denyFor: 5 }, "`denyFor`"],
    ["USER_NEW", { decision: "allow", ttl: "soon" }, "`ttl` is a string that does not fit"],
    ["USER_NEW", { decision: "allow", ttl: -1 }, "`ttl`"],
    ["USER_NEW", { decision: "allow", ttl: null }, "`ttl` is nothing"],
    ["USER_NEW", { decision: "allow", expiresAt: "tomorrow" }, "`expiresAt`"],
    ["USER_NEW", { decision: "allow", expiresAt: -1 }, "`expiresAt`"],
    ["USER_NEW", { decision: "allow", roams: 1 }, "`roams`"],
    ["USER_NEW", { decision: "deny", retryAfter: "later" }, "`retryAfter`"],
    ["USER_NEW", { decision: "deny", note: "x".repeat(201) }, "`note`"],
    ["CONN_PLAY", { decision: "deny", retryAfter: 5 }, "`retryAfter`, which deny for CONN_PLAY does not have; it has note, final, reason"],
    ["USER_NEW", { decision: "allow", staleFor: 5 }, "left out where there is no `ttl`"],
    ["USER_NEW", { decision: "allow", scope: "house" }, "`scope`"],
    ["USER_NEW", { decision: "allow", scope: "user" }, "`user` is nothing"],
    ["USER_NEW", { decision: "allow", user: "a\nb" }, "`user`"],
    ["USER_NEW", { decision: "allow", user: "x".repeat(201) }, "`user`"],
    ["USER_NEW", { decision: "allow", tags: "vip" }, "`tags`"],
    ["USER_NEW", { decision: "allow", tags: ["[a]"] }, "`tags`"],
    ["USER_NEW", { decision: "allow", tags: Array.from({ length: 33 }, () => "a") }, "`tags` is a list"],
    ["USER_NEW", { decision: "allow", limits: 2 }, "`limits` is a number that does not fit; it must be `sessions`, a whole number from 1"],
    ["USER_NEW", { decision: "allow", limits: null }, "`limits` is nothing"],
    ["USER_NEW", { decision: "allow", limits: {} }, "`limits`"],
    ["USER_NEW", { decision: "allow", limits: [[{ sessions: 2 }]] }, "`limits[0]` is a list"],
    ["USER_NEW", { decision: "allow", limits: [] }, "a list of 1 to 8"],
    ["USER_NEW", { decision: "allow", limits: Array.from({ length: 9 }, () => ({ sessions: 1 })) }, "a list of 1 to 8"],
    ["USER_NEW", { decision: "allow", limits: [{ sessions: 1 }, { sessions: 1, by: "house" }] }, "`limits[1].by`"],
    ["USER_NEW", { decision: "allow", limits: { sessions: 1, onReached: "end" } }, "`limits.onReached`"],
    ["USER_NEW", { decision: "allow", limits: { sessions: 1, reason: "a\r\nX: b" } }, "`limits.reason`"],
    ["USER_NEW", { decision: "allow", limits: { sessions: 1, retryAfter: "soon" } }, "`limits.retryAfter`"],
    ["USER_NEW", { decision: "allow", limits: { sessions: 0 } }, "`limits`"],
    ["USER_NEW", { decision: "allow", limits: { sessions: 1.5 } }, "`limits`"],
    ["USER_NEW", { decision: "allow", limits: { sessions: "2" } }, "`limits`"],
    ["USER_NEW", { decision: "allow", limits: { sessions: 2, per: "server" } }, "`limits`"],
    ["USER_NEW", { decision: "allow", limits: { sessions: 2, bandwidth: 5 } }, "`limits`"],
    ["USER_NEW", { decision: "deny", limits: { sessions: 2 } }, "`limits`, which deny for USER_NEW does not have"],
    ["CONN_PLAY", { decision: "allow", limits: { sessions: 2 } }, "`limits`, which allow for CONN_PLAY does not have"],
    ["USER_NEW", { decision: "deny", reason: 5 }, "`reason`"],
    ["USER_NEW", { decision: "deny", final: 1 }, "`final`"],
    ["USER_NEW", [], "a list"],
    ["USER_NEW", true, "a boolean"],
    ["USER_NEW", null, "it answered null"],
  ] as const)("is refused with the field's name: %s %j", (name, value, words) => {
    expect(() => read(name, value)).toThrow(words);
  });

  it("is never guessed from nothing, and never shown", () => {
    expect(() => readJson("USER_NEW", "")).toThrow("it answered nothing");
    expect(() => readJson("USER_NEW", "true!")).toThrow("no JSON");
    expect(() => read("USER_NEW", { decision: "allow", user: "secret\n" })).not.toThrow("secret");
  });

  it("is read the same from a function", () => {
    const life = { ttl: "1m", staleFor: "5s", scope: "token", user: "ann", tags: ["vip"], limits: { sessions: 1 } } as const;
    expect(readNative("USER_NEW", allow(life))).toEqual(allow(life));
    expect(() => readNative("USER_NEW", { kind: "allow", limits: { sessions: Number.NaN } })).toThrow("`limits`");
    expect(readNative("USER_NEW", deny("no", { scope: "user", user: "ann" }))).toEqual(deny("no", { scope: "user", user: "ann" }));
    expect(() => readNative("USER_NEW", { kind: "allow", tags: [5] })).toThrow("`tags`");
  });
});

describe("several yeses", () => {
  it("have the lower limit, for each stream only if both say so", () => {
    const all = (sessions: number): Verdict => allow({ limits: { sessions } });
    const each = (sessions: number): Verdict => allow({ limits: { sessions, per: "stream" } });
    expect(joinVerdicts(all(3), all(2))).toEqual(all(2));
    expect(joinVerdicts(each(1), each(2))).toEqual(each(1));
    expect(joinVerdicts(all(5), each(1))).toEqual(all(1));
    expect(joinVerdicts(each(5), all(1))).toEqual(all(1));
    expect(joinVerdicts(allow(), each(2))).toEqual(each(2));
    expect(joinVerdicts(all(2), allow())).toEqual(all(2));
    const other = allow({ limits: [{ sessions: 3, by: "address" }] });
    expect(joinVerdicts(all(2), other)).toEqual(allow({ limits: [{ sessions: 2 }, { sessions: 3, by: "address" }] }));
    expect(joinVerdicts(other, each(1))).toEqual(
      allow({
        limits: [
          { sessions: 3, by: "address" },
          { sessions: 1, per: "stream" },
        ],
      }),
    );
  });
  it("hold as long as the shortest, for the narrowest, with all tags", () => {
    const one = allow({ ttl: "5m", staleFor: "1m", scope: "token", user: "ann", tags: ["a"] });
    const other = allow({ ttl: 1000, scope: "token", tags: ["b", "a"] });
    expect(joinVerdicts(one, other)).toEqual(allow({ ttl: 1000, scope: "token", user: "ann", tags: ["a", "b"] }));
    expect(joinVerdicts(one, allow())).toEqual(allow({ ttl: "5m", staleFor: "1m", user: "ann", tags: ["a"] }));
    expect(joinVerdicts(allow({ user: "ann" }), allow({ user: "bob" }))).toEqual(allow({ user: "bob" }));
  });
});
