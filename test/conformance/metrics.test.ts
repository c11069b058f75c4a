import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { parsePrometheus, scraped } from "../support/prometheus-text.ts";
import { publishSample } from "../support/rtmp-publisher.ts";
import { startSluice } from "../support/sluice.ts";
import { startTriggerServer } from "../support/trigger-server.ts";
import { get, view } from "../support/viewer.ts";

/** Why the text cannot be held against Prometheus' own checker; undefined when it can. */
const promtoolMissing =
  spawnSync("promtool", ["--version"]).status === 0 ? undefined : "promtool (scripts/setup.mjs takes it from Debian's prometheus)";

describe("GET /metrics of a running server", () => {
  describe.skipIf(promtoolMissing)(promtoolMissing ?? "promtool", () => {
    /** MistServer's own names and labels, which charts of its operators are made of. */
    const kept =
      /^mist_\w+ (label names should be written in 'snake_case'|non-counter metrics should not have "_total" suffix|counter metrics should have "_total" suffix|non-histogram and non-summary metrics should not have "_count" suffix)/;

    it("finds nothing to say against the text but MistServer's names", async () => {
      await using sluice = await startSluice({ config: { streams: { live: "push://" }, triggers: {} } });
      await sluice.api({ config: { prometheus: "numbers" } });
      const publisher = await publishSample(sluice.ports.rtmp, "live");
      using watching = await view(sluice.http("live.flv"));
      await watching.atLeast(20_000);
      for (const path of ["metrics", "numbers"]) {
        const { text } = await get(`http://127.0.0.1:${sluice.ports.api}/${path}`);
        expect(text).toContain('mist_sessions{stream="live",sessType="viewers"} 1');
        const { status, stdout, stderr } = spawnSync("promtool", ["check", "metrics"], { input: text, encoding: "utf8" });
        const lines = `${stdout}${stderr}`.split("\n").filter((line) => line !== "");
        expect(lines.filter((line) => !kept.test(line))).toEqual([]);
        // 3: the text is right, and there are remarks on style.
        expect(status).toBe(lines.length === 0 ? 0 : 3);
        const broken = spawnSync("promtool", ["check", "metrics"], {
          input: `${text}sluice_info{version="1 1\n`,
          encoding: "utf8",
        });
        expect(broken.status).toBe(1);
      }
      publisher.socket.destroy();
    });
  });

  it("has MistServer's JSON form for load balancers, open to all, with where to watch", async () => {
    await using sluice = await startSluice({ config: { streams: { live: "push://" }, triggers: {} } });
    await sluice.api({ config: { prometheus: "numbers" } });
    const publisher = await publishSample(sluice.ports.rtmp, "live");
    using watching = await view(sluice.http("live.flv"));
    await watching.atLeast(20_000);
    const { text, headers } = await get(`http://127.0.0.1:${sluice.ports.api}/numbers.json`, { "X-Forwarded-For": "203.0.113.9" });
    expect(headers.get("content-type")).toBe("application/json");
    const report = JSON.parse(text) as Record<string, Record<string, unknown>>;
    expect(report).toMatchObject({
      curr: [1, 1, 0, 0, 2],
      streams: { live: { curr: [1, 1, 0, 0] } },
      output_counts: { FLV: 1 },
      conf_streams: ["live"],
    });
    expect(report["outputs"]).toMatchObject({
      FLV: `http://HOST:${sluice.ports.http}/$.flv`,
      HLS: `http://HOST:${sluice.ports.http}/hls/$/index.m3u8`,
      RTMP: `rtmp://HOST:${sluice.ports.rtmp}/play/$`,
    });
    publisher.socket.destroy();
  });

  it("has the right numbers of a push, a viewer and a handler that fails until its breaker opens", async () => {
    let works = true;
    await using handler = await startTriggerServer(() => (works ? "true" : { status: 500, body: "" }));
    const entry = { handler: `${handler.url}hook?key=secret`, sync: true, breaker: { failures: 3, pauseMs: 60_000 } };
    await using sluice = await startSluice({ config: { streams: { live: "push://" }, triggers: { USER_NEW: [entry] } } });
    const api = `http://127.0.0.1:${sluice.ports.api}`;
    const scrape = async (path = "/metrics") => parsePrometheus((await get(`${api}${path}`)).text);

    const publisher = await publishSample(sluice.ports.rtmp, "live");
    using watching = await view(sluice.http("live.flv?tkn=anna"));
    await watching.atLeast(20_000);
    works = false;
    for (const token of ["bert", "carl", "dora", "emil"]) expect((await get(sluice.http(`live.flv?tkn=${token}`))).status).toBe(403);

    const read = await scrape();
    const trigger = "USER_NEW";
    expect({
      viewers: scraped(read, "mist_sessions_total", { sessType: "viewers" }),
      incoming: scraped(read, "mist_sessions", { stream: "live", sessType: "incoming" }),
      views: scraped(read, "mist_viewcount", { stream: "live" }),
      flv: scraped(read, "mist_outputs", { output: "FLV" }),
      ready: scraped(read, "sluice_streams", { state: "ready" }),
      asked: scraped(read, "mist_trigger_count", { trigger }),
      failed: scraped(read, "mist_trigger_fails", { trigger }),
      breaker: scraped(read, "sluice_handler_breaker_state", { trigger, handler: `${handler.url}hook` }),
      inFlight: scraped(read, "sluice_handler_calls_in_flight", { trigger }),
    }).toEqual({ viewers: 1, incoming: 1, views: 1, flv: 1, ready: 1, asked: 5, failed: 4, breaker: 2, inFlight: 0 });
    expect(handler.calls).toHaveLength(4);
    expect(scraped(read, "mist_bw_total", { direction: "up" })).toBeGreaterThanOrEqual(20_000);
    expect(scraped(read, "mist_bw", { stream: "live", direction: "down" })).toBeGreaterThanOrEqual(20_000);
    expect(scraped(read, "mist_trigger_time", { trigger })).toBeGreaterThan(0);
    expect(scraped(read, "process_resident_memory_bytes")).toBeGreaterThan(10_000_000);
    expect(scraped(read, "process_cpu_seconds_total")).toBeGreaterThan(0);
    expect(scraped(read, "sluice_event_loop_delay_seconds", { percentile: "99" })).toBeLessThan(60);

    await sluice.api({ config: { prometheus: "numbers" } });
    expect(scraped(await scrape("/numbers"), "mist_viewcount", { stream: "live" })).toBe(1);
    publisher.socket.destroy();
    await expect.poll(async () => scraped(await scrape(), "mist_sessions_total", { sessType: "incoming" })).toBe(0);
  });
});
