import { describe, expect, it } from "vitest";
import { generateToken, readToken, tokenCookie, urlToken } from "./token.ts";

const read = (
  parts: { query?: Record<string, string>; cookies?: Record<string, string>; headers?: Record<string, string> },
  mode = 15,
): string => readToken({ query: {}, cookies: {}, headers: {}, ...parts }, mode);

describe("tokens", () => {
  it("are read from the query: tkn, sid, sessId, and jwt before them", () => {
    expect(read({ query: { tkn: "a", sid: "b", sessId: "c" } })).toBe("a");
    expect(read({ query: { tkn: "", sid: "b", sessId: "c" } })).toBe("b");
    expect(read({ query: { sessId: "c" } })).toBe("c");
    expect(read({ query: { tkn: "a", jwt: "d" } })).toBe("d");
  });

  it("are read from the cookie tkn or jwt when the query has none", () => {
    expect(read({ cookies: { tkn: "ide" } })).toBe("ide");
    expect(read({ cookies: { tkn: "ide", jwt: "j" } })).toBe("j");
    expect(read({ query: { tkn: "idh" }, cookies: { tkn: "idi" } })).toBe("idh");
    expect(read({ cookies: { sid: "idf" } })).toBe("");
  });

  it("are read from Authorization: Bearer before all others, with their first character", () => {
    expect(read({ query: { tkn: "a" }, headers: { authorization: "Bearer idg123" } })).toBe("idg123");
    expect(read({ headers: { authorization: "bearer x" } }, 0)).toBe("x");
    expect(read({ headers: { authorization: "Basic YTpi" } })).toBe("");
  });

  it("are read only where tknMode says", () => {
    const both = { query: { tkn: "q" }, cookies: { tkn: "c" } };
    expect([0, 1, 2, 3].map((mode) => read(both, mode))).toEqual(["", "q", "c", "q"]);
  });

  it("are generated unlike each other, in letters and digits", () => {
    const tokens = new Set(Array.from({ length: 1000 }, generateToken));
    expect(tokens.size).toBe(1000);
    for (const token of tokens) expect(token).toMatch(/^[a-z2-7]{16}$/);
  });

  it("are carried as tknMode says, and cannot break out of a header or a playlist", () => {
    expect(urlToken("a b\r\n", 15)).toBe("a%20b%0D%0A");
    expect(urlToken("abc", 11)).toBeUndefined();
    expect(urlToken("", 15)).toBeUndefined();
    expect(tokenCookie("abc", 15)).toBe("tkn=abc; Max-Age=600; Path=/; HttpOnly; SameSite=Lax");
    expect(tokenCookie("a; Domain=x\r\nB: c", 8)).toBe("tkn=a%3B%20Domain%3Dx%0D%0AB%3A%20c; Max-Age=600; Path=/; HttpOnly; SameSite=Lax");
    expect(tokenCookie("abc", 15, true)).toBe("tkn=abc; Max-Age=600; Path=/; HttpOnly; Secure; SameSite=None; Partitioned");
    expect(tokenCookie("abc", 7)).toBeUndefined();
  });
});
