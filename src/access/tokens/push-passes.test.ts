import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { exportJWK, generateSecret, SignJWT } from "jose";
import { settle } from "../../../test/support/fake-clock.ts";
import { GateBench } from "../../../test/support/gate-bench.ts";
import { deny } from "../../base/decision.ts";
import type { AccessRequest } from "../../sessions/access-request.ts";
import type { Jwk } from "./jwk.ts";

let bench: GateBench;
let jwk: Jwk;
let sign: (claims: Record<string, unknown>) => Promise<string>;

beforeEach(async () => {
  bench = new GateBench();
  const secret = await generateSecret("HS256", { extractable: true });
  jwk = { ...(await exportJWK(secret)), kid: "k1" } as Jwk;
  sign = (claims) => new SignJWT(claims).setProtectedHeader({ alg: "HS256", kid: "k1" }).sign(secret);
  bench.tokens.configure([jwk]);
  bench.streamKeys.configure({ "Key-7": "live+cam", old: "nowhere", file: "vod" });
});
afterEach(() => bench.close());

const seconds = (): number => Math.floor(bench.clock.now() / 1000);

async function pushed(stream: string, part: Partial<AccessRequest> = {}): Promise<string> {
  return await bench.gate.publish(bench.push(stream, part)).then(
    ({ value }) => value.stream.name,
    (error: unknown) => String(error),
  );
}

describe("a stream key", () => {
  it("goes past every question but CONN_OPEN, whatever the password and the address are, for streams that are not configured too", async () => {
    bench.watchAll();
    bench.on("RTMP_PUSH_REWRITE", deny("no"));
    bench.on("PUSH_REWRITE", deny("no"));
    bench.on("STREAM_LOAD", deny("no"));
    bench.on("STREAM_PUSH", deny("no"));
    bench.streams["live"] = { source: "push://10.0.0.1@secret" };
    expect(await pushed("Key-7?x=1")).toBe("live+cam");
    expect(await pushed("old")).toBe("nowhere");
    expect(await pushed("file")).toBe("vod");
    const questions = ["RTMP_PUSH_REWRITE", "PUSH_REWRITE", "STREAM_LOAD", "STREAM_SOURCE", "STREAM_PUSH"];
    expect(bench.names().filter((name) => questions.includes(name))).toEqual([]);
    expect(bench.names().filter((name) => name === "CONN_OPEN" || name === "STREAM_READY")).toHaveLength(6);
    expect(bench.directory.get("nowhere")?.source).toBe("push://STREAM_KEY_ONLY:STREAM_KEY_ONLY");
    expect(bench.logged.join("\n")).not.toMatch(/key-7/i);
  });

  it("is compared as it was sent; everything else is a name", async () => {
    expect(await pushed("key-7")).toMatch(/There is no stream of this name/);
    expect(await pushed("Key-7x")).toMatch(/There is no stream of this name/);
    expect(await pushed("constructor")).toMatch(/There is no stream of this name/);
  });

  it("is the only way into a stream that one has started, and into one that says so", async () => {
    await pushed("Key-7");
    expect(await pushed("live+cam")).toMatch(/takes only pushes with a stream key or a token/);
    bench.streams["keys"] = { source: "push://STREAM_KEY_ONLY:STREAM_KEY_ONLY" };
    bench.streamKeys.configure({ "Key-7": "live+cam", k: "keys" });
    expect(await pushed("keys")).toMatch(/takes only pushes with a stream key or a token/);
    expect(await pushed("k")).toBe("keys");
  });

  it("does not take a stream from a file that plays, from other publishers, or from inside", async () => {
    const viewer = await bench.gate.play(bench.view("vod"));
    expect(await pushed("file")).toMatch(/This stream takes no pushes/);
    viewer[Symbol.dispose]();
    bench.on("STREAM_SOURCE", "push://INTERNAL_ONLY:x");
    bench.streams["inner"] = { source: "push://INTERNAL_ONLY:x" };
    bench.directory.publish("inner", { bufferMs: 1, segmentMs: 1, resume: false, source: "" });
    bench.streamKeys.configure({ k: "inner", again: "live", too: "live" });
    expect(await pushed("k")).toMatch(/This stream takes no pushes/);
    expect(await pushed("again")).toBe("live");
    expect(await pushed("too")).toMatch(/Another publisher already pushes/);
  });

  it("that is taken away, or given to another stream, ends the push that came with it, at once, and no other", async () => {
    const first = await bench.gate.publish(bench.push("Key-7"));
    const second = await bench.gate.publish(bench.push("old"));
    bench.streamKeys.configure({ "Key-7": "live+cam", old: "nowhere", more: "x" });
    expect([first.signal.aborted, second.signal.aborted]).toEqual([false, false]);
    bench.streamKeys.configure({ "Key-7": "live+cam" });
    expect([first.signal.aborted, second.signal.aborted]).toEqual([false, true]);
    expect(second.signal.reason).toMatchObject({ code: "access.ended", message: "The stream key was taken away." });
    bench.streamKeys.configure({ "Key-7": "live" });
    expect(first.signal.aborted).toBe(true);
    expect(await first.value.stream.closed).toEqual({ code: "CLEAN_CONTROLLER_REQ", text: "The stream key was taken away." });
    expect(bench.logged.join("\n")).not.toMatch(/key-7/i);
  });

  it("that is taken away while the stream is asked about lets nobody in, and leaves nothing behind", async () => {
    const ready = Promise.withResolvers<boolean>();
    bench.on("STREAM_READY", () => ready.promise);
    const push = pushed("Key-7");
    await settle();
    bench.streamKeys.configure({});
    ready.resolve(true);
    expect(await push).toMatch(/The stream key was taken away/);
    await bench.clock.advance(20_000);
    expect(bench.directory.list()).toEqual([]);
    expect(bench.sessions.list().filter(({ state }) => state === "accepted")).toEqual([]);
  });
});

describe("a JWT in the place of the name", () => {
  it("goes past the questions as a stream key does; its claims are the session's", async () => {
    bench.on("PUSH_REWRITE", deny("no"));
    bench.on("STREAM_PUSH", deny("no"));
    const token = await sign({ sub: "live+jwt", exp: seconds() + 60, who: "ann" });
    expect(await pushed(token)).toBe("live+jwt");
    expect(await pushed(await sign({ sub: "unheard-of" }))).toBe("unheard-of");
    expect(bench.fired).toEqual([]);
    expect(bench.logged.join("\n")).not.toContain(token.slice(0, 20));
  });

  it("that does not hold is a name that nobody knows, and never becomes a stream's", async () => {
    bench.settings.defaultSource = "push://";
    const expired = await sign({ sub: "live", exp: seconds() - 1 });
    expect(await pushed(expired)).toMatch(/The token has expired/);
    expect(await pushed(await sign({ sub: "live", ipa: "10.0.0.1" }))).toMatch(/for another address/);
    bench.tokens.configure([[jwk, { input: false }]]);
    expect(await pushed(await sign({ sub: "live" }))).toMatch(/not there to push/);
    bench.tokens.configure([[jwk, { stream: "other" }]]);
    expect(await pushed(await sign({ sub: "live" }))).toMatch(/not for this stream/);
    expect(bench.directory.list()).toEqual([]);
  });

  it("that does not hold here is still asked about: a handler may know it", async () => {
    bench.on("PUSH_REWRITE", "live");
    const raw = await sign({ sub: "x", exp: seconds() - 1 });
    expect(await pushed(raw)).toBe("live");
    expect(bench.of("PUSH_REWRITE")[0]?.split("|")[3]).toBe(raw);
  });
});

describe("a JWT beside the name", () => {
  it.each<[string, (token: string) => Partial<AccessRequest>]>([
    ["jwt in the URL", (jwt) => ({ query: { jwt } })],
    ["tkn in the URL", (tkn) => ({ query: { tkn } })],
    ["a bearer token", (token) => ({ headers: { authorization: `Bearer ${token}` } })],
  ])("goes past the questions when it is for that name: %s", async (_, part) => {
    bench.on("STREAM_PUSH", deny("ask elsewhere"));
    expect(await pushed("live+a", part(await sign({ sub: "live+*" })))).toBe("live+a");
    expect(await pushed("live+b", part(await sign({ sub: "live+a" })))).toMatch(/ask elsewhere/);
    expect(bench.of("STREAM_PUSH")).toHaveLength(1);
  });

  it("in a cookie is none: a page could send it unasked", async () => {
    bench.on("STREAM_PUSH", deny("ask elsewhere"));
    expect(await pushed("live", { cookies: { jwt: await sign({ sub: "live" }) } })).toMatch(/ask elsewhere/);
  });
});

describe("a push that came with a JWT", () => {
  it("ends when its key is taken away, and goes on when other keys change or `exp` passes", async () => {
    const admission = await bench.gate.publish(bench.push(await sign({ sub: "live", exp: seconds() + 10 })));
    await bench.clock.advance(60_000);
    bench.tokens.configure([jwk, { kty: "oct", k: "AAAA", kid: "k2" }]);
    await settle();
    expect(admission.signal.aborted).toBe(false);
    bench.tokens.configure([{ kty: "oct", k: "AAAA", kid: "k2" }]);
    // Signatures are checked on other threads: how long that takes is not this clock's.
    await expect.poll(() => admission.signal.aborted).toBe(true);
    expect(admission.signal.reason).toMatchObject({ message: "The key of the token was taken away." });
  });

  it("ends with `exp` where a token is required", async () => {
    bench.streams["live"] = { source: "push://", requireToken: true };
    const admission = await bench.gate.publish(bench.push(await sign({ sub: "live", exp: seconds() + 10 })));
    await bench.clock.advance(9_000);
    expect(admission.signal.aborted).toBe(false);
    await bench.clock.advance(2_000);
    expect(admission.signal.reason).toMatchObject({ message: "The token has expired." });
    expect(await admission.value.stream.closed).toEqual({ code: "CLEAN_CONTROLLER_REQ", text: "The token has expired." });
  });
});

describe("a stream that requires a token", () => {
  it.each([
    ["by itself", () => (bench.streams["live"] = { source: "push://", requireToken: true })],
    ["by the setting for all", () => (bench.settings.requireToken = true)],
  ])("takes a push with a JWT or a stream key only, %s", async (_, require) => {
    require();
    bench.on("PUSH_REWRITE", { kind: "keep" });
    bench.streamKeys.configure({ k: "live+b" });
    expect(await pushed("live")).toMatch(/This stream needs a token/);
    expect(await pushed("live", { query: { tkn: "no-jwt" } })).toMatch(/This stream needs a token/);
    expect(await pushed("live", { query: { jwt: await sign({ sub: "live", exp: seconds() - 1 }) } })).toMatch(/The token has expired/);
    expect(await pushed("live", { query: { jwt: await sign({ sub: "other" }) } })).toMatch(/The token is for another stream/);
    expect(await pushed("live", { query: { jwt: await sign({ sub: "live" }) } })).toBe("live");
    expect(await pushed(await sign({ sub: "live+a" }))).toBe("live+a");
    expect(await pushed("k")).toBe("live+b");
  });

  it("says so for the name that a handler has given, too; a stream may be free where others are not", async () => {
    bench.settings.requireToken = true;
    bench.streams["free"] = { source: "push://", requireToken: false };
    bench.on("PUSH_REWRITE", ({ stream }) => (stream === "a" ? "live" : "free"));
    expect(await pushed("a")).toMatch(/This stream needs a token/);
    expect(await pushed("b")).toBe("free");
  });
});
