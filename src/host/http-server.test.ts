import { once } from "node:events";
import { request as httpRequest } from "node:http";
import { afterEach, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { loopbackHost, rawClient } from "../../test/support/loopback.ts";
import { SluiceError } from "../base/errors.ts";
import { webSocketFrame } from "../base/websocket.ts";
import type { HttpExchange } from "../protocols/protocol.ts";
import type { HostOptions } from "./host.ts";

const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one[Symbol.asyncDispose]();
});

async function serving(handle: (exchange: HttpExchange) => Promise<void> | void, options: Partial<HostOptions> = {}) {
  const { host, lines } = loopbackHost(options);
  open.push(host);
  host.http({
    protocol: "TEST",
    match: (path) => (path.startsWith("/missing") ? undefined : path),
    handle: async (exchange) => handle(exchange),
  });
  const { port } = await host.listenHttp();
  return { host, lines, port, base: `http://127.0.0.1:${port}` };
}

const echo = (exchange: HttpExchange): void => {
  const { method, path, query, cookies, address, url, wantsUpgrade } = exchange;
  exchange.reply(
    200,
    { "Content-Type": "application/json" },
    JSON.stringify({ method, path, query, cookies, address, url: url.href, wantsUpgrade }),
  );
};

/** Sends exact bytes and gives the whole answer as text. */
async function exact(port: number, bytes: string): Promise<string> {
  return (await rawClient(port, bytes).closed).toString("latin1");
}

describe("requests", () => {
  it("come as plain data, first value of each name", async () => {
    const { base, port } = await serving(echo);
    const answer = await fetch(`${base}/hls/live+a%20b/x.m3u8?tkn=1&tkn=2&e=%C3%A9&__proto__=p`, {
      headers: { cookie: 'tkn=c%201; x="q"; bad; tkn=d' },
    });
    const seen = JSON.parse(await answer.text(), (name, value) => (name === "__proto__" ? undefined : value));
    expect(seen).toMatchObject({
      method: "GET",
      path: "/hls/live+a b/x.m3u8",
      query: { tkn: "1", e: "é" },
      cookies: { tkn: "c 1", x: "q" },
    });
    expect(seen).toMatchObject({
      address: "127.0.0.1",
      wantsUpgrade: false,
      url: `${base}/hls/live+a%20b/x.m3u8?tkn=1&tkn=2&e=%C3%A9&__proto__=p`,
    });
    expect(answer.headers.get("content-length")).toMatch(/^\d+$/);
    expect(port).toBeGreaterThan(0);
  });

  it.each([
    ["a broken percent code", "GET /%zz HTTP/1.1\r\nHost: a\r\n"],
    ["a Host with a path", "GET / HTTP/1.1\r\nHost: evil.example/x\r\n"],
    ["a Host with a quote", 'GET / HTTP/1.1\r\nHost: "><script>\r\n'],
    ["a Host with credentials", "GET / HTTP/1.1\r\nHost: a@b\r\n"],
    ["a port that is none", "GET / HTTP/1.1\r\nHost: a:70000\r\n"],
    ["a target that is no path", "GET live.flv HTTP/1.1\r\nHost: a\r\n"],
  ])("%s is answered with 400", async (_, head) => {
    const { port } = await serving(echo);
    expect(await exact(port, `${head}Connection: close\r\n\r\n`)).toMatch(/^HTTP\/1\.1 400 /);
  });

  it("know their host also without a Host header, in absolute form, and with a path that looks like one", async () => {
    const { port } = await serving(echo);
    expect(await exact(port, "GET /a HTTP/1.0\r\n\r\n")).toContain(`"url":"http://127.0.0.1:${port}/a"`);
    expect(await exact(port, "GET http://other.example/a?b=1 HTTP/1.1\r\nHost: me.example\r\nConnection: close\r\n\r\n")).toContain(
      '"url":"http://me.example/a?b=1"',
    );
    expect(await exact(port, "GET //evil.example/a HTTP/1.1\r\nHost: me.example\r\nConnection: close\r\n\r\n")).toContain(
      '"url":"http://me.example//evil.example/a"',
    );
  });

  it("behind a trusted proxy have the forwarded address, scheme and host; from others they have not", async () => {
    const headers = { "x-forwarded-for": "203.0.113.5", "x-forwarded-proto": "https", "x-forwarded-host": "tv.example" };
    const { base } = await serving(echo);
    expect(await (await fetch(`${base}/a`, { headers })).json()).toMatchObject({ address: "203.0.113.5", url: "https://tv.example/a" });
    expect(await (await fetch(`${base}/a`, { headers: { "x-forwarded-host": "a b" } })).status).toBe(400);
  });
});

describe("answers", () => {
  it("let pages of other sites read them, with the viewer's cookie", async () => {
    const { base } = await serving(echo);
    const plain = await fetch(`${base}/a`);
    expect(plain.headers.get("access-control-allow-origin")).toBe("*");
    expect(plain.headers.get("access-control-allow-credentials")).toBe(null);
    const cross = await fetch(`${base}/a`, { headers: { origin: "https://site.example" } });
    expect(cross.headers.get("access-control-allow-origin")).toBe("https://site.example");
    expect(cross.headers.get("access-control-allow-credentials")).toBe("true");
    expect(cross.headers.get("vary")).toBe("Origin");
    const preflight = await fetch(`${base}/a`, {
      method: "OPTIONS",
      headers: { origin: "https://site.example", "access-control-request-headers": "authorization" },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get("access-control-allow-headers")).toBe("authorization");
    expect(preflight.headers.get("access-control-allow-methods")).toContain("GET");
  });

  it("to who is refused tell when to come back and the number of the decision, also to other sites' pages", async () => {
    const details = [{ retryAfterMs: 1, decisionId: "k7q2mz" }, { retryAfterMs: 61_001 }, {}] as const;
    let count = 0;
    const { base } = await serving(() => {
      throw new SluiceError("access.full", "all places are taken", details[count++]);
    });
    const first = await fetch(`${base}/a`);
    expect([first.status, first.headers.get("retry-after"), first.headers.get("x-sluice-decision")]).toEqual([503, "1", "k7q2mz"]);
    expect(first.headers.get("access-control-expose-headers")).toMatch(/Retry-After.*X-Sluice-Decision/);
    expect(await first.text()).toBe("all places are taken\ndecision k7q2mz\n");
    const second = await fetch(`${base}/a`);
    expect([second.headers.get("retry-after"), second.headers.get("x-sluice-decision")]).toEqual(["62", null]);
    const third = await fetch(`${base}/a`);
    expect([third.headers.get("retry-after"), await third.text()]).toEqual([null, "all places are taken\n"]);
  });

  it("to HEAD have the length and no body", async () => {
    const { port } = await serving((exchange) => exchange.reply(200, {}, "twelve bytes"));
    const answer = await exact(port, "HEAD /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    expect(answer).toMatch(/Content-Length: 12\r\n/);
    expect(answer.endsWith("\r\n\r\n")).toBe(true);
  });

  it("have no header that a client's text began", async () => {
    const { base } = await serving((exchange) => exchange.reply(200, { "Set-Cookie": `tkn=${exchange.query.tkn}` }, "x"));
    const answer = await fetch(`${base}/a?tkn=1%0d%0aX-Evil:%20yes`);
    expect(answer.headers.get("x-evil")).toBe(null);
    expect(answer.headers.get("set-cookie")).toBe("tkn=1X-Evil: yes");
  });

  it("tell a refusal's reason with its status, and of a fault nothing", async () => {
    const { base, lines } = await serving((exchange) => {
      if (exchange.path === "/refused") throw new SluiceError("access.denied", "please subscribe first");
      if (exchange.path === "/silent") return;
      throw new TypeError("secret detail");
    });
    const refused = await fetch(`${base}/refused`);
    expect([refused.status, refused.headers.get("content-type"), await refused.text()]).toEqual([
      403,
      "text/plain; charset=utf-8",
      "please subscribe first\n",
    ]);
    expect(lines()).toEqual([]);
    const fault = await fetch(`${base}/fault`);
    expect([fault.status, await fault.text()]).toEqual([500, "internal error\n"]);
    expect((await fetch(`${base}/silent`)).status).toBe(500);
    expect(lines().map(({ kind, message }) => `${kind} ${message.replace(/ \(.*/, "")}`)).toEqual([
      "ERROR TEST request failed: secret detail",
      "ERROR TEST request failed: the route gave no answer",
    ]);
  });

  it("to an unknown address say which there are", async () => {
    const address = { type: "flash/7", hrn: "FLV progressive", scheme: "http", path: "/$.flv", priority: 5, codecs: [] } as const;
    const { base } = await serving(echo, { watchAddresses: () => [address] });
    const answer = await fetch(`${base}/missing`);
    expect([answer.status, await answer.text()]).toEqual([
      404,
      "nothing is at this address; there are /NAME.html, /json_NAME.js, /NAME.flv\n",
    ]);
  });

  it("keep their order when requests are sent ahead, over one connection", async () => {
    const ids: number[] = [];
    let release: (() => void) | undefined;
    const { port } = await serving(async (exchange) => {
      ids.push(exchange.connection.id);
      if (exchange.path === "/1") await new Promise<void>((resolve) => (release = resolve));
      exchange.reply(200, {}, exchange.path);
    });
    const client = rawClient(
      port,
      "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    await expect.poll(() => release).toBeDefined();
    expect(ids).toEqual([1]);
    release?.();
    expect((await client.closed).toString().match(/\/\d(?=HTTP|$)/g)).toEqual(["/1", "/2", "/3"]);
    expect(ids).toEqual([1, 1, 1]);
  });
});

describe("endless answers", () => {
  it("go to the socket as they are", async () => {
    const { port } = await serving((exchange) => {
      const sink = exchange.stream(200, { "Content-Type": "video/x-flv" });
      sink.write(Buffer.from("header"));
      sink.write(Buffer.from("chunk"));
      sink.end();
    });
    const answer = await exact(port, "GET /live.flv HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(answer).toMatch(/\r\nConnection: close\r\n/);
    expect(answer).not.toMatch(/^(Transfer-Encoding|Content-Length):/im);
    expect(answer.split("\r\n\r\n")[1]).toBe("headerchunk");
  });

  it("to HEAD end after the head", async () => {
    const { port } = await serving((exchange) => exchange.stream(200, {}).write(Buffer.from("never")));
    expect(await exact(port, "HEAD /live.flv HTTP/1.1\r\nHost: a\r\n\r\n")).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\n$/);
  });

  it("are not mixed with answers to what the client sends meanwhile", async () => {
    let served = 0;
    const { port } = await serving((exchange) => {
      served++;
      exchange.stream(200, {}).write(Buffer.from("media"));
    });
    const client = rawClient(port, "GET /1.flv HTTP/1.1\r\nHost: a\r\n\r\n");
    await client.until((bytes) => bytes.includes("media"));
    client.socket.write("GET /2.flv HTTP/1.1\r\nHost: a\r\n\r\n");
    expect((await client.closed).toString().match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect(served).toBe(1);
  });

  it("tell when the viewer has gone", async () => {
    let exchange: HttpExchange | undefined;
    let gone: Promise<unknown> | undefined;
    const { port } = await serving((given) => {
      exchange = given;
      const sink = given.stream(200, {});
      sink.write(Buffer.from("media"));
      gone = once(sink.signal, "abort");
    });
    const client = rawClient(port, "GET /1.flv HTTP/1.1\r\nHost: a\r\n\r\n");
    await client.until((bytes) => bytes.includes("media"));
    client.socket.destroy();
    await gone;
    await expect.poll(() => exchange?.connection.signal.aborted).toBe(true);
  });
});

describe("WebSockets", () => {
  it("get prebuilt frames, texts, and a reason at the end", async () => {
    const { port } = await serving((exchange) => {
      expect(exchange.wantsUpgrade).toBe(true);
      const peer = exchange.upgrade({ "Set-Cookie": "tkn=7" });
      peer.onMessage((data) => {
        peer.sink.write(webSocketFrame(new Uint8Array(70_000).fill(1)));
        peer.sendText(`got ${typeof data === "string" ? data : data.length}`);
        peer.sink.write(webSocketFrame(Uint8Array.of(1, 2, 3)));
        peer.close(1008, "please subscribe first");
        peer.sink.write(webSocketFrame(Uint8Array.of(9)));
      });
    });
    const client = new WebSocket(`ws://127.0.0.1:${port}/live.flv`);
    const cookie = once(client, "upgrade").then(([response]) => response.headers["set-cookie"]);
    const messages: (string | number)[] = [];
    client.on("message", (data: Buffer, isBinary) => messages.push(isBinary ? data.length : data.toString()));
    await once(client, "open");
    client.send("hello");
    const [code, reason] = await once(client, "close");
    expect([code, String(reason)]).toEqual([1008, "please subscribe first"]);
    expect(messages).toEqual([70_000, "got hello", 3]);
    expect(await cookie).toEqual(["tkn=7"]);
  });

  it("are refused before the handshake, with the reason", async () => {
    const { port } = await serving(() => {
      throw new SluiceError("access.denied", "please subscribe first");
    });
    const client = new WebSocket(`ws://127.0.0.1:${port}/live.flv`, { headers: { origin: "https://site.example" } });
    const [, response] = await once(client, "unexpected-response");
    const body = await new Promise((resolve) => response.once("data", (data: Buffer) => resolve(data.toString())));
    expect([response.statusCode, response.headers["access-control-allow-origin"], body]).toEqual([
      403,
      "https://site.example",
      "please subscribe first\n",
    ]);
  });

  it("with a wrong handshake are answered with 400; other upgrades are not taken", async () => {
    const { port } = await serving((exchange) => (exchange.wantsUpgrade ? void exchange.upgrade() : echo(exchange)));
    const head = "GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n";
    expect(await exact(port, `${head}Upgrade: websocket\r\n\r\n`)).toMatch(/^HTTP\/1\.1 400 /);
    const client = rawClient(port, `${head}Upgrade: h2c\r\n\r\n`);
    expect((await client.until((bytes) => bytes.includes("wantsUpgrade"))).toString()).toContain('"wantsUpgrade":false');
    client.socket.destroy();
  });

  it("that break the rules are closed", async () => {
    const { port, lines } = await serving((exchange) => void exchange.upgrade());
    const head =
      "GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    const client = rawClient(port, head);
    await client.until((bytes) => bytes.includes("101 Switching"));
    client.socket.write(Uint8Array.of(0xff, 0xff, 0xff, 0xff));
    await client.closed;
    expect(lines()).toEqual([]);
  });
});

describe("bad clients", () => {
  it("garbage gets 400, closes that connection and is logged once", async () => {
    const { port, lines } = await serving(echo);
    expect(await exact(port, "\u0003\u0000\u0000garbage\r\n\r\n")).toMatch(/^HTTP\/1\.1 400 /);
    expect(await exact(port, "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).toMatch(/^HTTP\/1\.1 200 /);
    expect(lines()).toHaveLength(1);
    expect(lines()[0]?.message).toMatch(/^HTTP connection closed: Parse Error.*\(address=127\.0\.0\.1\)$/);
  });

  it("a head without end gets 431", async () => {
    const { port, lines } = await serving(echo);
    expect(await exact(port, `GET /a HTTP/1.1\r\nHost: a\r\nX: ${"x".repeat(20_000)}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 431 /);
    expect(lines()).toHaveLength(1);
  });

  it("a flood of requests sent ahead is cut off", async () => {
    const { port } = await serving(() => new Promise(() => {}));
    await rawClient(port, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n".repeat(30)).closed;
  });

  it("a body that nobody reads ends the connection", async () => {
    const { port } = await serving(echo);
    const answer = await new Promise<string>((resolve) => {
      const request = httpRequest(
        { port, host: "127.0.0.1", path: "/a", method: "POST", headers: { connection: "keep-alive" } },
        (response) => resolve(String(response.headers.connection)),
      );
      request.end("body");
    });
    expect(answer).toBe("close");
  });
});

it("the HTTP port in use says which, and how to choose another", async () => {
  const { port } = await serving(echo);
  const { host } = loopbackHost({ httpPort: port });
  await expect(host.listenHttp()).rejects.toThrow(
    `port ${port} is in use; choose another with --http-port N, or end the program that has it`,
  );
});

it("a route that was disposed of is gone", async () => {
  const { host } = loopbackHost();
  open.push(host);
  const route = host.http({ protocol: "TEST", match: (path) => path, handle: async (exchange) => echo(exchange) });
  const { port } = await host.listenHttp();
  expect((await fetch(`http://127.0.0.1:${port}/a`)).status).toBe(200);
  route[Symbol.dispose]();
  expect((await fetch(`http://127.0.0.1:${port}/a`)).status).toBe(404);
});
