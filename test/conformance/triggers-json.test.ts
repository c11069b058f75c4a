import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, request as httpRequest, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Webhook } from "standardwebhooks";
import { afterEach, describe, expect, it } from "vitest";
import { allow, deny, rewrite } from "../../src/base/decision.ts";
import { defaultExecLimits, execLimits } from "../../src/triggers/call/exec.ts";
import { createHttpCaller } from "../../src/triggers/call/http.ts";
import { createHttpAgents } from "../../src/triggers/call/http-agents.ts";
import { busScene, push, viewer } from "../support/trigger-bus.ts";

type Got = { readonly method: string; readonly url: string; readonly headers: Record<string, string>; readonly body: string };
type Said = { readonly status?: number; readonly headers?: Record<string, string>; readonly body?: string };

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/tls/${name}`, import.meta.url));
const tls = { cert: readFileSync(fixture("handler-cert.pem")), key: readFileSync(fixture("handler-key.pem")) };
const secretOf = (text: string): string => `whsec_${Buffer.from(text.padEnd(32, "-")).toString("base64")}`;

const open: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0)) await close();
});

async function handler(answer: (got: Got, count: number) => Said, secure = false): Promise<{ url: string; port: number; got: Got[] }> {
  const got: Got[] = [];
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]));
    const call = { method: request.method ?? "", url: request.url ?? "", headers, body: Buffer.concat(chunks).toString("utf8") };
    got.push(call);
    const { status = 200, headers: more = {}, body = "" } = answer(call, got.length);
    response.writeHead(status, more).end(body);
  };
  const server = secure ? createTlsServer(tls, serve) : createServer(serve);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  open.push(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as AddressInfo;
  return { url: `${secure ? "https" : "http"}://127.0.0.1:${port}/hook`, port, got };
}

const json = (value: unknown): Said => ({ headers: { "Content-Type": "application/json" }, body: JSON.stringify(value) });

describe("the JSON form", () => {
  it("tells names, types and the client's request, and takes a decision object", async () => {
    await using scene = busScene();
    const { url, got } = await handler(() => json({ decision: "allow", ttl: "30s", user: "ann", tags: ["vip"] }));
    scene.bus.configure({ USER_NEW: [{ handler: url, sync: true, format: "json" }] });
    const headers = { "user-agent": "VLC/3", referer: "https://shop.example/tv", cookie: "id=7" };
    const verdict = await scene.bus.fire("USER_NEW", { ...viewer, token: "a\nb", headers, cookies: { id: "7" } });
    expect(verdict).toEqual(allow({ ttl: "30s", user: "ann", tags: ["vip"] }));
    expect(got[0]?.headers).toMatchObject({ "content-type": "application/json", "x-trigger": "USER_NEW", "x-attempt": "1" });
    const body = JSON.parse(got[0]?.body ?? "");
    expect(body).toEqual({
      id: got[0]?.headers["webhook-id"],
      trigger: "USER_NEW",
      time: new Date(scene.clock.now()).toISOString(),
      attempt: 1,
      server: { name: "test server", version: "1.2.3", instance: "abcdefghijklmnop", pid: 4711 },
      payload: {
        stream: "live",
        host: "127.0.0.1",
        token: "a\nb",
        protocol: "FLV",
        url: viewer.url,
        sessionId: viewer.sessionId,
        tokenIsJwt: "false",
      },
      request: {
        asked: "live",
        recheck: false,
        address: "127.0.0.1",
        protocol: "FLV",
        url: viewer.url,
        scheme: "http",
        tls: null,
        query: { tkn: "t1" },
        headers,
        cookies: { id: "7" },
        userAgent: "VLC/3",
        referer: "https://shop.example/tv",
        origin: null,
      },
    });
    expect(got[0]?.headers["webhook-signature"]).toBeUndefined();
  });

  it("tells the TLS of the client; where a proxy has it, that there is one", async () => {
    await using scene = busScene();
    const { url, got } = await handler(() => json({ decision: "allow" }));
    scene.bus.configure({ USER_NEW: [{ handler: url, sync: true, format: "json" }] });
    const secure = { ...viewer, url: "https://tv.example/live.flv" };
    const tls = { protocol: "TLSv1.3", cipher: "TLS_AES_128_GCM_SHA256", servername: "tv.example" };
    for (const payload of [{ ...secure, tls }, secure]) expect(await scene.bus.fire("USER_NEW", payload)).toMatchObject({ kind: "allow" });
    const seen = got.map(({ body }) => (JSON.parse(body) as { request: { tls: unknown; scheme: string } }).request);
    expect(seen.map(({ scheme }) => scheme)).toEqual(["https", "https"]);
    expect(seen[0]?.tls).toEqual({ ...tls, alpn: null });
    expect(seen[1]?.tls).toEqual({ protocol: null, cipher: null, servername: null, alpn: null });
  });

  it("has numbers as numbers, and null for what there is not", async () => {
    await using scene = busScene();
    const { url, got } = await handler(() => ({ status: 204 }));
    scene.bus.configure({ RECORDING_END: [{ handler: url, sync: true, format: "json" }] });
    const end = { stream: "live", target: "/a.flv", protocol: "FLV", code: "CLEAN_EOF", reason: "done" };
    const times = { bytes: 5, seconds: 1, start: 2, end: 3, mediaMs: 4, firstMs: 2 ** 64, lastMs: 6 };
    await scene.bus.fire("RECORDING_END", { ...end, ...times });
    const body = JSON.parse(got[0]?.body ?? "");
    expect(body.payload).toEqual({ ...end, ...times, firstMs: null });
    expect(body).not.toHaveProperty("request");
    expect(scene.lines).toEqual([]);
  });

  it("is signed with every secret, so that one can be exchanged; the independent library agrees", async () => {
    await using scene = busScene({ clock: { ...realTime() } });
    const { url, got } = await handler(() => json({ decision: "rewrite", to: "live" }));
    const [old, fresh, stranger] = [secretOf("old"), secretOf("new"), secretOf("stranger")];
    const ask = async (secret: string | string[]): Promise<Got> => {
      scene.bus.configure({ PUSH_REWRITE: [{ handler: url, sync: true, format: "json", secret }] });
      expect(await scene.bus.fire("PUSH_REWRITE", push)).toEqual(rewrite("live"));
      return got.at(-1) as Got;
    };
    const opens = (secret: string, { body, headers }: Got): boolean => {
      try {
        return (new Webhook(secret).verify(body, headers) as { trigger: string }).trigger === "PUSH_REWRITE";
      } catch {
        return false;
      }
    };
    const first = await ask(old);
    expect([opens(old, first), opens(fresh, first)]).toEqual([true, false]);
    const between = await ask([fresh, old]);
    expect([opens(old, between), opens(fresh, between), opens(stranger, between)]).toEqual([true, true, false]);
    const after = await ask(fresh);
    expect([opens(old, after), opens(fresh, after)]).toEqual([false, true]);
    expect(opens(fresh, { ...after, body: after.body.replace("key1", "key2") })).toBe(false);
    expect(opens(fresh, { ...after, headers: { ...after.headers, "webhook-id": "other" } })).toBe(false);
    expect(JSON.stringify(scene.bus.entries())).not.toContain(fresh);
    expect(scene.bus.entries()).toMatchObject({ PUSH_REWRITE: [{ secret: expect.stringMatching(/^whsec_\(hidden-[0-9a-f]{8}\)$/) }] });
  });

  it("keeps its id and signs anew when it is sent again", async () => {
    await using scene = busScene({ clock: { ...realTime() } });
    const secret = secretOf("s");
    const answers: Said[] = [{ status: 307, headers: { Location: "/next" } }, json({ decision: "deny", reason: "no" })];
    const { url, got } = await handler((_, count) => answers[count - 1] ?? {});
    scene.bus.configure({ CONN_PLAY: [{ handler: url, sync: true, format: "json", secret }] });
    expect(await scene.bus.fire("CONN_PLAY", { ...viewer })).toEqual(deny("no"));
    expect(got.map(({ url: path }) => path)).toEqual(["/hook", "/next"]);
    expect(got[0]?.headers["webhook-id"]).toBe(got[1]?.headers["webhook-id"]);
    for (const { body, headers } of got) expect(() => new Webhook(secret).verify(body, headers)).not.toThrow();
  });

  it.each([
    ["nothing", { status: 204 }, "it answered nothing"],
    ["text", { body: "true" }, "it answered a boolean"],
    ["an unknown field", json({ decision: "allow", tll: 5 }), "`tll`"],
    ["the wrong kind", json({ decision: "rewrite", to: "x" }), "`decision`"],
  ])("takes %s for a failure that names what is wrong", async (_, said, words) => {
    await using scene = busScene();
    const { url } = await handler(() => said);
    scene.bus.configure({ USER_NEW: [{ handler: url, sync: true, format: "json", onfail: "deny" }] });
    expect(await scene.bus.fire("USER_NEW", viewer)).toMatchObject({ kind: "deny", failed: true });
    expect(scene.lines.join("\n")).toContain(words);
  });
});

describe("typed answers in headers", () => {
  it("a typed no ends the asking, with its reason; a plain no does not", async () => {
    await using scene = busScene();
    const typed = await handler(() => ({
      headers: { "X-Mist-Trigger-Action": "deny", "X-Mist-Trigger-Reason": "please pay" },
      body: "true",
    }));
    const plain = await handler(() => ({ body: "false" }));
    const last = await handler(() => ({ body: "true" }));
    const entry = (url: string): object => ({ handler: url, sync: true });
    scene.bus.configure({ USER_NEW: [entry(typed.url), entry(last.url)] });
    expect(await scene.bus.fire("USER_NEW", viewer)).toMatchObject({ kind: "deny", reason: "please pay" });
    expect(last.got.length).toBe(0);
    scene.bus.configure({ USER_NEW: [entry(plain.url), entry(last.url)] });
    expect(await scene.bus.fire("USER_NEW", viewer)).toMatchObject({ kind: "deny" });
    expect(last.got.length).toBe(1);
  });

  it("STREAM_SOURCE may say offline, or use what is configured; and so may its onfail", async () => {
    await using scene = busScene();
    let action = "offline";
    const value = await handler(() => ({ body: "/other.flv" }));
    const { url } = await handler(() => ({ headers: { "X-Mist-Trigger-Action": action } }));
    const entries = (onfail?: string): void =>
      scene.bus.configure({
        STREAM_SOURCE: [
          { handler: value.url, sync: true },
          { handler: url, sync: true, ...(onfail && { onfail }) },
        ],
      });
    entries();
    expect((await scene.bus.fire("STREAM_SOURCE", { stream: "live" })).kind).toBe("deny");
    action = "use-configured";
    expect(await scene.bus.fire("STREAM_SOURCE", { stream: "live" })).toEqual({ kind: "keep" });
    action = "keep";
    expect(await scene.bus.fire("STREAM_SOURCE", { stream: "live" })).toEqual(rewrite("/other.flv"));
    action = "no such word";
    entries("offline");
    expect((await scene.bus.fire("STREAM_SOURCE", { stream: "live" })).kind).toBe("deny");
    entries("use-configured");
    expect(await scene.bus.fire("STREAM_SOURCE", { stream: "live" })).toEqual({ kind: "keep" });
  });
});

describe("connections to handlers", () => {
  it("HTTPS trusts the entry's own authority, and nobody else's", async () => {
    await using scene = busScene();
    const { url, got } = await handler(() => ({ body: "live" }), true);
    scene.bus.configure({ PUSH_REWRITE: [{ handler: url, sync: true, ca: fixture("private-ca.pem") }] });
    expect(await scene.bus.fire("PUSH_REWRITE", push)).toEqual(rewrite("live"));
    scene.bus.configure({ PUSH_REWRITE: [{ handler: url, sync: true, ca: readFileSync(fixture("private-ca.pem"), "utf8") }] });
    expect(await scene.bus.fire("PUSH_REWRITE", push)).toEqual(rewrite("live"));
    scene.bus.configure({ PUSH_REWRITE: [{ handler: url, sync: true, onfail: "deny" }] });
    expect(await scene.bus.fire("PUSH_REWRITE", push)).toMatchObject({ kind: "deny" });
    expect(got.length).toBe(2);
    expect(() => scene.bus.configure({ PUSH_REWRITE: [{ handler: url, ca: "/no/such.pem" }] })).toThrow("PUSH_REWRITE[0].ca");
  });

  it("HTTPS trusts NODE_EXTRA_CA_CERTS", async () => {
    const { url } = await handler(() => ({ body: "live" }), true);
    const module = new URL("../../src/triggers/call/http.ts", import.meta.url).href;
    const code = `import { createHttpCaller } from ${JSON.stringify(module)};
      await using caller = createHttpCaller();
      const call = { url: process.argv[1], message: () => ({ headers: {}, body: "x" }), wantsAnswer: true, signal: AbortSignal.timeout(5000) };
      console.log((await caller.call(call)).text);`;
    const env = { ...process.env, NODE_EXTRA_CA_CERTS: fixture("private-ca.pem") };
    const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", code, url], { env });
    expect(stdout).toBe("live\n");
  });

  it("goes through the proxies of the environment, but not to what no_proxy names nor to this machine", async () => {
    const plain = await handler(() => ({ body: "plain" }));
    const secure = await handler(() => ({ body: "secure" }), true);
    const seen: string[] = [];
    const proxy = createServer((request, response) => {
      seen.push(`${request.method} ${request.url}`);
      const { pathname } = new URL(request.url ?? "");
      const onward = httpRequest(
        { port: plain.port, host: "127.0.0.1", path: pathname, method: "POST", headers: request.headers },
        (answer) => answer.pipe(response),
      );
      request.pipe(onward);
    });
    proxy.on("connect", (request, socket) => {
      seen.push(`CONNECT ${request.url}`);
      const onward = connect(secure.port, "127.0.0.1", () => {
        socket.write("HTTP/1.1 200 OK\r\n\r\n");
        socket.pipe(onward).pipe(socket);
      });
      socket.on("error", () => onward.destroy());
      onward.on("error", () => socket.destroy());
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    open.push(async () => {
      proxy.closeAllConnections();
      await new Promise((resolve) => proxy.close(resolve));
    });
    const address = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    await using caller = createHttpCaller(createHttpAgents({ http_proxy: address, HTTPS_PROXY: address, no_proxy: "direct.invalid" }));
    const ca = readFileSync(fixture("private-ca.pem"), "utf8");
    const call = async (url: string): Promise<string> =>
      (await caller.call({ url, ca, message: () => ({ headers: {}, body: "x" }), wantsAnswer: true, signal: AbortSignal.timeout(5000) }))
        .text;
    expect(await call("http://handler.test/a")).toBe("plain");
    expect(await call("https://handler.test/b")).toBe("secure");
    expect(await call(plain.url)).toBe("plain");
    await expect(call("http://direct.invalid/")).rejects.toThrow();
    expect(seen).toEqual(["POST http://handler.test/a", "CONNECT handler.test:443"]);
  });

  it("logs in by Digest when it is asked to", async () => {
    await using scene = busScene();
    const md = (text: string): string => createHash("sha256").update(text).digest("hex");
    const { url, got } = await handler(({ headers, url: path }) => {
      const given = headers.authorization ?? "";
      const field = (name: string): string => new RegExp(`\\b${name}="?([^",]*)`).exec(given)?.[1] ?? "";
      const wanted = md(`${md("ann:tv:s3cret")}:n0nce:${field("nc")}:${field("cnonce")}:auth:${md(`POST:${path}`)}`);
      if (field("response") === wanted && field("opaque") === "o") return { body: "live" };
      const challenge = 'Basic realm="tv", Digest realm="tv", qop="auth, auth-int", algorithm=SHA-256, nonce="n0nce", opaque="o"';
      return { status: 401, headers: { "WWW-Authenticate": challenge } };
    });
    scene.bus.configure({ PUSH_REWRITE: [{ handler: url.replace("//", "//ann:s3cret@"), sync: true }] });
    expect(await scene.bus.fire("PUSH_REWRITE", push)).toEqual(rewrite("live"));
    expect(got.length).toBe(2);
  });

  it("gives up after the entry's own time", async () => {
    await using scene = busScene();
    const server = createServer(() => undefined);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    open.push(async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    });
    const arrived = new Promise((resolve) => server.once("request", resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    scene.bus.configure({ USER_NEW: [{ handler: url, sync: true, timeoutMs: 70 }] });
    const verdict = scene.bus.fire("USER_NEW", viewer);
    await arrived;
    await scene.clock.advance(70);
    expect(await verdict).toMatchObject({ kind: "deny", failed: true });
    expect(scene.lines.join("\n")).toContain("within 70 ms");
  });
});

describe("executables", () => {
  it("may have a time limit of their own; the kill follows as long after it as else", () => {
    expect(execLimits(500, defaultExecLimits)).toEqual({ termMs: 500, killMs: 4500 });
    expect(execLimits(undefined, defaultExecLimits)).toEqual(defaultExecLimits);
  });

  it("STREAM_SOURCE's older text says offline", async () => {
    await using scene = busScene();
    const folder = mkdtempSync(join(tmpdir(), "sluice-exec-"));
    open.push(async () => rmSync(folder, { recursive: true }));
    const path = join(folder, "source");
    writeFileSync(path, '#!/bin/sh\necho "offline:not before nine"\n', { mode: 0o755 });
    scene.bus.configure({ STREAM_SOURCE: [{ handler: path, sync: true }] });
    expect(await scene.bus.fire("STREAM_SOURCE", { stream: "live" })).toMatchObject({ kind: "deny", reason: "not before nine" });
  });
});

/** A clock for signatures, whose age the library checks; its timers never run. */
function realTime() {
  const timer = { [Symbol.dispose]: () => undefined };
  return { now: () => Date.now(), monotonic: () => performance.now(), after: () => timer, every: () => timer };
}
