import { execFile } from "node:child_process";
import { copyFileSync, readFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startBrowser } from "../support/browser.ts";
import { type Child, startChild } from "../support/child.ts";
import { startEncoder } from "../support/encoder.ts";
import { freePort } from "../support/free-port.ts";
import { playWithFfmpeg } from "../support/player.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";
import { root } from "../support/source-files.ts";

const run = promisify(execFile);
const files = Object.fromEntries(
  ["cert.pem", "key.pem"].map((name) => [name, readFileSync(join(root, "test/fixtures/tls", name), "utf8")]),
);
const fixture = (name: string): string => join(root, "test/fixtures/tls", name);

/** A request by curl, which trusts nothing but the fixture's certificate. */
async function curl(...args: readonly string[]): Promise<string> {
  return (await run("curl", ["-sS", "-i", "--max-time", "10", "--cacert", fixture("cert.pem"), ...args])).stdout;
}

describe("HTTPS", () => {
  const all = new AsyncDisposableStack();
  let sluice: Sluice;
  let encoder: Child;
  let https = 0;
  const at = (path: string): string => `https://127.0.0.1:${https}/${path}`;

  beforeAll(async () => {
    https = await freePort();
    const config = `
      export default {
        https: { port: ${https}, cert: "cert.pem", key: "key.pem" },
        triggers: {
          USER_NEW: ({ protocol, url, tls }) => {
            console.error("USER_NEW", protocol, url, tls?.protocol, tls?.cipher, tls?.alpn);
            return true;
          },
        },
      };`;
    sluice = all.use(await startSluice({ config, files }));
    encoder = all.use(startEncoder(sluice.rtmp("live/tv")));
    await encoder.printed(/frame=/);
  });
  afterAll(() => all.disposeAsync());

  it("serves what HTTP serves, to curl, ffmpeg, and stream information with addresses that say https", async () => {
    const played = await playWithFfmpeg(at("hls/tv/index.m3u8"), 2);
    expect(played.videoFrames).toBeGreaterThan(40);
    type Info = { capa?: { ssl: boolean }; source: { url: string; type: string }[] };
    const ask = async (): Promise<Info> => JSON.parse((await curl(at("json_tv.js"))).split("\r\n\r\n").at(-1) ?? "") as Info;
    await expect.poll(ask, { timeout: 15_000 }).toMatchObject({ capa: { ssl: true } });
    const body = await ask();
    const urls = body.source.map(({ url }) => new URL(url));
    expect(urls.filter(({ protocol }) => protocol !== "rtmp:").map(({ protocol, port }) => `${protocol}${port}`)).toEqual(
      expect.arrayContaining([`https:${https}`, `wss:${https}`]),
    );
    expect(urls.some(({ protocol }) => protocol === "http:" || protocol === "ws:")).toBe(false);
    expect(sluice.child.stderr()).toMatch(/USER_NEW HLS https:\/\/127\.0\.0\.1:\d+\/hls\/tv\/index\.m3u8 TLSv1\.3 TLS_\w+ /);
  });

  it("sets a cookie that players on other sites keep; HTTP sets the other one", async () => {
    const cookie = (answer: string): string => /^set-cookie: tkn=\w+; (.*)\r$/im.exec(answer)?.[1] ?? "";
    expect(cookie(await curl(at("hls/tv/index.m3u8")))).toBe("Max-Age=600; Path=/; HttpOnly; Secure; SameSite=None; Partitioned");
    expect(cookie(await curl(sluice.http("hls/tv/index.m3u8")))).toBe("Max-Age=600; Path=/; HttpOnly; SameSite=Lax");
  });

  it("a player that a page of another site embeds stays one viewer by that cookie, in Chromium", async () => {
    await using browser = await startBrowser(["--ignore-certificate-errors"]);
    const page = await browser.newPage();
    // Another site: localhost is not 127.0.0.1. Its page holds nothing but the frame.
    const site = createServer({ cert: files["cert.pem"], key: files["key.pem"] }, (_, response) => {
      response.setHeader("Content-Type", "text/html");
      response.end(`<iframe src="${at("json_tv.js")}"></iframe>`);
    });
    await using _closing = { [Symbol.asyncDispose]: async () => void (site.close(), site.closeAllConnections()) };
    await new Promise<void>((resolve) => site.listen(0, "127.0.0.1", resolve));
    const loaded = page.waitForResponse((response) => response.url().includes("json_tv.js"));
    await page.goto(`https://localhost:${(site.address() as AddressInfo).port}/`);
    await loaded;
    const frame = page.frames().find((one) => one.url().includes("json_tv.js"));
    if (!frame) throw new Error("the frame has not loaded");
    await frame.waitForLoadState();
    const cookies = await page.context().cookies();
    expect(cookies.filter(({ name }) => name === "tkn")).toEqual([
      expect.objectContaining({ secure: true, sameSite: "None", httpOnly: true }),
    ]);
    const sent = page.waitForRequest((request) => request.url().includes("again"));
    expect(await frame.evaluate(async () => (await fetch("json_tv.js?again=1", { credentials: "include" })).status)).toBe(200);
    const { cookie } = await (await sent).allHeaders();
    expect(cookie).toBe(`tkn=${cookies.find(({ name }) => name === "tkn")?.value}`);
  });

  it("a certificate that has changed counts for those who come, and viewers watch on", async () => {
    await using viewer = startChild("curl", [
      "-sSN",
      "--cacert",
      fixture("cert.pem"),
      "-o",
      join(sluice.folder, "out.flv"),
      "-w",
      "ended",
      at("tv.flv"),
    ]);
    await sluice.child.printed(/USER_NEW FLV/);
    copyFileSync(fixture("handler-cert.pem"), join(sluice.folder, "cert.pem"));
    copyFileSync(fixture("handler-key.pem"), join(sluice.folder, "key.pem"));
    sluice.child.process.kill("SIGHUP");
    await sluice.child.printed(/The certificate cert\.pem was loaded again/);
    await expect(curl(at("json_tv.js"))).rejects.toThrow(/certificate/);
    expect((await run("curl", ["-sS", "--cacert", fixture("private-ca.pem"), at("json_tv.js")])).stdout).toContain('"meta"');
    expect(viewer.process.exitCode).toBe(null);
  });

  it("comes and goes through the API, as a connector", async () => {
    const port = await freePort();
    const connector = { connector: "HTTPS", port, cert: join(sluice.folder, "cert.pem"), key: join(sluice.folder, "key.pem") };
    const reach = async (where: number): Promise<boolean> =>
      (await run("curl", ["-sSk", "--max-time", "5", `https://127.0.0.1:${where}/json_tv.js`]).catch(() => ({ stdout: "" }))).stdout !== "";
    const listed = async (): Promise<unknown[]> => {
      const reply = (await sluice.api({ config: {} })) as { config: { protocols: { connector: string; port: number; online: unknown }[] } };
      return reply.config.protocols.filter((one) => one.connector === "HTTPS").map((one) => [one.port, one.online]);
    };
    expect(await listed()).toEqual([[https, 1]]);
    await sluice.api({ addprotocol: connector });
    await expect.poll(() => reach(port)).toBe(true);
    expect(await reach(https)).toBe(false);
    await sluice.api({ deleteprotocol: connector });
    await expect.poll(() => reach(port)).toBe(false);
  });

  it.each([
    [{ cert: "cert.pem", key: "nowhere.pem" }, /https\.key: the file "nowhere\.pem" cannot be read/],
    [{ cert: "cert.pem" }, /https\.key is missing/],
    [{ cert: "cert.pem", key: "key.pem", ca: "x" }, /https\.ca /],
  ])("%j ends the start with the field's name", async (setting, words) => {
    await expect(startSluice({ config: { https: { port: 0, ...setting } }, files })).rejects.toThrow(words);
  });
});
