import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { SignJWT } from "jose";
import { describe, expect, it } from "vitest";
import { publishSample } from "../support/rtmp-publisher.ts";
import { startSluice } from "../support/sluice.ts";
import { root } from "../support/source-files.ts";
import { get, view } from "../support/viewer.ts";

const recipe = (name: string): string => /^```ts\n(.*?)^```/ms.exec(readFileSync(join(root, `docs/recipes/${name}.md`), "utf8"))?.[1] ?? "";

describe("the recipe of JWTs", () => {
  it("lets in who has a token of the site, to push and to watch, and nobody else; the end of the token is the end of watching", async () => {
    const key = randomBytes(32);
    const sign = (end: string): Promise<string> =>
      new SignJWT({ sub: "live" }).setProtectedHeader({ alg: "HS256", kid: "site" }).setExpirationTime(end).sign(key);
    await using sluice = await startSluice({ config: recipe("jwt"), environment: { SITE_KEY: key.toString("base64url") } });
    const token = await sign("5m");
    const publisher = await publishSample(sluice.ports.rtmp, token);
    await expect.poll(async () => (await get(sluice.http(`json_live.js?jwt=${token}`))).text, { timeout: 20_000 }).toContain("H264");

    expect([(await get(sluice.http("live.flv"))).status, (await get(sluice.http("live.flv"))).text]).toEqual([
      403,
      expect.stringContaining("This stream needs a token."),
    ]);
    expect((await get(sluice.http(`live.flv?jwt=${await sign("1s ago")}`))).text).toContain("The token has expired.");
    using viewer = await view(sluice.http(`live.flv?jwt=${token}`));
    expect(viewer.status).toBe(200);
    await viewer.atLeast(10_000);

    const begun = Date.now();
    using brief = await view(sluice.http(`live.flv?jwt=${await sign("3s")}`));
    expect(brief.status).toBe(200);
    await brief.closed;
    expect(Date.now() - begun).toBeGreaterThan(1_500);
    // Who has more time stays.
    expect(await Promise.race([viewer.closed.then(() => "ended"), Promise.resolve("watches")])).toBe("watches");
    publisher.socket.destroy();
    expect(sluice.child.stderr()).not.toContain(token.slice(-20));
  });
});

describe("the recipe of stream keys", () => {
  it("takes pushes by key alone, and what REST makes and takes away", async () => {
    await using sluice = await startSluice({ config: recipe("stream-keys") });
    const ann = await publishSample(sluice.ports.rtmp, "k7mqx2vbw9fhnp3dy6cztr8e");
    await expect.poll(async () => (await get(sluice.http("json_live+ann.js"))).text, { timeout: 20_000 }).toContain("H264");
    await expect(publishSample(sluice.ports.rtmp, "live")).rejects.toThrow();

    const rest = async (method: string, path: string, body?: object): Promise<{ status: number; json: Record<string, unknown> }> => {
      const response = await fetch(`http://127.0.0.1:${sluice.ports.api}/api/v1${path}`, {
        method,
        ...(body && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
      });
      const text = await response.text();
      return { status: response.status, json: text === "" ? {} : (JSON.parse(text) as Record<string, unknown>) };
    };
    const made = await rest("POST", "/stream-keys", { stream: "live+cleo" });
    expect(made).toEqual({ status: 201, json: { id: expect.any(String), key: expect.any(String), stream: "live+cleo" } });
    const cleo = await publishSample(sluice.ports.rtmp, String(made.json["key"]));
    await expect.poll(async () => (await get(sluice.http("json_live+cleo.js"))).text, { timeout: 20_000 }).toContain("H264");
    const { json } = await rest("GET", "/stream-keys");
    expect(json["keys"]).toHaveLength(3);
    expect(JSON.stringify(json)).not.toContain("k7mqx");
    const closed = new Promise((resolve) => cleo.socket.once("close", resolve));
    expect((await rest("DELETE", `/stream-keys/${String(made.json["id"])}`)).status).toBe(204);
    await closed;
    expect(ann.socket.destroyed).toBe(false);
    ann.socket.destroy();
    expect(sluice.child.stderr()).not.toMatch(/k7mqx2vbw9|p4zt8rwn2c/);
    expect(sluice.child.stderr()).not.toContain(made.json["key"]);
  });
});
