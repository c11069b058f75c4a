import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { nodeListener } from "./node.ts";
import { createReceiver } from "./receiver.ts";

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

async function serve(receive: (request: Request) => Promise<Response>): Promise<number> {
  const server = createServer(nodeListener(receive));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return (server.address() as AddressInfo).port;
}

/** Sends bytes and resolves with all that comes back until the server closes. */
function wire(port: number, ...parts: readonly (string | Uint8Array)[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    let text = "";
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => (text += chunk));
    socket.on("end", () => resolve(text));
    socket.on("error", reject);
    for (const part of parts) socket.write(part);
  });
}

const head = (target: string, more = ""): string =>
  `POST ${target} HTTP/1.1\r\nHost: h\r\nX-Trigger: USER_NEW\r\nConnection: close\r\n${more}`;

describe("a receiver as a listener of node:http", () => {
  const payload = `live\n::1\nt\nFLV\nhttp://h/\n${"a".repeat(64)}`;
  const yes = (): ((request: Request) => Promise<Response>) => {
    const receive = createReceiver({ USER_NEW: () => true }, { secret: "sixteen characters", log: () => {} });
    closers.push(() => receive[Symbol.asyncDispose]());
    return receive;
  };

  it.each(["*", "//evil.example/x", "http://other.example/other", "/%", "/\\..\\x", "/?key=%ff%00"])(
    "has an answer that is no yes, with status 200, for whatever is asked for: %s",
    async (target) => {
      const port = await serve(yes());
      const said = await wire(port, head(target, `Content-Length: ${payload.length}\r\n\r\n${payload}`));
      expect(said).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
      expect(said.slice(said.indexOf("\r\n\r\n"))).not.toContain("true");
    },
  );

  it("reads a body that comes in pieces, chunked or not", async () => {
    const port = await serve(yes());
    const target = "/sixteen%20characters";
    const pieces = [...payload].map((letter) => `1\r\n${letter}\r\n`);
    expect(await wire(port, head(target, "Transfer-Encoding: chunked\r\n\r\n"), ...pieces, "0\r\n\r\n")).toMatch(/\r\n\r\ntrue$/);
    expect(await wire(port, head(target, `Content-Length: ${payload.length}\r\n\r\n`), payload.slice(0, 5), payload.slice(5))).toMatch(
      /\r\n\r\ntrue$/,
    );
  });

  it("answers before it closes although the call was not read to its end", async () => {
    const port = await serve(yes());
    const long = Buffer.alloc(8 << 20, "x");
    expect(await wire(port, head("/sixteen%20characters", `Content-Length: ${long.length}\r\n\r\n`), long)).toMatch(/\r\n\r\nfalse$/);
    expect(await wire(port, head("/wrong", `Content-Length: ${long.length}\r\n\r\n`), long)).toMatch(/\r\n\r\nfalse$/);
  });

  it("answers with status 200 and nothing when the function rejects", async () => {
    const port = await serve(() => Promise.reject(new Error("broken")));
    const said = await wire(port, head("/", "Content-Length: 0\r\n\r\n"));
    expect(said).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\n$/);
    expect(said.toLowerCase()).toContain("x-sluice-error: the call could not be read: broken");
  });

  it("outlives a sender that goes away in the middle", async () => {
    const port = await serve(yes());
    const socket = connect(port, "127.0.0.1");
    await new Promise<void>((resolve) => socket.write(head("/sixteen%20characters", "Content-Length: 500\r\n\r\nlive"), () => resolve()));
    socket.destroy();
    expect(await wire(port, head("/sixteen%20characters", `Content-Length: ${payload.length}\r\n\r\n${payload}`))).toMatch(/true$/);
  });
});
