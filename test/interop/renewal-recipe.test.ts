import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { startEncoder } from "../support/encoder.ts";
import { publishSample } from "../support/rtmp-publisher.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";
import { root } from "../support/source-files.ts";
import { get, view } from "../support/viewer.ts";

const config = /^```ts\n(.*?)^```/ms.exec(readFileSync(join(root, "docs/recipes/renewal.md"), "utf8"))?.[1] ?? "";
const key = "a key for this test";
const pass = (user: string, seconds: number): string => {
  const text = `${user}.${Math.floor(Date.now() / 1000) + seconds}`;
  return `${text}.${createHmac("sha256", key).update(text).digest("base64url")}`;
};
const playing = async (sluice: Sluice): Promise<void> => {
  const url = sluice.http(`json_live.js?tkn=${pass("someone", 60)}`);
  await expect.poll(async () => (await get(url)).text, { timeout: 20_000 }).toContain("H264");
};

describe("the recipe of renewal", () => {
  it("lets watch until the pass ends, and on when a new one was brought", async () => {
    await using sluice = await startSluice({ config, environment: { PASS_KEY: key } });
    await using encoder = startEncoder(sluice.rtmp("live/live"));
    await encoder.printed(/frame=/);
    await playing(sluice);

    expect((await get(sluice.http("live.flv?tkn=ann.1.x"))).text).toContain("This pass is not good.");
    expect((await get(sluice.http(`live.flv?tkn=${pass("ann", -5)}`))).text).toContain("The permission to watch has ended.");

    const [first, second] = [pass("ann", 5), pass("ben", 5)];
    using ann = await view(sluice.http(`live.flv?tkn=${first}`));
    using ben = await view(sluice.http(`live.flv?tkn=${second}`));
    expect([ann.status, ben.status]).toEqual([200, 200]);
    const renewed = await fetch(sluice.http("session/renew"), {
      method: "POST",
      body: new URLSearchParams({ stream: "live", was: first, token: pass("ann", 60) }),
    });
    expect([renewed.status, await renewed.json()]).toEqual([
      200,
      { sessionId: expect.any(String), expiresAt: expect.stringMatching(/^2/) },
    ]);

    await ben.closed;
    const seen = ann.received();
    await ann.atLeast(seen + 10_000);
  });

  it("keeps the session of a viewer whose address changes; the access log has one line with both", async () => {
    await using sluice = await startSluice({
      config: config.replace("streams:", 'accesslog: "access.log", sessionIdentity: "stream, token, ip/24",\n  streams:'),
      environment: { PASS_KEY: key },
    });
    const publisher = await publishSample(sluice.ports.rtmp, "live");
    await playing(sluice);
    const url = sluice.http(`live.flv?tkn=${pass("ann", 60)}`);
    using first = await view(url, { "x-forwarded-for": "203.0.113.5" });
    await first.atLeast(1_000);
    using second = await view(url, { "x-forwarded-for": "198.51.100.9" });
    await second.atLeast(1_000);
    await sluice.api({ stop_sessions: { "": "FLV" } });
    await Promise.all([first.closed, second.closed]);
    const line = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d, [0-9a-f]{64}, live, FLV, 198\.51\.100\.9,203\.0\.113\.5, \d+, \d+, 0, $/gm;
    const log = (): string => readFileSync(join(sluice.folder, "access.log"), "utf8");
    await expect.poll(() => log().match(line)?.length, { timeout: 5_000 }).toBe(1);
    publisher.socket.destroy();
  });
});
