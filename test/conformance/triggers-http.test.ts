import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { createServer as createTcpServer, type AddressInfo } from "node:net";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { afterEach, describe, expect, it } from "vitest";
import { allow, deny, keep, rewrite } from "../../src/base/decision.ts";
import { createClock } from "../../src/host/clock.ts";
import { checkFailed } from "../../src/triggers/answer.ts";
import type { TriggerLimits } from "../../src/triggers/listener.ts";
import { busScene, type BusScene, push, viewer } from "../support/trigger-bus.ts";

type Seen = { readonly url: string; readonly headers: readonly string[]; readonly body: string; readonly port: number };
type Answer = (request: IncomingMessage, response: ServerResponse, body: string) => void;

const closers: (() => PromiseLike<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

function listening(server: Server): Promise<string> {
  closers.push(
    () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  );
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
  });
}

/** A real server on loopback that records what it gets. */
async function handler(answer: Answer): Promise<{ readonly url: string; readonly seen: Seen[] }> {
  const seen: Seen[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (text: string) => (body += text));
    request.on("end", () => {
      seen.push({ url: request.url ?? "", headers: request.rawHeaders, body, port: request.socket.remotePort ?? 0 });
      answer(request, response, body);
    });
  });
  return { url: await listening(server), seen };
}

/** The bus on the real clock. */
function bus(entries: unknown, limits: Partial<TriggerLimits> = {}): BusScene {
  const scene = busScene({ clock: createClock(), limits });
  closers.push(() => scene[Symbol.asyncDispose]());
  scene.bus.configure(entries);
  return scene;
}

const headerOf = (seen: Seen | undefined, name: string): string | undefined => seen?.headers[seen.headers.indexOf(name) + 1 || Number.NaN];

describe("an HTTP handler", () => {
  it("gets the payload and MistServer's headers, and its text is the answer", async () => {
    const { url, seen } = await handler((_, response) => response.end(" live\n"));
    const { bus: triggers } = bus({ PUSH_REWRITE: [{ handler: `${url}/t?key=secret`, sync: true }] });
    expect(await triggers.fire("PUSH_REWRITE", push)).toEqual(rewrite("live"));
    expect(seen).toHaveLength(1);
    expect(seen[0]).toMatchObject({ url: "/t?key=secret", body: "rtmp://127.0.0.1:1935/live/key1\n127.0.0.1\nkey1" });
    const names = seen[0]?.headers.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase());
    expect(names?.filter((name) => name !== "connection").toSorted()).toEqual([
      "accept",
      "content-length",
      "content-type",
      "date",
      "host",
      "user-agent",
      "x-attempt",
      "x-instance",
      "x-name",
      "x-pid",
      "x-trigger",
      "x-trigger-unixmillis",
      "x-trigger-uuid",
      "x-uuid",
      "x-version",
    ]);
    expect(headerOf(seen[0], "X-Trigger")).toBe("PUSH_REWRITE");
    expect(headerOf(seen[0], "X-Attempt")).toBe("1");
    expect(headerOf(seen[0], "X-Trigger-UUID")).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  it.each([
    ["true", allow()],
    ["TRUE", allow()],
    [" true", allow()],
    ["1", allow()],
    ["yes", allow()],
    ["continue", allow()],
    ["false", deny()],
    ["0", deny()],
    ["on", deny()],
    ["allow", deny()],
    ["null", deny()],
    ["{}", deny()],
    ["2", deny()],
    ["", deny()],
  ] as const)("is read as MistServer reads %j", async (text, decision) => {
    const { url } = await handler((_, response) => response.end(text));
    expect(await bus({ USER_NEW: [[url, true]] }).bus.fire("USER_NEW", viewer)).toEqual(decision);
  });

  it.each<[how: string, answer: Answer]>([
    ["204", (_, response) => response.writeHead(204).end()],
    ["a length of 0", (_, response) => response.writeHead(200, { "Content-Length": "0" }).end()],
    [
      "an empty chunked body",
      (_, response) => {
        response.writeHead(200, { "Transfer-Encoding": "chunked" }).flushHeaders();
        response.end();
      },
    ],
    [
      "a connection that closes",
      (request, response) => {
        response.socket?.end("HTTP/1.0 200 OK\r\n\r\n");
        request.resume();
      },
    ],
  ])("may answer nothing with %s", async (_, answer) => {
    const { url } = await handler(answer);
    const scene = bus({ STREAM_SOURCE: [[url, true]], PUSH_REWRITE: [[url, true]] });
    expect(await scene.bus.fire("STREAM_SOURCE", { stream: "live" })).toEqual(keep());
    expect(await scene.bus.fire("PUSH_REWRITE", push)).toEqual(deny());
    expect(scene.lines).toEqual([]);
  });

  it("keeps its connections", async () => {
    const { url, seen } = await handler((_, response) => response.end("true"));
    const scene = bus({ USER_NEW: [[url, true]] });
    for (let index = 0; index < 20; index++) await scene.bus.fire("USER_NEW", viewer);
    // The next call may come a moment before the last one's connection is free again.
    expect(new Set(seen.map(({ port }) => port)).size).toBeLessThanOrEqual(2);
  });

  it("may redirect: the POST is repeated, six times at most", async () => {
    const { url, seen } = await handler((request, response) => {
      const left = Number(request.url?.slice(1));
      if (left > 0) response.writeHead(302, { Location: `/${left - 1}`, "Set-Cookie": `hop=${left}; Path=/` }).end("moved");
      else response.end("true");
    });
    const scene = bus({ USER_NEW: [[`${url}/6`, true]], CONN_OPEN: [[`${url}/7`, true]] });
    expect(await scene.bus.fire("USER_NEW", viewer)).toEqual(allow());
    expect(seen).toHaveLength(7);
    expect(new Set(seen.map(({ body }) => body)).size).toBe(1);
    expect(headerOf(seen[6], "Cookie") ?? headerOf(seen[6], "cookie")).toBe("hop=1");
    expect(await scene.bus.fire("CONN_OPEN", viewer)).toEqual(checkFailed);
    expect(scene.lines[0]).toContain("redirected more than 6 times");
  });

  it("may ask for the user and password of its URL", async () => {
    const { url, seen } = await handler((request, response) => {
      if (request.headers.authorization === `Basic ${btoa("me:pass word")}`) response.end("true");
      else response.writeHead(401, { "WWW-Authenticate": 'Basic realm="x"' }).end();
    });
    const scene = bus({ USER_NEW: [[url.replace("//", "//me:pass%20word@"), true]] });
    expect(await scene.bus.fire("USER_NEW", viewer)).toEqual(allow());
    expect(seen).toHaveLength(2);
  });

  it("keeps a token with line breaks on its line", async () => {
    const { url, seen } = await handler((_, response) => response.end("true"));
    await bus({ USER_NEW: [[url, true]] }).bus.fire("USER_NEW", { ...viewer, token: "a\nb\nFAKE" });
    expect(seen[0]?.body.split("\n")).toHaveLength(7);
    expect(seen[0]?.body.split("\n")[2]).toBe("a%0Ab%0AFAKE");
  });

  it("speaks TLS, with those whose certificate is trusted", async () => {
    const pem = (file: string): string => readFileSync(new URL(`../fixtures/tls/${file}`, import.meta.url), "utf8");
    const server = createTlsServer({ key: pem("key.pem"), cert: pem("cert.pem") }, (request, response) => {
      request.resume().on("end", () => response.end("true"));
    });
    const url = (await listening(server)).replace("http:", "https:");
    const wary = bus({ USER_NEW: [[url, true]] });
    expect(await wary.bus.fire("USER_NEW", viewer)).toEqual(checkFailed);
    expect(wary.lines).toHaveLength(1);
    const trusted = getCACertificates();
    setDefaultCACertificates([pem("cert.pem")]);
    closers.push(async () => setDefaultCACertificates(trusted));
    expect(await bus({ USER_NEW: [[url, true]] }).bus.fire("USER_NEW", viewer)).toEqual(allow());
  });
});

describe("an HTTP handler that fails", () => {
  it.each([403, 404, 500, 301])("with status %d gives no answer: nobody is let in (MistServer: everybody is)", async (status) => {
    const { url, seen } = await handler((_, response) => response.writeHead(status).end("true"));
    const scene = bus({ USER_NEW: [[url, true]], PUSH_REWRITE: [[url, true]] });
    expect(await scene.bus.fire("USER_NEW", viewer)).toEqual(checkFailed);
    expect(await scene.bus.fire("USER_NEW", viewer)).toEqual(checkFailed);
    expect(await scene.bus.fire("PUSH_REWRITE", push)).toEqual(keep());
    expect(seen).toHaveLength(3);
    expect(scene.lines).toHaveLength(2);
    expect(scene.lines[0]).toContain(`USER_NEW: the handler ${url}/ failed: it answered with status ${status}`);
  });

  it("has its default when one is set", async () => {
    const { url } = await handler((_, response) => response.writeHead(500).end("false"));
    const entry = (text: string) => [{ handler: url, sync: true, default: text }];
    const scene = bus({ USER_NEW: entry("true"), CONN_OPEN: entry("false"), PUSH_REWRITE: entry("backup\n") });
    expect(await scene.bus.fire("USER_NEW", viewer)).toEqual(allow());
    expect(await scene.bus.fire("CONN_OPEN", viewer)).toEqual(checkFailed);
    expect(await scene.bus.fire("PUSH_REWRITE", push)).toEqual(rewrite("backup"));
  });

  it("by refusing connections is tried five times, and quickly", async () => {
    const url = await closedPort();
    const scene = bus({ PUSH_REWRITE: [[url, true]], USER_NEW: [[url, true]] });
    expect(await scene.bus.fire("PUSH_REWRITE", push)).toEqual(keep());
    expect(await scene.bus.fire("USER_NEW", viewer)).toEqual(checkFailed);
    expect(scene.lines[0]).toContain("ECONNREFUSED");
    expect(scene.bus.stats()).toMatchObject({ USER_NEW: { count: 1, fails: 1 } });
  });

  it("by closing the connection is asked again with the same UUID and a higher attempt", async () => {
    const { url, seen } = await handler((request, response) => {
      if (Number(request.headers["x-attempt"]) < 3) request.socket.destroy();
      else response.end("true");
    });
    expect(await bus({ USER_NEW: [[url, true]] }).bus.fire("USER_NEW", viewer)).toEqual(allow());
    expect(seen.map((one) => headerOf(one, "X-Attempt"))).toEqual(["1", "2", "3"]);
    expect(new Set(seen.map((one) => headerOf(one, "X-Trigger-UUID"))).size).toBe(1);
    expect(new Set(seen.map((one) => headerOf(one, "X-Trigger-UnixMillis"))).size).toBe(1);
  });

  it("by being late is not asked again (MistServer: five times, 25 seconds)", async () => {
    const { url, seen } = await handler(() => undefined);
    const scene = bus({ USER_NEW: [[url, true]] }, { httpMs: 100 });
    expect(await scene.bus.fire("USER_NEW", viewer)).toEqual(checkFailed);
    expect(seen).toHaveLength(1);
    expect(scene.lines[0]).toContain("it gave no answer within 100 ms");
  });

  it("by dripping its answer is late too", async () => {
    const { url } = await handler((_, response) => {
      const drip = setInterval(() => response.write("x"), 10);
      response.on("close", () => clearInterval(drip));
    });
    expect(await bus({ USER_NEW: [[url, true]] }, { httpMs: 100 }).bus.fire("USER_NEW", viewer)).toEqual(checkFailed);
  });

  it("by answering more than a name or a yes can be", async () => {
    const { url } = await handler((_, response) => response.end("true".padEnd((1 << 20) + 1)));
    const scene = bus({ USER_NEW: [[url, true]] });
    expect(await scene.bus.fire("USER_NEW", viewer)).toEqual(checkFailed);
    expect(scene.lines[0]).toContain("longer than 1048576 bytes");
  });

  it("by what is no HTTP", async () => {
    const server = createTcpServer((socket) =>
      socket
        .on("error", () => undefined)
        .resume()
        .end("SSH-2.0-OpenSSH\r\n"),
    );
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    closers.push(() => new Promise((resolve) => server.close(() => resolve())));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    expect(await bus({ USER_NEW: [[url, true]] }).bus.fire("USER_NEW", viewer)).toEqual(checkFailed);
  });
});

describe("several HTTP handlers", () => {
  it("are all called in order, also after a no, with one UUID", async () => {
    const { url, seen } = await handler((request, response) => response.end(request.url === "/a" ? "false" : "true"));
    const scene = bus({ USER_NEW: [[`${url}/a`, true], { handler: `${url}/b`, sync: true }] });
    expect(await scene.bus.fire("USER_NEW", viewer)).toEqual(deny());
    expect(seen.map((one) => one.url)).toEqual(["/a", "/b"]);
    expect(new Set(seen.map((one) => headerOf(one, "X-Trigger-UUID"))).size).toBe(1);
  });

  it("answer a rewrite by the last that waits; functions come first", async () => {
    const { url, seen } = await handler((request, response) => response.end(request.url?.slice(1)));
    const scene = bus({
      PUSH_REWRITE: [
        [`${url}/one`, true],
        [`${url}/two`, true],
        [`${url}/three`, false],
      ],
    });
    scene.bus.on("PUSH_REWRITE", () => "function");
    expect(await scene.bus.fire("PUSH_REWRITE", push)).toEqual(rewrite("two"));
    await scene.bus[Symbol.asyncDispose]();
    expect(seen.map(({ body }) => body)).toEqual(Array(3).fill(seen[0]?.body));
  });
});

describe("a handler that is only told", () => {
  it("gives no answer, and neither does its default (MistServer: the default denies everybody)", async () => {
    const { url, seen } = await handler((_, response) => response.end("false"));
    const scene = bus({
      USER_NEW: [{ handler: url, sync: false, default: "false" }],
      PUSH_REWRITE: [{ handler: url, sync: false, default: "x" }],
    });
    expect(await scene.bus.fire("USER_NEW", viewer)).toEqual(allow());
    expect(await scene.bus.fire("PUSH_REWRITE", push)).toEqual(keep());
    await scene.bus[Symbol.asyncDispose]();
    expect(seen).toHaveLength(2);
  });

  it("is not waited for, may finish its long answer, and is waited for at the end", async () => {
    const { promise: asked, resolve: onAsked } = Promise.withResolvers<void>();
    const { promise: go, resolve: release } = Promise.withResolvers<void>();
    let complete: boolean | undefined;
    const { url } = await handler(async (_, response) => {
      onAsked();
      await go;
      response.on("close", () => (complete = response.writableFinished));
      response.end(Buffer.alloc(4 << 20));
    });
    const scene = bus({ STREAM_BUFFER: [[url, false]] });
    await scene.bus.fire("STREAM_BUFFER", { stream: "live", state: "EMPTY" });
    await asked;
    release();
    await scene.bus[Symbol.asyncDispose]();
    await expect.poll(() => complete).toBe(true);
    expect(scene.lines).toEqual([]);
  });

  it("that fails is logged and stops nothing", async () => {
    const url = await closedPort();
    const scene = bus({ USER_NEW: [[url, false]] });
    expect(await scene.bus.fire("USER_NEW", viewer)).toEqual(allow());
    await scene.bus[Symbol.asyncDispose]();
    expect(scene.lines[0]).toMatch(/^WARN USER_NEW: .* nothing depends on it$/);
  });
});

/** The address of a port that was free a moment ago. */
async function closedPort(): Promise<string> {
  const server = createServer();
  const url = await new Promise<string>((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
  });
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return url;
}
