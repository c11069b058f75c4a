import { describe, expect, it } from "vitest";
import { parsePrometheus, scraped } from "../support/prometheus-text.ts";
import { publishSample } from "../support/rtmp-publisher.ts";
import { startSluice } from "../support/sluice.ts";
import { startTriggerServer } from "../support/trigger-server.ts";
import { get, view } from "../support/viewer.ts";

describe("GET /metrics of a running server", () => {
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
    expect(scraped(read, "sluice_event_loop_delay_seconds", { quantile: "0.99" })).toBeLessThan(60);

    await sluice.api({ config: { prometheus: "numbers" } });
    expect(scraped(await scrape("/numbers"), "mist_viewcount", { stream: "live" })).toBe(1);
    publisher.socket.destroy();
    await expect.poll(async () => scraped(await scrape(), "mist_sessions_total", { sessType: "incoming" })).toBe(0);
  });
});
