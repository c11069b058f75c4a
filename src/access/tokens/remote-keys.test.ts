import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeClock } from "../../../test/support/fake-clock.ts";
import type { Jwk } from "./jwk.ts";
import { createTokenVerifier, type OwnedTokenVerifier } from "./token-verifier.ts";
import type { TokenUse } from "./verifier.ts";

type Page = (request: IncomingMessage, response: ServerResponse) => void;
type Signer = { readonly jwk: Jwk; readonly token: string };

const watch: TokenUse = { permission: "output", stream: "live", address: "192.0.2.7" };

let clock: FakeClock;
let server: Server;
let page: Page;
let asked: string[];
let lines: string[];
let verifier: OwnedTokenVerifier;
let waiting: (() => void)[];

beforeEach(async () => {
  clock = new FakeClock();
  [asked, lines, waiting] = [[], [], []];
  server = createServer((request, response) => {
    asked.push(request.url ?? "");
    page(request, response);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
});
afterEach(() => {
  verifier[Symbol.dispose]();
  server.closeAllConnections();
  server.close();
});

const url = (path: string): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`;

function begin(path = "/jwks?secret=7"): void {
  const log = {
    write: (kind: string, text: string) => {
      lines.push(`${kind} ${text}`);
      happened();
    },
  };
  verifier = createTokenVerifier({ clock, log, jwks: [url(path)] });
  verifier.onChange(() => {
    lines.push("other keys");
    happened();
  });
}

function happened(): void {
  for (const run of waiting.splice(0)) run();
}

/** Waits until a line was logged, or other keys came. */
async function until(words: string, count = 1): Promise<void> {
  while (lines.filter((line) => line.includes(words)).length < count) await new Promise<void>((resolve) => waiting.push(resolve));
}

/** Ten seconds go by; a request on its way gets its turn. */
async function passing(): Promise<void> {
  await clock.advance(10_000);
  await new Promise((resolve) => setImmediate(resolve));
}

const json =
  (value: unknown, headers: Record<string, string> = {}): Page =>
  (_, response) =>
    void response.writeHead(200, { "content-type": "application/json", ...headers }).end(JSON.stringify(value));

async function signer(kid: string): Promise<Signer> {
  const { publicKey, privateKey } = await generateKeyPair("ES256");
  const jwk = { ...(await exportJWK(publicKey)), kid, use: "sig" } as Jwk;
  return { jwk, token: await new SignJWT({ sub: "live" }).setProtectedHeader({ alg: "ES256", kid }).sign(privateKey) };
}

const kindOf = async (one: Signer): Promise<string> => (await verifier.verify(one.token, watch)).kind;

describe("keys behind an address", () => {
  it("count from the first moment: a token that comes before them waits for them", async () => {
    const one = await signer("1");
    page = json({ keys: [{ kty: "foo" }, one.jwk, { ...one.jwk, use: "enc" }] });
    begin();
    expect(await kindOf(one)).toBe("valid");
    expect(asked).toEqual(["/jwks?secret=7"]);
  });

  it("are found by an OpenID document", async () => {
    const one = await signer("1");
    page = (request, response) =>
      (request.url === "/.well-known/openid-configuration" ? json({ issuer: "x", jwks_uri: url("/keys") }) : json({ keys: [one.jwk] }))(
        request,
        response,
      );
    begin("/.well-known/openid-configuration");
    expect(await kindOf(one)).toBe("valid");
    expect(asked).toEqual(["/.well-known/openid-configuration", "/keys"]);
  });

  it.each([
    ["as often as max-age says", { "cache-control": "public, max-age=120" }, 120_000],
    ["each minute if nothing is said", {}, 60_000],
    ["not all the time, whatever is said", { "cache-control": "max-age=0" }, 5_000],
  ])("are fetched again in the background, %s", async (_, headers, ms) => {
    const [one, two] = [await signer("1"), await signer("2")];
    page = json({ keys: [one.jwk] }, headers);
    begin();
    expect(await kindOf(one)).toBe("valid");
    page = json({ keys: [two.jwk] }, headers);
    await clock.advance(ms - 1);
    expect(asked).toHaveLength(1);
    await clock.advance(1);
    await until("other keys", 2);
    expect(asked).toHaveLength(2);
    expect([await kindOf(one), await kindOf(two)]).toEqual(["invalid", "valid"]);
  });

  it("are fetched at once for a key id that is not here, and then not for some seconds", async () => {
    const [one, two, stranger] = [await signer("1"), await signer("2"), await signer("3")];
    page = json({ keys: [one.jwk] });
    begin();
    expect(await kindOf(one)).toBe("valid");
    page = json({ keys: [one.jwk, two.jwk] });
    await clock.advance(5_000);
    expect(await kindOf(two)).toBe("valid");
    expect(asked).toHaveLength(2);
    expect(new Set(await Promise.all(Array.from({ length: 20 }, () => kindOf(stranger))))).toEqual(new Set(["invalid"]));
    expect(asked).toHaveLength(2);
    await clock.advance(5_000);
    await Promise.all(Array.from({ length: 20 }, () => kindOf(stranger)));
    expect(asked).toHaveLength(3);
  });

  it("stay while their server is down, which the log says once, and that it is back", async () => {
    const one = await signer("1");
    page = json({ keys: [one.jwk] });
    begin();
    expect(await kindOf(one)).toBe("valid");
    page = (_, response) => void response.writeHead(500).end();
    await clock.advance(60_000);
    await until("WARN");
    const failed = asked.length;
    while (asked.length < failed + 2) await passing();
    expect(await kindOf(one)).toBe("valid");
    page = json({ keys: [one.jwk] });
    while (!lines.some((line) => line.startsWith("INFO"))) await passing();
    const { port } = server.address() as AddressInfo;
    expect(lines.filter((line) => !line.startsWith("other"))).toEqual([
      `WARN The keys of http://127.0.0.1:${port}/jwks could not be fetched (status 500); those that it had still count`,
      `INFO The keys of http://127.0.0.1:${port}/jwks are there again`,
    ]);
    expect(verifier.stats().verifications).toBe(1);
  });

  it.each<[string, Page, string]>([
    ["is no JSON", (_, response) => void response.end("<html>"), "the answer is no JSON"],
    ["has no keys", json({ issuer: "x" }), "the answer has neither `keys` nor `jwks_uri`"],
    ["leads elsewhere", json({ jwks_uri: "file:///etc/passwd" }), "the answer has neither `keys` nor `jwks_uri`"],
    [
      "leads on and on",
      (request, response) => json({ jwks_uri: url("/next") })(request, response),
      "the answer of its `jwks_uri` has no `keys`",
    ],
    ["never ends", endless, "the answer has more than 262144 bytes"],
    ["breaks off", (_, response) => void response.destroy(), "UND_ERR_SOCKET"],
  ])("an answer that %s is told, and no key comes of it", async (_, answer, words) => {
    page = answer;
    begin();
    expect(await kindOf(await signer("1"))).toBe("invalid");
    expect(lines.join("\n")).toContain(`(${words}); there are none yet`);
    expect(lines.join("\n")).not.toContain("secret");
  });

  it("that are taken out of the configuration count no more, and nobody waits for their server", async () => {
    const one = await signer("1");
    page = () => undefined;
    begin();
    const verdict = verifier.verify(one.token, watch);
    verifier.configure([one.jwk]);
    expect(await verdict).toMatchObject({ kind: "valid" });
    verifier.configure([]);
    expect(await verifier.verify(one.token, watch)).toEqual({ kind: "none" });
    await clock.advance(120_000);
    expect(asked.length).toBeLessThanOrEqual(1);
    expect(lines.filter((line) => line.startsWith("WARN"))).toEqual([]);
  });
});

function endless(_: IncomingMessage, response: ServerResponse): void {
  const more = (): void => {
    while (!response.destroyed && response.write(Buffer.alloc(65_536, 32)));
  };
  response.on("drain", more);
  more();
}
