import { describe, expect, it } from "vitest";
import { readSessionIdentity } from "../base/session-identity.ts";
import { Naming } from "./naming.ts";
import { defaultSessionSettings, type Identity, type SessionSettings } from "./session.ts";

const identity: Identity = {
  type: "viewer",
  stream: "live",
  address: "203.0.113.5",
  token: "t1",
  protocol: "HLS",
  url: "",
  cookies: { uid: "7", empty: "" },
  claims: { sub: "ann", groups: ["a", "b"], level: 3, none: null },
};
const naming = (expression: string): Naming => {
  const settings: SessionSettings = { ...defaultSessionSettings, sessionIdentity: readSessionIdentity(expression) };
  return new Naming(() => settings);
};
/** True if the expression takes both for the same viewer. */
const same = (expression: string, a: Partial<Identity>, b: Partial<Identity> = {}): boolean => {
  const names = naming(expression);
  return names.idOf({ ...identity, ...a }) === names.idOf({ ...identity, ...b });
};

describe("an identity expression", () => {
  it("makes lower-case SHA-256 in hexadecimal digits, and counts for viewers only", () => {
    const names = naming("stream");
    expect(names.idOf(identity)).toMatch(/^[0-9a-f]{64}$/);
    const publisher: Identity = { ...identity, type: "input", protocol: "INPUT:RTMP" };
    expect(names.idOf(publisher)).toBe(naming("").idOf(publisher));
    expect(names.idOf(publisher)).not.toBe(names.idOf({ ...publisher, token: "other" }));
  });

  it("has of each part exactly what it says", () => {
    const others: Partial<Identity>[] = [{ stream: "vod" }, { address: "192.0.2.1" }, { token: "t2" }, { protocol: "FLV" }];
    const parts = ["stream", "ip", "token", "protocol"];
    for (const [at, part] of parts.entries()) {
      for (const [other, change] of others.entries())
        expect({ part, other, same: same(part, change) }).toEqual({ part, other, same: at !== other });
    }
    expect(same("cookie:uid", { cookies: { uid: "8" } })).toBe(false);
    expect(same("cookie:uid", { cookies: { uid: "7", other: "x" }, token: "t2" })).toBe(true);
    expect(same("claim:sub", { claims: { sub: "ann", exp: 1 }, token: "t2" })).toBe(true);
    expect(same("claim:sub", { claims: { sub: "ben" } })).toBe(false);
    expect(same("claim:groups", { claims: { groups: ["a", "c"] } })).toBe(false);
    expect(same("claim:level", { claims: { level: 3 }, token: "t2" })).toBe(true);
  });

  it.each([
    ["ip/24", "203.0.113.5", "203.0.113.250", true],
    ["ip/24", "203.0.113.5", "203.0.112.5", false],
    ["ip/22", "203.0.113.5", "203.0.112.5", true],
    ["ip/24", "203.0.113.5", "::ffff:203.0.113.9", true],
    ["ip/24", "2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true],
    ["ip/24", "2001:db8:1:2::1", "2001:db8:1:3::1", false],
    ["ip/24/56", "2001:db8:1:2::1", "2001:db8:1:3::1", true],
    ["ip/24/56", "2001:db8:1:200::1", "2001:db8:1:300::1", false],
    ["ip/24/61", "2001:db8:1:7::1", "2001:db8:1:8::1", false],
    ["ip", "2001:db8::1", "2001:db8::2", false],
    ["ip/24", "a local pipe", "another one", false],
  ])("%s takes %s and %s for the same: %s", (expression, address, other, expected) => {
    expect(same(expression, { address }, { address: other })).toBe(expected);
  });

  it("takes the first of several that the client has", () => {
    expect(same("claim:sub | token", { token: "t2" })).toBe(true);
    expect(same("claim:sub | token", { token: "t2", claims: {} })).toBe(false);
    expect(same("cookie:empty | cookie:uid", { token: "t2" })).toBe(true);
    expect(same("claim:none | claim:level", { token: "t2" })).toBe(true);
  });

  it("tells clients that have none of it apart by their tokens, also by those that were made for them", () => {
    expect(same("cookie:absent", { token: "t2" })).toBe(false);
    expect(same("cookie:absent", { token: "t1", address: "192.0.2.1" })).toBe(true);
    expect(same("token | ip", { madeToken: true, token: "x" }, { madeToken: true, token: "y" })).toBe(true);
    expect(same("token", { madeToken: true, token: "x" }, { madeToken: true, token: "y" })).toBe(false);
    expect(same("token", { madeToken: true, token: "x" }, { token: "x" })).toBe(true);
  });

  it("cannot be tricked by a value of one kind that looks like another's", () => {
    const names = naming("claim:sub | cookie:uid | token");
    const bare = { ...identity, cookies: {}, claims: {} };
    const ids = [
      { ...bare, claims: { sub: "7" } },
      { ...bare, cookies: { uid: "7" } },
      { ...bare, token: "7" },
    ].map((one) => names.idOf(one));
    expect(new Set(ids).size).toBe(3);
    expect(same("stream, token", { stream: "a", token: "bc" }, { stream: "ab", token: "c" })).toBe(false);
    for (const name of ["__proto__", "constructor", "toString"]) expect(same(`cookie:${name}`, { token: "t2" })).toBe(false);
  });

  it("knows users by stream and token, from the moment on that they are named", () => {
    const names = naming("stream, user");
    const [one, two] = [identity, { ...identity, token: "t2" }];
    const before = names.idOf(one);
    expect(names.idOf(two)).not.toBe(before);
    const named = names.named(one, "ann");
    expect([names.idOf(one), names.named(two, "ann"), names.idOf(two)]).toEqual([named, named, named]);
    expect(named).not.toBe(before);
    expect(names.userOf({ ...one, stream: "vod" })).toBe("");
    expect([names.named(one, ""), names.named(one, undefined), names.userOf(one)]).toEqual([undefined, undefined, "ann"]);
    expect(naming("stream, token").named(one, "ann")).toBeUndefined();
  });

  it("costs no hash for an identity object that it has seen, and sees a changed setting", () => {
    let settings: SessionSettings = { ...defaultSessionSettings, sessionIdentity: ["stream"] };
    const names = new Naming(() => settings);
    const id = names.idOf(identity);
    // The memory is of the object: had it looked again, the id would be another.
    (identity as { stream: string }).stream = "changed";
    expect(names.idOf(identity)).toBe(id);
    (identity as { stream: string }).stream = "live";
    settings = { ...settings, sessionIdentity: ["stream", "token"] };
    expect(names.idOf(identity)).not.toBe(id);
    settings = { ...settings, sessionIdentity: [] };
    expect(names.idOf(identity)).toBe(new Naming(() => defaultSessionSettings).idOf(identity));
  });
});
