import { afterEach, expect, it } from "vitest";
import { loopbackHost, rawClient } from "../../test/support/loopback.ts";
import { SluiceError } from "../base/errors.ts";
import type { TcpConnection } from "../protocols/protocol.ts";

const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one[Symbol.asyncDispose]();
});

async function listening(serve: (connection: TcpConnection) => Promise<void>) {
  const { host, lines } = loopbackHost();
  open.push(host);
  return { host, lines, port: (await host.tcp({ protocol: "RTMP", port: 0 }, serve)).port };
}

it("hands over bytes and addresses, and writes back", async () => {
  const seen: TcpConnection[] = [];
  const { port } = await listening(async (connection) => {
    seen.push(connection);
    connection.onBytes((bytes) => connection.sink.write(bytes.toReversed()));
  });
  const client = rawClient(port, "abc");
  expect((await client.until((bytes) => bytes.length === 3)).toString()).toBe("cba");
  expect(seen[0]).toMatchObject({ id: 1, address: "127.0.0.1", port: client.socket.localPort, localAddress: "127.0.0.1", localPort: port });
  const gone = new Promise((resolve) => seen[0]?.signal.addEventListener("abort", resolve));
  client.socket.end();
  await gone;
  expect(seen[0]?.sink.signal.aborted).toBe(true);
});

it("a parser that throws closes its own connection, is logged once, and hurts nobody else", async () => {
  const { port, lines } = await listening(async (connection) => {
    connection.onBytes((bytes) => {
      if (bytes[0] === 0x21) throw new SluiceError("input.invalid", "handshake: version 33, must be 3");
      connection.sink.write(bytes);
    });
  });
  const good = rawClient(port, "1");
  await good.until((bytes) => bytes.length === 1);
  const bad = rawClient(port, "!");
  bad.socket.write("!!!!");
  expect((await bad.closed).length).toBe(0);
  good.socket.write("2");
  expect((await good.until((bytes) => bytes.length === 2)).toString()).toBe("12");
  expect(lines().map(({ kind, message }) => `${kind} ${message}`)).toEqual([
    "WARN RTMP connection closed: handshake: version 33, must be 3 (address=127.0.0.1)",
  ]);
  good.socket.destroy();
});

it("a serve that rejects or throws at once closes the connection; a refusal is not logged", async () => {
  let count = 0;
  const { port, lines } = await listening((connection) => {
    connection.onBytes(() => {});
    if (++count === 1) throw new TypeError("x is undefined");
    return Promise.reject(new SluiceError("access.denied", "unknown key"));
  });
  await rawClient(port, "x").closed;
  await rawClient(port, "x").closed;
  expect(lines()).toHaveLength(1);
  expect(lines()[0]?.message).toMatch(/^RTMP connection closed: x is undefined \(address=127\.0\.0\.1, at=.*tcp\.test\.ts/);
});

it("the last words reach a peer that is still sending", async () => {
  const { port } = await listening(async (connection) => {
    connection.onBytes(() => {
      connection.sink.write(Buffer.from("refused: "));
      connection.sink.write(Buffer.from("unknown key"));
      connection.close();
    });
  });
  const client = rawClient(port, "publish");
  client.socket.write(Buffer.alloc(512 * 1024));
  expect((await client.closed).toString()).toBe("refused: unknown key");
});

it("a port in use says which, and how to choose another", async () => {
  const { host, port } = await listening(async () => {});
  await expect(host.tcp({ protocol: "RTMP", port }, async () => {})).rejects.toMatchObject({
    code: "listen.failed",
    message: `port ${port} is in use; choose another with --rtmp-port N, or end the program that has it`,
  });
  await expect(host.tcp({ protocol: "RTMP", port: 0, host: "203.0.113.77" }, async () => {})).rejects.toThrow(
    '"203.0.113.77" is no address of this machine; choose another with --host ADDR',
  );
});

it("closing the host ends open connections and frees the port", async () => {
  const { host, port } = await listening(async (connection) => connection.onBytes(() => {}));
  const client = rawClient(port, "x");
  await new Promise((resolve) => client.socket.once("connect", resolve));
  await Promise.all([host[Symbol.asyncDispose](), client.closed]);
  const again = loopbackHost();
  open.push(again.host);
  await expect(again.host.tcp({ protocol: "RTMP", port }, async () => {})).resolves.toMatchObject({ port });
});
