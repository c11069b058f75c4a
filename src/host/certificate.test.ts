import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { loopbackHost, rawClient } from "../../test/support/loopback.ts";
import { readCertificate } from "./certificate.ts";

const fixture = (name: string): string => join("test/fixtures/tls", name);
let folder = "";
let files = { cert: "", key: "" };
const put = (cert: string, key: string): void => {
  copyFileSync(fixture(cert), files.cert);
  copyFileSync(fixture(key), files.key);
};

const open: AsyncDisposable[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-certificate-"));
  files = { cert: join(folder, "cert.pem"), key: join(folder, "key.pem") };
  put("cert.pem", "key.pem");
});
afterEach(async () => {
  for (const one of open.splice(0)) await one[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

async function serving() {
  const clock = new FakeClock();
  const { host, lines } = loopbackHost({ clock });
  open.push(host);
  host.http({ protocol: "TEST", match: (path) => path, handle: async (exchange) => exchange.reply(200, {}, JSON.stringify(exchange.tls)) });
  const https = await host.listenHttps({ port: 0, host: "127.0.0.1", ...files });
  open.unshift(https);
  return { clock, https, lines: () => lines().map(({ kind, message }) => `${kind} ${message}`) };
}

/** Connects without looking who it is, and gives the name in the certificate. */
async function handshake(port: number): Promise<{ readonly secure: TLSSocket; readonly name: string }> {
  const secure = connect({ port, host: "127.0.0.1", servername: "tv.example", rejectUnauthorized: false });
  await new Promise((resolve, reject) => secure.once("secureConnect", resolve).once("error", reject));
  return { secure, name: String(secure.getPeerCertificate().subject.CN) };
}

/** One request on a connection that stays open. */
async function ask(secure: TLSSocket): Promise<string> {
  secure.write("GET /a HTTP/1.1\r\nHost: tv.example\r\n\r\n");
  const [bytes] = await new Promise<[Buffer]>((resolve) => secure.once("data", (part) => resolve([part])));
  return bytes.toString().split("\r\n\r\n")[1] ?? "";
}

describe("the certificate of a listener", () => {
  it("is exchanged when its files change, for connections that come; those that are open go on", async () => {
    const { clock, https, lines } = await serving();
    const first = await handshake(https.port);
    expect(first.name).toBe("test of loopback only");
    expect(JSON.parse(await ask(first.secure))).toEqual({
      protocol: "TLSv1.3",
      cipher: expect.stringMatching(/^TLS_/),
      servername: "tv.example",
    });
    put("handler-cert.pem", "handler-key.pem");
    await clock.advance(59_000);
    expect((await handshake(https.port)).name).toBe("test of loopback only");
    await clock.advance(1000);
    expect((await handshake(https.port)).name).toBe("handler.test");
    expect(await ask(first.secure)).toContain("TLSv1.3");
    put("cert.pem", "key.pem");
    https.refresh(files);
    expect((await handshake(https.port)).name).toBe("test of loopback only");
    expect(lines()).toEqual([`CONF The certificate ${files.cert} was loaded again`, `CONF The certificate ${files.cert} was loaded again`]);
  });

  it("stays while the files cannot be used, which is said once", async () => {
    const { clock, https, lines } = await serving();
    copyFileSync(fixture("handler-cert.pem"), files.cert);
    await clock.advance(180_000);
    expect((await handshake(https.port)).name).toBe("test of loopback only");
    expect(lines()).toEqual([
      `ERROR https.key: the file "${files.key}" is not the key of the certificate in ${files.cert}; the certificate that was in use stays`,
    ]);
    copyFileSync(fixture("handler-key.pem"), files.key);
    await clock.advance(60_000);
    expect((await handshake(https.port)).name).toBe("handler.test");
  });

  it.each([
    ["cert", "missing", undefined, /^https\.cert: the file ".*" cannot be read: ENOENT/],
    ["key", "missing", undefined, /^https\.key: the file ".*" cannot be read: ENOENT/],
    ["cert", "no PEM", "hello", /^https\.cert: the file ".*" has no certificate/],
    ["key", "no PEM", "hello", /^https\.key: the file ".*" has no private key without a password/],
  ] as const)("%s %s is a wrong configuration, and says which field", (field, _, content, words) => {
    if (content === undefined) rmSync(files[field]);
    else writeFileSync(files[field], content);
    expect(() => readCertificate(files)).toThrow(
      expect.objectContaining({ code: "config.invalid", message: expect.stringMatching(words) }),
    );
  });

  it("is not shown to who speaks no TLS, and such a connection hurts nobody", async () => {
    const { https } = await serving();
    const raw = rawClient(https.port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await raw.closed;
    expect((await handshake(https.port)).name).toBe("test of loopback only");
  });

  it("is not waited for longer than ten seconds", async () => {
    const { clock, https } = await serving();
    const silent = rawClient(https.port);
    await new Promise((resolve) => silent.socket.once("connect", resolve));
    const seen = await handshake(https.port);
    await ask(seen.secure);
    await clock.advance(10_000);
    await silent.closed;
    expect(await ask(seen.secure)).toContain("TLSv1.3");
  });
});
