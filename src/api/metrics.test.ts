import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { startApi } from "../../test/support/api-server.ts";

const foreign = { "X-Forwarded-For": "203.0.113.9" };
const account = { admin: { password: createHash("md5").update("word").digest("hex") } };
const basic = (pair: string) => ({ ...foreign, Authorization: `Basic ${Buffer.from(pair).toString("base64")}` });
const get = (path: string, headers = {}) => ({ method: "GET", path, headers });

describe("GET /metrics", () => {
  it("is there for this machine, and for an account", async () => {
    await using api = await startApi({ config: { account } });
    const local = await api.ask(get("/metrics"));
    expect([local.status, local.headers["content-type"]]).toEqual([200, "text/plain; version=0.0.4; charset=utf-8"]);
    expect(local.text).toContain('\nmist_sessions_total{sessType="viewers"} 0\n');
    expect(local.headers["access-control-allow-origin"]).toBeUndefined();
    expect(await api.ask(get("/metrics", foreign))).toMatchObject({
      status: 401,
      headers: { "www-authenticate": expect.stringMatching(/^Basic/) },
    });
    expect((await api.ask(get("/metrics", basic("admin:wrong")))).status).toBe(401);
    expect(await api.ask(get("/metrics", basic("admin:word")))).toMatchObject({
      status: 200,
      text: expect.stringContaining("sluice_info"),
    });
  });

  it("is open to everybody under the path that MistServer's `prometheus` says, as long as it does", async () => {
    await using api = await startApi();
    const open = async (path: string) => (await api.ask(get(path, foreign))).text.startsWith("# HELP");
    expect(await open("/numbers")).toBe(false);
    await api.call({ config: { prometheus: "numbers" } });
    expect([await open("/numbers"), await open("/numbers2"), await open("/metrics")]).toEqual([true, false, false]);
    await api.call({ config: { prometheus: "metrics" } });
    expect([await open("/numbers"), await open("/metrics")]).toEqual([false, true]);
    await api.call({ config: { prometheus: "" } });
    expect([await open("/"), await open("/metrics")]).toEqual([false, false]);
  });

  it("cannot hide the API", async () => {
    await using api = await startApi();
    for (const prometheus of ["api", "api2", "healthz", "api/v1/triggers", "/"]) {
      await api.call({ config: { prometheus } });
      expect((await api.ask(get(`/${prometheus}`, foreign))).text).not.toContain("# HELP");
    }
  });
});
