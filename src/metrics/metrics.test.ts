import { describe, expect, it } from "vitest";
import { join, startApi } from "../../test/support/api-server.ts";
import { settle } from "../../test/support/fake-clock.ts";
import { parsePrometheus, scraped } from "../../test/support/prometheus-text.ts";
import { viewer } from "../../test/support/trigger-bus.ts";
import { allow } from "../base/decision.ts";
import { createMetrics } from "./metrics.ts";
import { type MetricDefinition, metrics as table } from "./table.ts";

const rows = Object.entries(table as Readonly<Record<string, MetricDefinition>>);
describe("the metrics' text", () => {
  it("has each row of the table once, with its type, help and labels", async () => {
    await using api = await startApi({ streams: { live: {} }, config: { limits: { one: { by: "stream", sessions: 1 } } } });
    using watching = await join(api.sessions, { stream: "live" });
    watching.count(1, 0);
    api.triggers.on("USER_NEW", () => allow());
    await api.triggers.fire("USER_NEW", viewer);
    const read = parsePrometheus(await api.parts.metrics.text());
    expect([...read.keys()]).toEqual(rows.map(([name]) => name));
    for (const [name, { type, help, labels = [] }] of rows) {
      const metric = read.get(name);
      expect([name, metric?.type, metric?.help]).toEqual([name, type, help]);
      expect([name, metric?.samples.length]).not.toEqual([name, 0]);
      for (const sample of metric?.samples ?? []) expect(Object.keys(sample.labels).toSorted()).toEqual([...labels].toSorted());
    }
  });

  it("escapes what stands in labels", async () => {
    await using api = await startApi();
    const nasty = 'a"b\\c\nd{e="f"} 1';
    api.triggers.on(
      "USER_NEW",
      Object.defineProperty(() => true, "name", { value: nasty }),
    );
    const read = parsePrometheus(await api.parts.metrics.text());
    expect(scraped(read, "sluice_handler_calls_in_flight", { handler: `function "${nasty}"` })).toBe(0);
  });

  it("tells handlers apart that differ in what is secret, and shows no secret", async () => {
    await using api = await startApi();
    api.triggers.configure({
      USER_NEW: ["one", "two"].map((key) => ({ handler: `http://user:word@127.0.0.1:9/hook?key=${key}-secret`, sync: true })),
    });
    const text = await api.parts.metrics.text();
    const { samples = [] } = parsePrometheus(text).get("sluice_handler_breaker_state") ?? {};
    expect(samples.map(({ labels, value }) => [labels["handler"], value])).toEqual([
      ["http://127.0.0.1:9/hook", 0],
      ["http://127.0.0.1:9/hook", 0],
    ]);
    expect(new Set(samples.map(({ labels }) => labels["id"])).size).toBe(2);
    expect(text).not.toMatch(/secret|word@/);
  });

  it("counts sessions and their bytes, and goes on counting when a stream has gone", async () => {
    await using api = await startApi();
    const scrape = async () => parsePrometheus(await api.parts.metrics.text());
    const publisher = await join(api.sessions, { stream: "live", type: "input", protocol: "INPUT:RTMP" });
    const watching = await join(api.sessions, { stream: "live", protocol: "FLV" });
    using other = await join(api.sessions, { stream: "live", token: "u" });
    publisher.count(0, 900);
    watching.count(500, 7);
    await api.clock.advance(3000);
    const now = await scrape();
    const of = (name: string, labels: Readonly<Record<string, string>>, from = now) => scraped(from, name, labels);
    expect(["viewers", "incoming", "outgoing", "unspecified", "cached"].map((sessType) => of("mist_sessions_total", { sessType }))).toEqual(
      [2, 1, 0, 0, 3],
    );
    expect(of("mist_sessions", { stream: "live", sessType: "viewers" })).toBe(2);
    expect([of("mist_outputs", { output: "FLV" }), of("mist_outputs", { output: "HLS" })]).toEqual([1, 1]);
    expect([of("mist_bw", { stream: "live", direction: "up" }), of("mist_bw", { stream: "live", direction: "down" })]).toEqual([500, 907]);
    expect([of("mist_viewcount", { stream: "live" }), of("mist_viewseconds", { stream: "live" })]).toEqual([2, 8]);

    for (const one of [publisher, watching, other]) one[Symbol.dispose]();
    await api.clock.advance(20_000);
    const later = await scrape();
    expect(of("mist_viewcount", { stream: "live" }, later)).toBeUndefined();
    expect(of("mist_sessions_total", { sessType: "viewers" }, later)).toBe(0);
    expect(of("mist_sessions_total", { sessType: "cached" }, later)).toBe(3);
    expect(of("mist_sessions_count", { sessType: "viewers" }, later)).toBe(2);
    expect([of("mist_bw_total", { direction: "up" }, later), of("mist_bw_total", { direction: "down" }, later)]).toEqual([500, 907]);
    expect(of("mist_viewseconds_total", {}, later)).toBeGreaterThanOrEqual(8);

    using again = await join(api.sessions, { stream: "live" });
    again.count(11, 0);
    const anew = await scrape();
    expect([of("mist_bw", { stream: "live", direction: "up" }, anew), of("mist_bw_total", { direction: "up" }, anew)]).toEqual([11, 511]);
  });

  it("follows calls of handlers and the outbox", async () => {
    await using api = await startApi();
    const { promise, resolve } = Promise.withResolvers<boolean>();
    api.triggers.on("USER_NEW", async () => await promise, { maxCalls: 1 });
    const calls = [1, 2, 3].map(() => api.triggers.fire("USER_NEW", viewer));
    await settle();
    api.outbox.deliverBy(() => Promise.reject(new Error("not now")));
    const letter = {
      trigger: "STREAM_END",
      handler: "http://127.0.0.1:9/",
      orderKey: "k",
      payload: "{}",
      uuid: "u",
      createdAt: api.clock.now(),
    } as const;
    await api.outbox.send(letter);
    await settle();
    const read = parsePrometheus(await api.parts.metrics.text());
    const trigger = "USER_NEW";
    expect([
      scraped(read, "sluice_handler_calls_in_flight", { trigger }),
      scraped(read, "sluice_handler_calls_waiting", { trigger }),
      scraped(read, "mist_trigger_count", { trigger }),
      scraped(read, "sluice_outbox_pending"),
      scraped(read, "sluice_outbox_dead"),
      scraped(read, "sluice_outbox_failed_attempts_total"),
    ]).toEqual([1, 2, 3, 0, 1, 1]);
    resolve(true);
    await Promise.all(calls);
  });

  it("is the server's own: two in one process share nothing, and scrapes at the same time agree", async () => {
    await using one = await startApi({ streams: { live: {} } });
    using two = createMetrics({
      ...one.parts,
      directory: { list: () => [] },
      version: "2",
      serverId: () => "other",
      bandwidthLimit: () => 1,
      logLines: () => 0,
    });
    const [first, second, other] = await Promise.all([one.parts.metrics.text(), one.parts.metrics.text(), two.text()]);
    const ready = [first, second, other].map((text) => scraped(parsePrometheus(text), "sluice_streams", { state: "ready" }));
    expect(ready).toEqual([1, 1, 0]);
    expect(scraped(parsePrometheus(other), "sluice_info", { version: "2", serverid: "other" })).toBe(1);
  });
});
