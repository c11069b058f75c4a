import { describe, expect, it } from "vitest";
import { publishSample } from "../support/rtmp-publisher.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";
import { get } from "../support/viewer.ts";

type Answer = { readonly status: number; readonly json: Record<string, unknown> };

async function rest(sluice: Sluice, method: string, path: string, body?: unknown): Promise<Answer> {
  const response = await fetch(`http://127.0.0.1:${sluice.ports.api}/api/v1${path}`, {
    method,
    ...(body !== undefined && { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } }),
  });
  const text = await response.text();
  return { status: response.status, json: text === "" ? {} : (JSON.parse(text) as Record<string, unknown>) };
}

async function listed(sluice: Sluice): Promise<Record<string, unknown>[]> {
  return ((await (await fetch(sluice.http("live.json"))).json()) as { streams: Record<string, unknown>[] }).streams;
}

describe("/api/v1/policies of a running server", () => {
  it("lists, shows, takes and takes away policies; they are in force with the answer, and survive kill -9", async () => {
    const config = `import { defineConfig, accessControl } from "sluice";
      export default defineConfig({
        streams: { live: "push://" },
        policies: [accessControl({ rules: [{ streams: ["closed"], deny: "closed" }, { allow: true }] })],
      });`;
    await using sluice = await startSluice({ config });
    const first = await publishSample(sluice.ports.rtmp, "live");
    await expect.poll(async () => (await listed(sluice)).length, { timeout: 20_000 }).toBe(1);
    expect((await rest(sluice, "GET", "/policies")).json["items"]).toMatchObject([
      { name: "accessControl", use: "accessControl", from: "file" },
    ]);

    const made = await rest(sluice, "PUT", "/policies/titles", { use: "liveDirectory", metadata: { live: { title: "One" } } });
    expect([made.status, made.json]).toEqual([
      200,
      { name: "titles", use: "liveDirectory", from: "api", options: { metadata: { live: { title: "One" } } } },
    ]);
    expect(await listed(sluice)).toMatchObject([{ name: "live", metadata: { title: "One" } }]);
    await rest(sluice, "PUT", "/policies/titles", { use: "liveDirectory", metadata: { live: { title: "Two" } } });
    expect(await listed(sluice)).toMatchObject([{ metadata: { title: "Two" } }]);

    const full = { use: "viewerLimit", viewers: 1, streams: ["live"], reason: "one at a time" };
    expect((await rest(sluice, "PUT", "/policies/one", full)).status).toBe(200);
    expect((await get(sluice.http("json_live.js?tkn=a"))).status).toBe(200);
    expect(await get(sluice.http("json_live.js?tkn=b"))).toMatchObject({ status: 503, text: expect.stringContaining("one at a time") });
    expect((await rest(sluice, "GET", "/limits/viewerLimit")).json).toMatchObject({ rule: { sessions: 1 }, refused: 1 });
    expect(await rest(sluice, "DELETE", "/limits/viewerLimit")).toMatchObject({
      status: 409,
      json: { detail: expect.stringContaining("take the policy out of force instead") },
    });
    expect((await rest(sluice, "GET", "/policies/one")).json).toMatchObject({ use: "viewerLimit", from: "api", options: { viewers: 1 } });

    await sluice.child.stop("SIGKILL");
    await using again = await sluice.again();
    const names = (answer: Answer): unknown => (answer.json["items"] as { name: string }[]).map(({ name }) => name);
    expect(names(await rest(again, "GET", "/policies"))).toEqual(["accessControl", "one", "titles"]);
    const second = await publishSample(again.ports.rtmp, "live");
    await expect.poll(async () => (await listed(again)).length, { timeout: 20_000 }).toBe(1);
    expect(await listed(again)).toMatchObject([{ metadata: { title: "Two" } }]);
    expect((await get(again.http("json_live.js?tkn=a"))).status).toBe(200);
    expect((await get(again.http("json_live.js?tkn=b"))).status).toBe(503);

    expect((await rest(again, "DELETE", "/policies/one")).status).toBe(204);
    expect((await get(again.http("json_live.js?tkn=b"))).status).toBe(200);
    expect((await rest(again, "DELETE", "/policies/titles")).status).toBe(204);
    expect((await listed(again))[0]).not.toHaveProperty("metadata");
    expect([(await rest(again, "DELETE", "/policies/one")).status, (await rest(again, "GET", "/policies/one")).status]).toEqual([404, 404]);
    expect(names(await rest(again, "GET", "/policies"))).toEqual(["accessControl"]);
    for (const { socket } of [first, second]) socket.destroy();
  });

  it("refuses what is wrong with 400 and the name of the option, and changes nothing; the file's policies are the file's", async () => {
    const config = `import { defineConfig, viewerLimit } from "sluice";
      export default defineConfig({ streams: { live: "push://" }, policies: [viewerLimit({ viewers: 5 })] });`;
    await using sluice = await startSluice({ config });
    for (const [body, words] of [
      [{ use: "viewerLimits", viewers: 1 }, 'did you mean "viewerLimit"?'],
      [{ viewers: 1 }, "use"],
      [{ use: "viewerLimit" }, "viewerLimit.viewers must be a whole number from 1 on"],
      [{ use: "viewerLimit", viewers: 1, safe: 2 }, "viewerLimit.safe must be a number from 0 to 1"],
      [{ use: "bandwidthLimit", egress: "quick" }, "bandwidthLimit.egress must be bits per second"],
      [{ use: "liveDirectory", order: "age" }, "liveDirectory.order must be one of"],
      [{ use: "liveDirectory", metadata: { live: "One" } }, "liveDirectory.metadata.live must be an object of JSON"],
      [{ use: "pushTokens", streams: "live" }, "pushTokens.streams must be a list"],
      [{ use: "viewTokens", nothing: 1 }, 'viewTokens has no option "nothing"'],
      [["viewerLimit"], ""],
    ] as const) {
      const { status, json } = await rest(sluice, "PUT", "/policies/wrong", body);
      expect([status, JSON.stringify(json)], JSON.stringify(body)).toEqual([
        400,
        expect.stringContaining(JSON.stringify(words).slice(1, -1)),
      ]);
    }
    expect(await rest(sluice, "PUT", "/policies/viewerLimit", { use: "viewerLimit", viewers: 1 })).toMatchObject({
      status: 409,
      json: { detail: expect.stringContaining("stands in the configuration's file") },
    });
    expect((await rest(sluice, "DELETE", "/policies/viewerLimit")).status).toBe(409);
    expect((await rest(sluice, "GET", "/policies")).json["items"]).toEqual([
      { name: "viewerLimit", use: "viewerLimit", from: "file", options: { viewers: 5 } },
    ]);
  });
});
