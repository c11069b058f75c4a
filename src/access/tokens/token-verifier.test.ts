import { createHmac } from "node:crypto";
import { exportJWK, generateKeyPair, generateSecret, type JWK, SignJWT, UnsecuredJWT } from "jose";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { FakeClock, settle } from "../../../test/support/fake-clock.ts";
import type { Jwk } from "./jwk.ts";
import type { KeyEntry } from "./key-entry.ts";
import { createTokenVerifier, type OwnedTokenVerifier } from "./token-verifier.ts";
import type { TokenUse } from "./verifier.ts";

const clock = new FakeClock();
const now = Math.floor(clock.now() / 1000);
const watch: TokenUse = { permission: "output", stream: "live", address: "192.0.2.7" };
const lines: string[] = [];
const log = { write: (kind: string, text: string) => void lines.push(`${kind} ${text}`) };

const opened: OwnedTokenVerifier[] = [];
afterEach(() => {
  for (const verifier of opened.splice(0)) verifier[Symbol.dispose]();
  lines.length = 0;
});

function verifierOf(...jwks: readonly KeyEntry[]): OwnedTokenVerifier {
  const verifier = createTokenVerifier({ clock, log, jwks });
  opened.push(verifier);
  return verifier;
}

type Pair = { readonly jwk: Jwk; readonly sign: (claims: Record<string, unknown>, header?: Record<string, unknown>) => Promise<string> };

async function pair(alg: string, kid?: string): Promise<Pair> {
  const keys = alg.startsWith("HS") ? await generateSecret(alg, { extractable: true }) : await generateKeyPair(alg, { extractable: true });
  const [secret, shown] = "privateKey" in keys ? [keys.privateKey, keys.publicKey] : [keys, keys];
  const jwk: JWK = { ...(await exportJWK(shown)), ...(kid !== undefined && { kid }) };
  return {
    jwk: jwk as Jwk,
    sign: (claims, header) => new SignJWT(claims).setProtectedHeader({ alg, ...(kid !== undefined && { kid }), ...header }).sign(secret),
  };
}

function encode(value: unknown): string {
  return Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
}

describe("a signature", () => {
  const algorithms = ["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];
  it.each(algorithms)("of %s counts with its key, and not with another of the same type", async (alg) => {
    const [own, other] = [await pair(alg), await pair(alg)];
    const token = await own.sign({ sub: "live" });
    expect(await verifierOf(other.jwk, own.jwk).verify(token, watch)).toEqual({
      kind: "valid",
      claims: { sub: "live" },
      expiresAt: undefined,
    });
    expect(await verifierOf(other.jwk).verify(token, watch)).toMatchObject({ kind: "invalid" });
  });

  it("that was changed, cut or left out does not count", async () => {
    const own = await pair("HS256");
    const token = await own.sign({ sub: "live" });
    const [head = "", , signature = ""] = token.split(".");
    const verifier = verifierOf(own.jwk);
    const forged = [
      `${head}.${encode({ sub: "other" })}.${signature}`,
      token.slice(0, -1),
      `${token.split(".").slice(0, 2).join(".")}.`,
      new UnsecuredJWT({ sub: "live" }).encode(),
      `${encode({ alg: "none" })}.${encode({ sub: "live" })}.${signature}`,
      `${encode({ alg: "HS256", crit: ["x"], x: 1 })}.${encode({ sub: "live" })}.${signature}`,
    ];
    for (const text of forged) expect(await verifier.verify(text, { ...watch, stream: "other" })).toMatchObject({ kind: "invalid" });
    expect(verifier.stats().remembered).toBe(0);
  });

  it("is never computed with a public key as the secret of an HMAC", async () => {
    for (const alg of ["RS256", "ES256", "EdDSA"]) {
      const own = await pair(alg, "k1");
      const verifier = verifierOf(own.jwk);
      const signed = `${encode({ alg: "HS256", kid: "k1" })}.${encode({ sub: "live" })}`;
      const secrets = [
        JSON.stringify(own.jwk),
        String(own.jwk["n"] ?? own.jwk["x"]),
        Buffer.from(String(own.jwk["n"] ?? own.jwk["x"]), "base64url"),
      ];
      for (const secret of secrets) {
        const token = `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
        expect(await verifier.verify(token, watch)).toMatchObject({ kind: "invalid" });
      }
      expect(verifier.stats().verifications).toBe(0);
    }
  });

  it("is bound to the key's own `alg`, and to the key that it names", async () => {
    const [first, second] = [await pair("RS256", "a"), await pair("RS256", "b")];
    const token = await first.sign({ sub: "live" });
    expect(await verifierOf({ ...first.jwk, alg: "PS256" }).verify(token, watch)).toMatchObject({ kind: "invalid" });
    expect(await verifierOf({ ...second.jwk, kid: "a" }, { ...first.jwk, kid: "b" }).verify(token, watch)).toMatchObject({
      kind: "invalid",
    });
    // A key id that nobody knows: every key that fits is tried, as in MistServer.
    expect(await verifierOf({ ...second.jwk, kid: "x" }, { ...first.jwk, kid: "y" }).verify(token, watch)).toMatchObject({ kind: "valid" });
  });

  it("is verified once and then remembered, until the keys change", async () => {
    const own = await pair("ES256");
    const token = await own.sign({ sub: "live*" });
    const verifier = verifierOf(own.jwk);
    await Promise.all(["live", "live+a", "live+b"].map((stream) => verifier.verify(token, { ...watch, stream })));
    await verifier.verify(token, watch);
    expect(verifier.stats()).toEqual({ verifications: 1, remembered: 1 });
    let told = 0;
    verifier.onChange(() => told++);
    verifier.configure([]);
    expect(told).toBe(1);
    expect(await verifier.verify(token, watch)).toEqual({ kind: "none" });
    verifier.configure([own.jwk]);
    expect(await verifier.verify(token, watch)).toMatchObject({ kind: "valid" });
    expect(verifier.stats()).toEqual({ verifications: 2, remembered: 1 });
  });

  it("is not taken from keys that are gone when it has been computed", async () => {
    const own = await pair("RS256");
    const other = await pair("RS256");
    const verifier = verifierOf(own.jwk);
    const asked = verifier.verify(await own.sign({ sub: "live" }), watch);
    verifier.configure([other.jwk]);
    expect(await asked).toMatchObject({ kind: "invalid" });
  });
});

describe("what the token says", () => {
  const table: readonly [claims: Record<string, unknown>, use: Partial<TokenUse>, reason: RegExp | undefined][] = [
    [{}, {}, undefined],
    [{ sub: "live" }, {}, undefined],
    [{ sub: "Live" }, {}, undefined],
    [{ sub: "live+*" }, { stream: "live+a" }, undefined],
    [{ sub: "live+*" }, {}, /another stream/],
    [{ sub: "*_hd" }, { stream: "sport_hd" }, undefined],
    [{ sub: "l*e" }, { stream: "le" }, undefined],
    [{ sub: "liv*ive" }, {}, /another stream/],
    [{ sub: "other" }, {}, /another stream/],
    [{ sub: 7 }, {}, /another stream/],
    [{ sub: "" }, {}, /another stream/],
    [{ ipa: "192.0.2.7" }, {}, undefined],
    [{ ipa: "192.0.2.0/24" }, {}, undefined],
    [{ ipa: "::ffff:192.0.2.7" }, {}, undefined],
    [{ ipa: "2001:db8::/32" }, { address: "2001:db8::1" }, undefined],
    [{ ipa: "192.0.2.8" }, {}, /another address/],
    [{ ipa: "192.0.2.0/24" }, { address: "unix" }, /another address/],
    [{ ipa: "example.com" }, {}, /`ipa` is no address/],
    [{ ipa: ["192.0.2.7"] }, {}, /`ipa` is no address/],
    [{ exp: now + 1 }, {}, undefined],
    [{ exp: now }, {}, /has expired/],
    [{ exp: `${now + 60}` }, {}, /`exp` is no time/],
    [{ exp: null }, {}, /`exp` is no time/],
    [{ nbf: now + 5 }, {}, undefined],
    [{ nbf: now + 6 }, {}, /not valid yet/],
    [{ nbf: true }, {}, /`nbf` is no time/],
    [{ exp: now - 60 }, { at: clock.now() - 61_000 }, undefined],
  ];

  it.each(table)("%j, shown for %j: %s", async (claims, part, reason) => {
    const own = await pair("HS256");
    const verdict = await verifierOf(own.jwk).verify(await own.sign(claims), { ...watch, ...part });
    if (reason === undefined) expect(verdict).toMatchObject({ kind: "valid", claims });
    else expect(verdict).toMatchObject({ kind: "invalid", reason: expect.stringMatching(reason) });
  });

  it("ends and begins when `expiresAt` and `notBefore` say", async () => {
    const own = await pair("HS256");
    const verifier = verifierOf(own.jwk);
    const token = await own.sign({ nbf: now + 100, exp: now + 200 });
    const early = await verifier.verify(token, watch);
    const notBefore = early.kind === "invalid" ? (early.notBefore ?? 0) : 0;
    expect(await verifier.verify(token, { ...watch, at: notBefore - 1 })).toMatchObject({ kind: "invalid", notBefore });
    const valid = await verifier.verify(token, { ...watch, at: notBefore });
    const expiresAt = valid.kind === "valid" ? (valid.expiresAt ?? 0) : 0;
    expect(expiresAt).toBe((now + 200) * 1000);
    expect(await verifier.verify(token, { ...watch, at: expiresAt - 1 })).toMatchObject({ kind: "valid" });
    expect(await verifier.verify(token, { ...watch, at: expiresAt })).toEqual({ kind: "invalid", reason: "The token has expired." });
    // The wrong stream is not mended by waiting.
    expect(await verifier.verify(token, { ...watch, stream: "other", at: notBefore })).not.toHaveProperty("notBefore");
  });
});

describe("what the key may", () => {
  it("has MistServer's defaults: push and watch, everywhere, and no API", async () => {
    const own = await pair("HS256");
    const verifier = verifierOf(own.jwk);
    const token = await own.sign({});
    expect((await verifier.verify(token, { ...watch, permission: "input" })).kind).toBe("valid");
    expect((await verifier.verify(token, { ...watch, permission: "output" })).kind).toBe("valid");
    expect(await verifier.verify(token, { permission: "admin", stream: "", address: "::1" })).toEqual({
      kind: "invalid",
      reason: "The token's key is not there to use the API.",
    });
  });

  it("is narrowed and widened beside it", async () => {
    const own = await pair("HS256");
    const token = await own.sign({});
    const kindOf = async (permissions: object, use: Partial<TokenUse> = {}): Promise<string> =>
      (await verifierOf([own.jwk, permissions]).verify(token, { ...watch, ...use })).kind;
    expect(await kindOf({ output: false })).toBe("invalid");
    expect(await kindOf({ output: false }, { permission: "input" })).toBe("valid");
    expect(await kindOf({ admin: true, input: false, output: false, stream: "x" }, { permission: "admin", stream: "" })).toBe("valid");
    expect(await kindOf({ stream: ["vod", "li*"] })).toBe("valid");
    expect(await kindOf({ stream: [] })).toBe("valid");
    expect(await kindOf({ stream: "vod" })).toBe("invalid");
  });

  it("is what all entries of the same key allow, computed once", async () => {
    const own = await pair("RS256");
    const verifier = verifierOf([own.jwk, { stream: "a", input: false }], [own.jwk, { stream: "b" }]);
    const token = await own.sign({});
    const kindOf = async (stream: string, permission: TokenUse["permission"]): Promise<string> =>
      (await verifier.verify(token, { ...watch, stream, permission })).kind;
    expect(await Promise.all([kindOf("a", "output"), kindOf("b", "output"), kindOf("b", "input")])).toEqual(["valid", "valid", "valid"]);
    expect(await Promise.all([kindOf("a", "input"), kindOf("c", "output")])).toEqual(["invalid", "invalid"]);
    expect(verifier.stats().verifications).toBe(1);
  });

  it("comes from a JWKS too", async () => {
    const [one, two] = [await pair("HS256", "1"), await pair("ES256", "2")];
    const verifier = verifierOf([{ keys: [one.jwk, two.jwk] }, { output: false }]);
    const verdicts = await Promise.all(
      [one, two].map(async ({ sign }) => verifier.verify(await sign({}), { ...watch, permission: "input" })),
    );
    expect(verdicts.map(({ kind }) => kind)).toEqual(["valid", "valid"]);
    expect((await verifier.verify(await two.sign({}), watch)).kind).toBe("invalid");
  });
});

describe("a key that cannot be used", () => {
  it("is named in the log, without its secret, and the others count", async () => {
    const own = await pair("RS256");
    const short = await generateKeyPair("RS256", { extractable: true }).then(({ publicKey }) => exportJWK(publicKey));
    const bad: readonly Jwk[] = [
      { kty: "oct", kid: "empty", k: "" },
      { kty: "foo", kid: "odd" },
      { kty: "RSA", kid: "half", n: own.jwk["n"] },
      { kty: "RSA", kid: "short", e: "AQAB", n: String(short.n).slice(0, 100) },
      { kty: "EC", kid: "curve", crv: "secp256k1", x: "AA", y: "AA" },
      { kty: "EC", kid: "off", crv: "P-256", x: "AAAA", y: "AAAA" },
      { ...own.jwk, kid: "enc", use: "enc" },
      { ...own.jwk, kid: "ops", key_ops: ["encrypt"] },
      { ...own.jwk, kid: "alg", alg: "HS256" },
    ];
    const verifier = verifierOf(...bad, own.jwk);
    for (const { kid } of bad)
      expect(lines.filter((line) => line.startsWith(`WARN Key "${String(kid)}" of \`jwks\` cannot be used: `))).toHaveLength(1);
    expect(lines.join("\n")).not.toContain(String(own.jwk["n"]));
    expect((await verifier.verify(await own.sign({}), watch)).kind).toBe("valid");
  });

  it("holds only what verifies: a private JWK is taken without its private part", async () => {
    const { privateKey } = await generateKeyPair("ES256", { extractable: true });
    const token = await new SignJWT({}).setProtectedHeader({ alg: "ES256" }).sign(privateKey);
    expect((await verifierOf((await exportJWK(privateKey)) as Jwk).verify(token, watch)).kind).toBe("valid");
  });
});

describe("a text in the place of a name", () => {
  it("is the stream of its `sub`, whoever signed it; all else is a name", async () => {
    const own = await pair("HS256");
    const stranger = await pair("HS256");
    const verifier = verifierOf(own.jwk);
    expect(verifier.streamOf(await own.sign({ sub: "Live+Cam 1" }))).toBe("live+Cam 1");
    expect(verifier.streamOf(await stranger.sign({ sub: "live" }))).toBe("live");
    expect(verifier.streamOf(await own.sign({ sub: "live*" }))).toBeUndefined();
    expect(verifier.streamOf(await own.sign({ sub: "%" }))).toBeUndefined();
    expect(verifier.streamOf(await own.sign({}))).toBeUndefined();
    expect(verifierOf().streamOf(await own.sign({ sub: "live" }))).toBeUndefined();
  });

  it("never throws, whatever it is, and is no token unless it has a header and a `sub`", async () => {
    const own = await pair("HS256");
    const verifier = verifierOf(own.jwk);
    const part = fc.oneof(
      fc.string(),
      fc.json().map(encode),
      fc.constantFrom(encode({ alg: "HS256" }), encode({ sub: "live" })),
      fc.base64String(),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 5 }), async (parts) => {
        const text = parts.join(".");
        const stream = verifier.streamOf(text);
        const verdict = await verifier.verify(text, watch);
        expect(verdict.kind).not.toBe("valid");
        if (stream !== undefined) expect(verdict.kind).toBe("invalid");
      }),
      { numRuns: 500 },
    );
  });

  it.each([
    ["cut", `${encode({ alg: "HS256" })}.${encode({ sub: "live" }).slice(0, -3)}`],
    ["a header that is no object", `${encode([1])}.${encode({ sub: "live" })}.AA`],
    ["no algorithm", `${encode({})}.${encode({ sub: "live" })}.AA`],
    ["claims that are a list", `${encode({ alg: "HS256" })}.${encode(["live"])}.AA`],
    ["too long", `${encode({ alg: "HS256" })}.${encode({ sub: "live", x: "y".repeat(9_000) })}.AA`],
    ["broken text", `${encode({ alg: "HS256" })}.${Buffer.from([0x7b, 0xff, 0xfe]).toString("base64url")}.AA`],
    ["deep", `${encode({ alg: "HS256" })}.${encode(`${'{"a":'.repeat(1_100)}1`)}.AA`],
  ])("that is %s is no token", async (_, text) => {
    const own = await pair("HS256");
    const verifier = verifierOf(own.jwk);
    expect(verifier.streamOf(text)).toBeUndefined();
    expect(await verifier.verify(text, watch)).toEqual({ kind: "none" });
  });

  it("may be as deep as its length allows", async () => {
    const own = await pair("HS256");
    const claims = { sub: "live", x: JSON.parse(`${"[".repeat(2_000)}${"]".repeat(2_000)}`) as unknown };
    const token = await own.sign(claims);
    const verifier = verifierOf(own.jwk);
    expect(verifier.streamOf(token)).toBe("live");
    expect((await verifier.verify(token, watch)).kind).toBe("valid");
    await settle();
  });
});
