import { describe, expect, it } from "vitest";
import { allow, deny, keep, rewrite } from "../base/decision.ts";
import { checkFailed, isPositive, joinVerdicts, readNative, readText, tableFailure } from "./answer.ts";

describe("text of a verdict", () => {
  it.each(["1", "yes", "TRUE", "True", "true\n", " true", "10", "1abc", " T R U E", "continue", "truest"])("%j is yes", (text) => {
    expect(isPositive(text)).toBe(true);
    expect(readText("USER_NEW", text)).toEqual(allow());
  });
  it.each(["", "0", "no", "on", "ok", "y", "allow", "deny", "false\n", "False", "off", "null", "{}", "-1", "2", "untrue"])(
    "%j is no",
    (text) => {
      expect(isPositive(text)).toBe(false);
    },
  );
});

describe("text of a value", () => {
  it("is trimmed, unlike MistServer's", () => {
    expect(readText("PUSH_REWRITE", " wild+nl\r\n")).toEqual(rewrite("wild+nl"));
    expect(readText("PUSH_REWRITE", "false")).toEqual(rewrite("false"));
  });
  it("means what the table says when it is empty", () => {
    expect(readText("PUSH_REWRITE", "\n")).toEqual(deny());
    expect(readText("PLAY_REWRITE", "")).toEqual(deny());
    expect(readText("DEFAULT_STREAM", "")).toEqual(deny());
    expect(readText("STREAM_SOURCE", "\n")).toEqual(keep());
  });
  it("does not count for a notification", () => {
    expect(readText("STREAM_BUFFER", "false")).toBeUndefined();
  });
});

describe("answers of functions", () => {
  it("reads decisions and short forms", () => {
    expect(readNative("USER_NEW", true)).toEqual(allow());
    expect(readNative("USER_NEW", false)).toEqual(deny());
    expect(readNative("USER_NEW", allow({ recheckEvery: "5m" }))).toEqual(allow({ recheckEvery: "5m" }));
    expect(readNative("USER_NEW", deny("no", { denyFor: 0 }))).toEqual(deny("no", { denyFor: 0 }));
    expect(readNative("PUSH_REWRITE", "live ")).toEqual(rewrite("live"));
    expect(readNative("PUSH_REWRITE", rewrite("live"))).toEqual(rewrite("live"));
    expect(readNative("PUSH_REWRITE", rewrite("live", { whenTaken: "backup", tags: ["a"], note: "spare" }))).toEqual(
      rewrite("live", { whenTaken: "backup", tags: ["a"], note: "spare" }),
    );
    expect(() => readNative("PUSH_REWRITE", { kind: "rewrite", to: "live", whenTaken: "fight" })).toThrow("`whenTaken`");
    expect(readNative("PUSH_REWRITE", rewrite(""))).toEqual(deny());
    expect(readNative("PUSH_REWRITE", deny("unknown key"))).toEqual(deny("unknown key"));
    expect(readNative("PUSH_REWRITE", keep())).toBeUndefined();
    expect(readNative("STREAM_BUFFER", 7)).toBeUndefined();
  });
  it.each([
    ["USER_NEW", undefined, "it answered undefined; USER_NEW wants true, false"],
    ["USER_NEW", "true", "it answered a string"],
    ["USER_NEW", rewrite("x"), 'it answered an object of kind "rewrite"'],
    ["USER_NEW", { kind: "allow", recheckEvery: "soon" }, "`recheckEvery` is a string that does not fit"],
    ["USER_NEW", { kind: "deny", reason: "x", denyFor: null }, "`denyFor` is nothing"],
    ["PUSH_REWRITE", true, "it answered a boolean; PUSH_REWRITE wants a text"],
    ["PUSH_REWRITE", allow(), 'it answered an object of kind "allow"'],
    ["PUSH_REWRITE", null, "it answered null"],
  ] as const)("refuses nonsense: %s %j", (name, value, words) => {
    expect(() => readNative(name, value)).toThrow(words);
  });
});

describe("failure and combination", () => {
  it("refuses access, lets the server live and keeps values when nothing else is said", () => {
    expect(tableFailure("USER_NEW")).toBe(checkFailed);
    expect(tableFailure("STREAM_PUSH")).toBe(checkFailed);
    expect(tableFailure("SYSTEM_START")).toEqual(allow());
    expect(tableFailure("PUSH_REWRITE")).toBeUndefined();
    expect(tableFailure("STREAM_BUFFER")).toBeUndefined();
  });
  it("joins verdicts: the first no wins, then the shortest life", () => {
    expect(joinVerdicts(deny("a"), deny("b"))).toEqual(deny("a"));
    expect(joinVerdicts(allow(), deny("b"))).toEqual(deny("b"));
    expect(joinVerdicts(deny("a"), allow())).toEqual(deny("a"));
    expect(joinVerdicts(allow({ recheckEvery: "1m" }), allow({ recheckEvery: "5s" }))).toEqual(allow({ recheckEvery: "5s" }));
    expect(joinVerdicts(allow({ expiresAt: 9, roams: true, note: "a" }), allow({ expiresAt: 5, note: "b" }))).toEqual(
      allow({ expiresAt: 5, roams: true, note: "a; b" }),
    );
    expect(joinVerdicts(allow({ roams: true }), allow({ roams: false }))).toEqual(allow({ roams: false }));
    expect(joinVerdicts(allow({ recheckEvery: "1m" }), allow())).toEqual(allow({ recheckEvery: "1m" }));
  });
});
