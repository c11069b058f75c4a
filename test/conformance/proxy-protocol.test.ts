import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startEncoder } from "../support/encoder.ts";
import { startHaproxy } from "../support/haproxy.ts";
import { playWithFfmpeg } from "../support/player.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";
import { root } from "../support/source-files.ts";
import { view } from "../support/viewer.ts";

/** The whole `clients` of MistServer's API, as connector and address. */
async function clients(sluice: Sluice): Promise<readonly string[]> {
  const reply = await sluice.api({ clients: { fields: ["host", "protocol"] } });
  const { data } = reply["clients"] as { data: [host: string, protocol: string][] | null };
  return (data ?? []).map(([host, protocol]) => `${protocol} ${host}`);
}

const v4 = "203.0.113.9";
const v6 = "2001:db8::9";

describe("behind a real haproxy that sends PROXY headers", () => {
  let sluice: Sluice;
  let proxy: Awaited<ReturnType<typeof startHaproxy>>;
  const all = new AsyncDisposableStack();
  let port: Readonly<Record<"rtmp1" | "rtmp2" | "http1" | "http2" | "api1" | "api2" | "secure", number>>;

  beforeAll(async () => {
    const config = `
      export default {
        proxyProtocol: true,
        triggers: {
          USER_NEW: ({ protocol, host, url, tls }) => {
            console.error("USER_NEW", protocol, host, new URL(url).protocol, tls?.protocol, tls?.servername);
            return true;
          },
        },
      };`;
    sluice = all.use(await startSluice({ config }));
    const { rtmp, http, api } = sluice.ports;
    const pem = join(sluice.folder, "haproxy.pem");
    writeFileSync(pem, ["cert", "key"].map((name) => readFileSync(join(root, "test/fixtures/tls", `${name}.pem`), "utf8")).join(""));
    proxy = all.use(
      await startHaproxy([
        { to: rtmp, send: "send-proxy", source: v4 },
        { to: rtmp, send: "send-proxy-v2", source: v4 },
        { to: http, send: "send-proxy", source: v4 },
        { to: http, send: "send-proxy-v2", source: v6 },
        { to: api, send: "send-proxy", source: v4 },
        { to: api, send: "send-proxy-v2", source: v4 },
        { to: http, send: "send-proxy-v2-ssl", source: "203.0.113.10", pem },
      ]),
    );
    const [rtmp1 = 0, rtmp2 = 0, http1 = 0, http2 = 0, api1 = 0, api2 = 0, secure = 0] = proxy.ports;
    port = { rtmp1, rtmp2, http1, http2, api1, api2, secure };
  });
  afterAll(() => all.disposeAsync());

  it("publishers and viewers of RTMP and HTTP have their true address, with both versions", async () => {
    await using encoder = startEncoder(`rtmp://127.0.0.1:${port.rtmp1}/live/tv`);
    await encoder.printed(/frame=/);
    const viewers = await Promise.all([
      view(`http://127.0.0.1:${port.http1}/tv.flv?tkn=one`),
      view(`http://127.0.0.1:${port.http2}/tv.flv?tkn=two`),
      view(sluice.http("tv.flv?tkn=three")),
    ]);
    await Promise.all(viewers.map((viewer) => viewer.atLeast(20_000)));
    const over = playWithFfmpeg(`rtmp://127.0.0.1:${port.rtmp2}/live/tv`, 3);
    await sluice.child.printed(/USER_NEW RTMP/);
    await expect
      .poll(() => clients(sluice), { timeout: 10_000 })
      .toEqual(expect.arrayContaining([`INPUT:RTMP ${v4}`, `FLV ${v4}`, `FLV ${v6}`, "FLV 127.0.0.1", `RTMP ${v4}`]));
    expect((await over).videoFrames).toBeGreaterThan(50);
    for (const viewer of viewers) viewer[Symbol.dispose]();
  });

  it("the API asks them for a password, though the connection comes from this machine", async () => {
    const ask = async (at: number): Promise<Record<string, unknown>> =>
      (await (await fetch(`http://127.0.0.1:${at}/api2`, { method: "POST", body: JSON.stringify({ totals: {} }) })).json()) as Record<
        string,
        unknown
      >;
    expect(await ask(sluice.ports.api)).toHaveProperty("totals");
    for (const at of [port.api1, port.api2]) {
      const reply = await ask(at);
      expect(reply).not.toHaveProperty("totals");
      expect(reply).toHaveProperty("authorize");
    }
  });

  it("TLS that ends at haproxy is told to handlers", async () => {
    await using encoder = startEncoder(sluice.rtmp("live/far"));
    await encoder.printed(/frame=/);
    const played = playWithFfmpeg(`https://127.0.0.1:${port.secure}/far.flv`, 1);
    await sluice.child.printed(/USER_NEW FLV 203\.0\.113\.10 https: TLSv1\.3 /);
    expect((await played).videoFrames).toBeGreaterThan(10);
  });
});
