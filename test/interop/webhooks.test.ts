import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { Webhook } from "standardwebhooks";
import { afterEach, describe, expect, it } from "vitest";
import { type Child, startChild } from "../support/child.ts";
import { startEncoder } from "../support/encoder.ts";
import { freePort } from "../support/free-port.ts";
import { startSluice } from "../support/sluice.ts";
import { root } from "../support/source-files.ts";
import { get, view } from "../support/viewer.ts";

const secret = `whsec_${Buffer.from("of the recipe".padEnd(32, ".")).toString("base64")}`;
const wrongSecret = `whsec_${Buffer.from("of somebody".padEnd(32, ".")).toString("base64")}`;
const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

/** The page's blocks of JavaScript, written where they find the packages of this checkout. */
function recipe(): readonly string[] {
  const page = readFileSync(join(root, "docs/recipes/webhooks.md"), "utf8");
  const folder = join(root, "node_modules/.cache");
  mkdirSync(folder, { recursive: true });
  const own = mkdtempSync(join(folder, "recipe-"));
  closers.push(() => rmSync(own, { recursive: true }));
  return [...page.matchAll(/^```js\n(.*?)^```/gms)].map(([, code = ""], index) => {
    const file = join(own, `block-${index}.mjs`);
    writeFileSync(file, code);
    return file;
  });
}

async function startLive(handler: string, more: Record<string, unknown>): Promise<Awaited<ReturnType<typeof startSluice>>> {
  const sluice = await startSluice({
    config: {
      streams: { live: { source: "push://" } },
      triggers: { USER_NEW: [{ handler, sync: true, format: "json", onfail: "deny", ...more }] },
    },
  });
  closers.push(() => sluice[Symbol.asyncDispose]());
  const encoder: Child = startEncoder(sluice.rtmp("live/live"));
  closers.push(() => encoder.stop());
  const plays = async (): Promise<boolean> => JSON.stringify(await sluice.api({ active_streams: true })).includes('"live"');
  await until(plays);
  return sluice;
}

async function until(what: () => Promise<boolean>): Promise<void> {
  while (!(await what())) await new Promise((resolve) => setTimeout(resolve, 100));
}

describe("the recipe of a handler on the web", () => {
  it("decides, checks signatures, and fails closed when they are wrong", async () => {
    const [handler = "", checker = ""] = recipe();
    expect(readFileSync(handler, "utf8").trim().split("\n").length).toBeLessThanOrEqual(22);
    const port = await freePort();
    const child = startChild(process.execPath, [handler], { env: { ...process.env, SLUICE_SECRET: secret, PORT: String(port) } });
    closers.push(() => child.stop());
    await child.printed(/ready/);
    const sluice = await startLive(`http://127.0.0.1:${port}/`, { secret: [wrongSecret, secret] });
    const viewer = await view(sluice.http("live.flv?user=ann&tkn=a"));
    expect(viewer.status).toBe(200);
    await viewer.atLeast(50_000);
    viewer[Symbol.dispose]();
    expect(await get(sluice.http("live.flv?user=bob&tkn=b"))).toMatchObject({
      status: 403,
      text: expect.stringContaining("please subscribe first"),
    });

    const shown = JSON.stringify(await sluice.api({ config: true }));
    expect(shown).toContain("whsec_(hidden-");
    expect(shown).not.toContain(secret);
    const config = ((await sluice.api({ config: true })) as { config: { triggers: { USER_NEW: [{ secret: string[] }] } } }).config.triggers;
    const entry = { ...config.USER_NEW[0], secret: config.USER_NEW[0].secret[0] };
    await sluice.api({ config: { triggers: { USER_NEW: [entry] } } });
    expect((await get(sluice.http("live.flv?user=ann&tkn=c"))).status).toBe(403);

    const { verified } = (await import(checker)) as { verified: (headers: object, body: string, secret: string) => boolean };
    const headers = { "webhook-id": "m1", "webhook-timestamp": String(Math.floor(Date.now() / 1000)) };
    const signed = { ...headers, "webhook-signature": `v1,other ${new Webhook(secret).sign("m1", new Date(), "{}")}` };
    expect([verified(signed, "{}", secret), verified(signed, "{ }", secret), verified(signed, "{}", wrongSecret)]).toEqual([
      true,
      false,
      false,
    ]);
  });
});

describe("a yes of two seconds", () => {
  it("with staleFor keeps a viewer without a gap, though each answer takes three; a no ends it", async () => {
    let calls = 0;
    let paid = true;
    const asked: (() => void)[] = [];
    const server = createServer(async (request, response) => {
      await text(request);
      calls++;
      for (const look of asked) look();
      if (calls > 1 && paid) await new Promise((resolve) => setTimeout(resolve, 3000));
      const answer = paid ? { decision: "allow", ttl: "2s", staleFor: "20s" } : { decision: "deny", reason: "not paid any more" };
      response.end(JSON.stringify(answer));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    closers.push(() => server.close());
    closers.push(() => server.closeAllConnections());
    const reached = (count: number): Promise<void> =>
      new Promise((resolve) => {
        const look = (): void => {
          if (calls >= count) resolve();
        };
        asked.push(look);
        look();
      });
    const sluice = await startLive(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`, {});
    const viewer = await view(sluice.http("live.flv?tkn=a"));
    let ended = false;
    void viewer.closed.then(() => (ended = true));
    await viewer.atLeast(10_000);
    await reached(3);
    // Two answers were fetched meanwhile; had the viewer waited for one, there would be a gap of three seconds.
    expect([ended, viewer.longestGapMs() < 2500]).toEqual([false, true]);
    paid = false;
    await viewer.closed;
    expect((await get(sluice.http("live.flv?tkn=a"))).text).toContain("not paid any more");
  });
});
