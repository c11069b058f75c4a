import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Child, startChild } from "../support/child.ts";
import { freePort } from "../support/free-port.ts";
import { publishSample } from "../support/rtmp-publisher.ts";
import { startSluice } from "../support/sluice.ts";
import { root } from "../support/source-files.ts";
import { get, view } from "../support/viewer.ts";

const key = "the-key-of-the-recipe";
const userNew = `live\n127.0.0.1\nt1\nFLV\nhttp://h/live.flv?user=ann\n${"0".repeat(64)}\nfalse`;
const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

let folder: string;
beforeAll(() => {
  const page = readFileSync(join(root, "docs/recipes/receiver.md"), "utf8");
  // Where the blocks find the packages of this checkout.
  const cache = join(root, "node_modules/.cache");
  mkdirSync(cache, { recursive: true });
  folder = mkdtempSync(join(cache, "receiver-"));
  for (const [, name = "", code = ""] of page.matchAll(/^```js\n\/\/ (\w+\.mjs)\n(.*?)^```/gms)) writeFileSync(join(folder, name), code);
  // `sluice/receiver` is this checkout's, which is not built.
  const entry = new URL("../../src/receiver/index.ts", import.meta.url).href;
  const hook = `import { registerHooks } from "node:module";
registerHooks({ resolve: (name, context, next) => (name === "sluice/receiver" ? { url: ${JSON.stringify(entry)}, shortCircuit: true } : next(name, context)) });`;
  writeFileSync(join(folder, "hook.mjs"), hook);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function run(file: string, environment: Readonly<Record<string, string>>): Child {
  const child = startChild(process.execPath, ["--import", join(folder, "hook.mjs"), join(folder, file)], {
    env: { ...process.env, MIST_KEY: key, ...environment },
  });
  closers.push(() => child.stop());
  return child;
}

const servers = [
  ["node.mjs", ""],
  ["express.mjs", "mist"],
  ["fastify.mjs", "mist"],
  ["hono.mjs", "mist"],
] as const;

describe.each(servers)("the recipe of a receiver in %s", (file, path) => {
  async function start(): Promise<{ child: Child; port: number; url: string }> {
    const port = await freePort();
    const child = run(file, { PORT: `${port}` });
    await child.printed(/ready/);
    return { child, port, url: `http://localhost:${port}/${path}` };
  }

  it("answers calls as a MistServer sends and reads them, and what is malformed with status 200", async () => {
    const { url, port } = await start();
    const call = async (name: string, body: string | Uint8Array, query = `?key=${key}`): Promise<readonly [number, string, boolean]> => {
      const headers = { "X-Trigger": name, "Content-Type": "text/plain", "X-Trigger-UUID": crypto.randomUUID() };
      const response = await fetch(`${url}${query}`, { method: "POST", headers, body });
      return [response.status, await response.text(), response.headers.has("x-sluice-error")];
    };
    expect(await call("USER_NEW", userNew)).toEqual([200, "true", false]);
    expect(await call("USER_NEW", userNew.replace("ann", "bob"))).toEqual([200, "false", false]);
    expect(await call("USER_NEW", userNew, "")).toEqual([200, "false", true]);
    expect(await call("USER_NEW", userNew, "?key=the-key-of-the-recipf")).toEqual([200, "false", true]);
    expect(await call("PUSH_REWRITE", "rtmp://h/live/k9f2c7d1e8a04b53\n::1\nk9f2c7d1e8a04b53")).toEqual([200, "live", false]);
    expect(await call("PUSH_REWRITE", "rtmp://h/live/live\n::1\nlive")).toEqual([200, "", false]);
    expect(await call("STREAM_BUFFER", "live\nEMPTY")).toEqual([200, "", false]);
    expect(await call("USER_NEW", Uint8Array.of(0xff, 0, 10))).toEqual([200, "false", true]);
    expect(await call("USER_NEW", "")).toEqual([200, "false", true]);
    // Longer than the limit, and than those of the frameworks.
    expect(await call("USER_NEW", "x".repeat(3 << 20))).toEqual([200, "false", true]);
    expect(await call("NOBODY", "x")).toEqual([200, "", true]);
    expect((await fetch(`${url}?key=${key}`)).status).toBe(405);
    // Exactly as MistServer puts it on the wire, of a content type that no parser knows.
    const raw = await wire(
      port,
      `POST /${path}?key=${key} HTTP/1.1\r\nHost: h\r\nX-Trigger: USER_NEW\r\nContent-Type: application/odd\r\nConnection: close\r\nContent-Length: ${userNew.length}\r\n\r\n${userNew}`,
    );
    expect(raw).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\n(?:4\r\n)?true/);
    expect(raw.toLowerCase()).toContain("content-length: 4");
  });

  it("goes on when a MistServer that only tells hangs up at once", async () => {
    const { child, port } = await start();
    const body = "live\nFULL\n{}";
    const socket = connect(port, "localhost");
    socket.write(
      `POST /${path}?key=${key} HTTP/1.1\r\nHost: h\r\nX-Trigger: STREAM_BUFFER\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    // Nobody reads the answer.
    await new Promise<void>((resolve) => socket.end(() => resolve()));
    socket.destroy();
    await child.printed(/live FULL/);
    expect(child.process.exitCode).toBeNull();
  });

  it("decides for a server, into which the recipe installs it", async () => {
    const { url } = await start();
    const password = "secret";
    const md5 = createHash("md5").update(password).digest("hex");
    await using mist = await startSluice({
      config: { account: { admin: { password: md5 } }, config: {}, streams: { live: { source: "push://" } } },
    });
    const install = run("install.mjs", { MIST_API: `http://127.0.0.1:${mist.ports.api}`, MIST_PASSWORD: password, HANDLER: url });
    await install.printed(/installed/);
    expect(await install.exited).toBe(0);
    await expect(publishSample(mist.ports.rtmp, "live")).rejects.toThrow();
    const publisher = await publishSample(mist.ports.rtmp, "k9f2c7d1e8a04b53");
    await expect.poll(async () => (await get(mist.http("json_live.js?user=ann&tkn=1"))).text, { timeout: 20_000 }).toContain("H264");
    using viewer = await view(mist.http("live.flv?user=ann&tkn=1"));
    expect(viewer.status).toBe(200);
    expect((await get(mist.http("live.flv?user=bob&tkn=2"))).status).toBe(403);
    publisher.socket.destroy();
  });
});

describe("the recipe of a receiver", () => {
  it("does not start without its key", async () => {
    const child = run("node.mjs", { MIST_KEY: "", PORT: "0" });
    expect([await child.exited, child.stderr()]).toEqual([1, expect.stringContaining("`secret` must be a text of 16 characters")]);
  });
});

/** Sends bytes and resolves with all that comes back. */
function wire(port: number, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "localhost");
    let text = "";
    socket.setEncoding("utf8");
    socket.on("data", (chunk: string) => (text += chunk));
    socket.on("end", () => resolve(text));
    socket.on("error", reject);
    socket.write(request);
  });
}
