import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { join, startApi } from "../../test/support/api-server.ts";

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

  it("has the numbers as JSON beside it, for MistServer's load balancer", async () => {
    await using api = await startApi({
      config: { config: { prometheus: "numbers", location: { lat: 52, lon: 5, name: "here" } }, streams: { live: {} }, tags: ["edge"] },
      streams: { live: {} },
    });
    expect((await api.ask(get("/numbers2.json", foreign))).text).not.toContain("bwlimit");
    using viewer = await join(api.sessions, { stream: "live", protocol: "HLS" });
    viewer.count(700, 30);
    using publisher = await join(api.sessions, { stream: "live", type: "input", protocol: "INPUT:RTMP" });
    publisher.count(5, 900);
    await api.clock.advance(2000);
    const { json, headers } = await api.ask(get("/numbers.json", foreign));
    expect(headers["content-type"]).toBe("application/json");
    expect(Object.keys(json)).toEqual([
      ...["cpu", "mem_total", "mem_used", "shm_total", "shm_used", "logs", "curr", "tot", "st", "bw", "obw", "pkts", "bwlimit", "triggers"],
      ...["loc", "streams", "output_counts", "conf_streams", "tags", "outputs"],
    ]);
    expect(json).toMatchObject({
      curr: [1, 1, 0, 0, 2],
      tot: [1, 1, 0, 0],
      st: [expect.any(Number), expect.any(Number)],
      bw: [705, 930],
      obw: [0, 0],
      pkts: [0, 0, 0],
      bwlimit: 134_217_728,
      loc: { lat: 52, lon: 5, name: "here" },
      streams: { live: { tot: [1, 1, 0], bw: [705, 930], curr: [1, 1, 0, 0], pkts: [0, 0, 0] } },
      output_counts: { HLS: 1 },
      conf_streams: ["live"],
      tags: ["edge"],
    });
    const script = (await api.ask(get("/numbers.json?callback=seen", foreign))).text;
    expect(script).toMatch(/^seen\(\{"cpu":.*\}\);\n\n$/);
  });

  it("cannot hide the API", async () => {
    await using api = await startApi();
    for (const prometheus of ["api", "api2", "healthz", "api/v1/triggers", "/"]) {
      await api.call({ config: { prometheus } });
      expect((await api.ask(get(`/${prometheus}`, foreign))).text).not.toContain("# HELP");
    }
  });
});
