import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { readToken, tokenCookie, urlToken } from "./token.ts";
import { Naming } from "./naming.ts";
import { defaultSessionSettings, type Identity, type SessionSettings, type SessionType } from "./session.ts";

type Recorded = {
  readonly requests: readonly { readonly path: string; readonly headers: Record<string, string>; readonly address: string }[];
  readonly USER_NEW: readonly {
    readonly stream: string;
    readonly address: string;
    readonly token: string;
    readonly protocol: string;
    readonly url: string;
    readonly sessionId: string;
  }[];
};

const golden = new URL("../../test/fixtures/golden/session-identity.json", import.meta.url);
const recorded = Object.entries(JSON.parse(readFileSync(golden, "utf8")) as Record<string, Recorded>);
const viewers = recorded.flatMap(([name, { USER_NEW }]) => USER_NEW.map((row) => [name, row] as const));

const settingOf = {
  viewer: "sessionViewerMode",
  input: "sessionInputMode",
  output: "sessionOutputMode",
  unspecified: "sessionUnspecifiedMode",
} as const satisfies Record<SessionType, keyof SessionSettings>;

/** The id as the reference says it in words: the chosen parts one after the other, an IPv4 address as `::ffff:a.b.c.d` in 16 bytes. */
function referenceId(prefix: string, mode: number, { stream, address, token, protocol }: Identity): string {
  const sum = createHash("sha256");
  if (mode >= 8) sum.update(stream);
  if (mode % 8 >= 4) sum.update(Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, ...address.split(".").map(Number)]));
  if (mode % 4 >= 2) sum.update(token);
  if (mode % 2 === 1) sum.update(protocol);
  return prefix + sum.digest("hex");
}

describe("MistServer's sessions", () => {
  it.each(viewers)("have the recorded id: %s", (_name, { sessionId, ...row }) => {
    expect(new Naming(() => defaultSessionSettings).idOf({ type: "viewer", ...row })).toBe(sessionId);
  });

  it.each(Object.entries(settingOf))("of the kind %s have the id of each of the sixteen masks", (name, setting) => {
    const type = name as SessionType;
    const prefix = { viewer: "", input: "I", output: "O", unspecified: "U" }[type];
    for (let mode = 0; mode < 16; mode++) {
      // All other masks say something else: only the kind's own counts.
      const settings: SessionSettings = {
        ...defaultSessionSettings,
        sessionViewerMode: 15 - mode,
        sessionInputMode: 15 - mode,
        sessionOutputMode: 15 - mode,
        sessionUnspecifiedMode: 15 - mode,
        [setting]: mode,
      };
      const naming = new Naming(() => settings);
      for (const [, row] of viewers) {
        const identity: Identity = { type, ...row };
        expect({ mode, id: naming.idOf(identity) }).toEqual({ mode, id: referenceId(prefix, mode, identity) });
      }
    }
  });

  it("have the default masks 14, 15, 15 and 0", () => {
    const naming = new Naming(() => defaultSessionSettings);
    const row = viewers[0]?.[1];
    if (!row) throw new Error("nothing was recorded");
    const ids = (["viewer", "input", "output", "unspecified"] as const).map((type) => naming.idOf({ type, ...row }));
    const identity: Identity = { type: "viewer", ...row };
    expect(ids).toEqual([
      referenceId("", 14, identity),
      referenceId("I", 15, identity),
      referenceId("O", 15, identity),
      referenceId("U", 0, identity),
    ]);
  });

  it("have the token that the recorded request carries; but Bearer with its first character, which MistServer loses", () => {
    const carried = recorded.flatMap(([name, { requests, USER_NEW }]) => {
      const [request, row] = [requests[0], USER_NEW[0]];
      if (!request || !row) return [];
      const query = Object.fromEntries(new URL(request.path, "http://h").searchParams);
      const headers = Object.fromEntries(Object.entries(request.headers).map(([key, value]) => [key.toLowerCase(), value]));
      const cookies = Object.fromEntries((headers["cookie"] ?? "").split("; ").map((pair) => pair.split("=", 2)));
      return [{ name, read: readToken({ query, headers, cookies }, 15), recorded: row.token }];
    });
    const without = ["flv-no-token-twice", "hls-no-token", "cmaf-no-token", "json-info-no-token", "cookie-sid"];
    for (const { name, read, recorded: token } of carried) {
      expect({ name, read }).toEqual({ name, read: without.includes(name) ? "" : name === "bearer" ? `i${token}` : token });
    }
    expect(carried.length).toBe(18);
  });
});

describe("tknMode", () => {
  it("reads and writes where its sixteen values say, and nowhere else", () => {
    for (let mode = 0; mode < 16; mode++) {
      const [query, cookie, url, set] = [1, 2, 4, 8].map((bit) => Math.floor(mode / bit) % 2 === 1);
      expect({
        mode,
        query: readToken({ query: { tkn: "q" }, cookies: {}, headers: {} }, mode),
        cookie: readToken({ query: {}, cookies: { tkn: "c" }, headers: {} }, mode),
        both: readToken({ query: { tkn: "q" }, cookies: { tkn: "c" }, headers: {} }, mode),
        bearer: readToken({ query: { tkn: "q" }, cookies: { tkn: "c" }, headers: { authorization: "Bearer b" } }, mode),
        url: urlToken("t", mode),
        set: tokenCookie("t", mode)?.split(";")[0],
      }).toEqual({
        mode,
        query: query ? "q" : "",
        cookie: cookie ? "c" : "",
        both: query ? "q" : cookie ? "c" : "",
        bearer: "b",
        url: url ? "t" : undefined,
        set: set ? "tkn=t" : undefined,
      });
    }
  });
});
