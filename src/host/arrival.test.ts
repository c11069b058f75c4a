import { type AddressInfo, createServer } from "node:net";
import { connect } from "node:tls";
import { afterEach, describe, expect, it } from "vitest";
import { loopbackHost, rawClient } from "../../test/support/loopback.ts";
import { proxyV2 } from "../../test/support/proxy-header.ts";
import type { Log } from "../base/log.ts";
import { Peers, proxyStage } from "./arrival.ts";
import { createClock } from "./clock.ts";
import type { HostOptions } from "./host.ts";
import { createTrustedProxies } from "./peer-address.ts";

const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one[Symbol.asyncDispose]();
});

const files = { cert: "test/fixtures/tls/cert.pem", key: "test/fixtures/tls/key.pem" };
const v1 = "PROXY TCP4 203.0.113.9 192.0.2.1 50123 80\r\n";

/** A host that answers on raw TCP, HTTP and HTTPS with what it knows of the client. */
async function serving(options: Partial<HostOptions> = {}) {
  const { host, lines } = loopbackHost({ proxyProtocol: () => true, ...options });
  open.push(host);
  host.http({
    protocol: "TEST",
    match: (path) => path,
    handle: async (exchange) => exchange.reply(200, {}, JSON.stringify([exchange.address, exchange.url.protocol, exchange.tls?.protocol])),
  });
  const tcp = await host.tcp({ protocol: "RTMP", port: 0 }, async (connection) => {
    connection.onBytes((bytes) => connection.sink.write(Buffer.concat([Buffer.from(`${connection.address} ${connection.port} `), bytes])));
  });
  const http = await host.listenHttp();
  const https = await host.listenHttps({ port: 0, host: "127.0.0.1", ...files });
  return { host, lines: () => lines().map(({ message }) => message), tcp: tcp.port, http: http.port, https: https.port };
}

const request = "GET /a HTTP/1.1\r\nHost: tv.example\r\nConnection: close\r\n";
const bodyOf = (answer: Buffer): unknown => JSON.parse(answer.toString().split("\r\n\r\n")[1] ?? "");

describe("a connection", () => {
  it("that begins with a PROXY header has the client's address and port, and loses no byte", async () => {
    const { tcp, http } = await serving();
    for (const header of [Buffer.from(v1), proxyV2({ source: "203.0.113.9", port: 50_123 })]) {
      const whole = rawClient(tcp, Buffer.concat([header, Buffer.from("hello")]));
      expect((await whole.until((bytes) => bytes.length === 23)).toString()).toBe("203.0.113.9 50123 hello");
      whole.socket.destroy();
      const slow = rawClient(tcp);
      slow.socket.setNoDelay(true);
      for (const byte of [...header, ...Buffer.from("h")]) await new Promise((resolve) => slow.socket.write(Buffer.from([byte]), resolve));
      expect((await slow.until((bytes) => bytes.length === 19)).toString()).toBe("203.0.113.9 50123 h");
      slow.socket.destroy();
      expect(bodyOf(await rawClient(http, Buffer.concat([header, Buffer.from(`${request}\r\n`)])).closed)).toEqual([
        "203.0.113.9",
        "http:",
        null,
      ]);
    }
  });

  it("of a client that is itself trusted may go on with X-Forwarded-For", async () => {
    const { http } = await serving({ trustedProxies: () => ["198.51.100.0/24"] });
    const ask = async (from: string): Promise<unknown> =>
      bodyOf(await rawClient(http, `PROXY TCP4 ${from} 192.0.2.1 5 80\r\n${request}X-Forwarded-For: 203.0.113.77\r\n\r\n`).closed);
    expect(await ask("198.51.100.4")).toEqual(["203.0.113.77", "http:", null]);
    expect(await ask("198.51.101.4")).toEqual(["198.51.101.4", "http:", null]);
  });

  it("without a header is as it was, also several requests on it", async () => {
    const { tcp, http } = await serving();
    const plain = rawClient(tcp, "hello");
    expect((await plain.until((bytes) => bytes.includes("hello"))).toString()).toMatch(/^127\.0\.0\.1 \d+ hello$/);
    plain.socket.destroy();
    for (let turn = 0; turn < 3; turn++)
      expect(await (await fetch(`http://127.0.0.1:${http}/a`)).json()).toEqual(["127.0.0.1", "http:", null]);
  });

  it("from somebody who is not trusted may not begin with a header: it is closed, and logged once", async () => {
    // Everybody here is loopback, which is trusted always: the stage is told of another peer.
    const peers = new Peers();
    const told: string[] = [];
    const log: Log = { write: (_, message, fields) => void told.push(`${message} (${fields?.["address"]})`) };
    const proxies = createTrustedProxies(() => ["203.0.113.67"]);
    const stage = proxyStage({ name: "RTMP", enabled: () => true, proxies, peers, clock: createClock(), log });
    let letIn = 0;
    const server = createServer((socket) => {
      peers.tell(socket, { address: `203.0.113.${66 + letIn}`, port: 1, tls: undefined });
      stage(socket, () => (letIn++, socket.destroy()));
    });
    open.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    expect((await rawClient(port, `${v1}hello`).closed).length).toBe(0);
    expect([letIn, told]).toEqual([
      0,
      ["RTMP connection closed: a PROXY header came from an address that is not in `trustedproxy` (203.0.113.66)"],
    ]);
    await rawClient(port, "hello").closed;
    await rawClient(port, `${v1}hello`).closed;
    expect([letIn, told.length]).toEqual([2, 1]);
  });

  it("with a header that is wrong is closed alone, and logged once", async () => {
    const { lines, tcp } = await serving();
    const good = rawClient(tcp, `${v1}1`);
    await good.until((bytes) => bytes.length > 0);
    const bad = rawClient(tcp, "PROXY TCP4 nobody\r\nhello");
    bad.socket.write("more and more");
    expect((await bad.closed).length).toBe(0);
    good.socket.write("2");
    expect((await good.until((bytes) => bytes.toString().endsWith("2"))).toString()).toBe("203.0.113.9 50123 1203.0.113.9 50123 2");
    good.socket.destroy();
    expect(lines()).toEqual(["RTMP connection closed: PROXY header: an address of TCP4 was expected (address=127.0.0.1)"]);
  });

  it("that sends half a header has five seconds; who sends nothing at all is handed on", async () => {
    const timers: { readonly ms: number; readonly run: () => void }[] = [];
    const clock = { ...createClock(), after: (ms: number, run: () => void) => (timers.push({ ms, run }), { [Symbol.dispose]: () => {} }) };
    const { lines, tcp } = await serving({ clock });
    const half = rawClient(tcp, "PROXY TCP4 203.");
    const silent = rawClient(tcp);
    while (timers.filter(({ ms }) => ms === 5000).length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    await new Promise((resolve) => setTimeout(resolve, 20));
    for (const { ms, run } of timers) if (ms === 5000) run();
    await half.closed;
    silent.socket.write("late");
    expect((await silent.until((bytes) => bytes.includes("late"))).toString()).toMatch(/^127\.0\.0\.1 /);
    silent.socket.destroy();
    expect(lines()).toEqual(["RTMP connection closed: the PROXY header was not complete within 5 s (address=127.0.0.1)"]);
  });

  it("is looked at only while the setting is on", async () => {
    let on = false;
    const { http } = await serving({ proxyProtocol: () => on });
    const answer = async (): Promise<string> => (await rawClient(http, `${v1}${request}\r\n`).closed).toString();
    expect(await answer()).toMatch(/^HTTP\/1\.1 400 /);
    on = true;
    expect(await answer()).toContain("203.0.113.9");
  });

  it("over TLS may have a PROXY header before the handshake", async () => {
    const { https } = await serving();
    const ask = async (header: string): Promise<unknown> => {
      const raw = rawClient(https, header);
      await new Promise((resolve) => raw.socket.once("connect", resolve));
      raw.socket.removeAllListeners("data");
      const secure = connect({
        socket: raw.socket,
        rejectUnauthorized: false,
        servername: "tv.example",
        ALPNProtocols: ["h2", "http/1.1"],
      });
      secure.end(`${request}\r\n`);
      const parts: Buffer[] = [];
      for await (const part of secure) parts.push(part as Buffer);
      return bodyOf(Buffer.concat(parts));
    };
    expect(await ask(v1)).toEqual(["203.0.113.9", "https:", "TLSv1.3"]);
    expect(await ask("")).toEqual(["127.0.0.1", "https:", "TLSv1.3"]);
  });
});
