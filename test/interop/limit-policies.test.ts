import { afterEach, describe, expect, it } from "vitest";
import { pageUntil, startBrowser } from "../support/browser.ts";
import { startEncoder } from "../support/encoder.ts";
import { readEvents } from "../support/event-reader.ts";
import { playWithFfmpeg } from "../support/player.ts";
import { parsePrometheus, scraped } from "../support/prometheus-text.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";
import { get, type HttpViewer, view } from "../support/viewer.ts";

type Counter = { readonly key: string; readonly used: number; readonly closed: boolean };

const viewers: HttpViewer[] = [];
afterEach(() => {
  for (const viewer of viewers.splice(0)) viewer[Symbol.dispose]();
});
/** A viewer that goes when its test is over. */
async function watch(url: string): Promise<HttpViewer> {
  const viewer = await view(url);
  viewers.push(viewer);
  return viewer;
}

async function counters(sluice: Sluice, name: string): Promise<readonly Counter[]> {
  const response = await fetch(`http://127.0.0.1:${sluice.ports.api}/api/v1/limits/${name}`);
  return ((await response.json()) as { counters: Counter[] }).counters;
}

async function stop(sluice: Sluice, tokens: readonly string[]): Promise<unknown> {
  const body = JSON.stringify({ tokens });
  const init = { method: "POST", headers: { "Content-Type": "application/json" }, body };
  return await (await fetch(`http://127.0.0.1:${sluice.ports.api}/api/v1/sessions/stop`, init)).json();
}

/** Waits without beginning a session, as a question about the stream would. */
async function plays(sluice: Sluice, ...streams: readonly string[]): Promise<void> {
  const online = async (): Promise<string> => JSON.stringify(await sluice.api({ active_streams: ["status"] }));
  for (const stream of streams) await expect.poll(online, { timeout: 30_000 }).toMatch(new RegExp(`"${stream}":\\[?"Online`));
}

describe("viewerLimit", () => {
  it("lets exactly 2 of 20 in who race for 2 places; the next one as soon as one is stopped, or 15 s after one has left", async () => {
    const policies = [{ use: "viewerLimit", viewers: 2, streams: ["live"] }];
    await using sluice = await startSluice({ config: { streams: { live: "push://", other: "push://" }, policies } });
    await using encoder = startEncoder(sluice.rtmp("live/live"));
    await using beside = startEncoder(sluice.rtmp("live/other"));
    await plays(sluice, "live", "other");
    const all = await Promise.all(
      Array.from({ length: 20 }, async (_, at) => ({ token: `v${at}`, viewer: await watch(sluice.http(`live.flv?tkn=v${at}`)) })),
    );
    const inside = all.filter(({ viewer }) => viewer.status === 200);
    const outside = all.filter(({ viewer }) => viewer.status === 503);
    expect([inside.length, outside.length]).toEqual([2, 18]);
    expect(new Set(outside.map(({ viewer }) => viewer.headers["retry-after"]))).toEqual(new Set(["10"]));
    await Promise.all(inside.map(({ viewer }) => viewer.atLeast(20_000)));
    // Every protocol has the same door, and other streams are as open as before.
    const refusedRtmp = await playWithFfmpeg(sluice.rtmp("play/live"), 1);
    expect(refusedRtmp.videoFrames).toBe(0);
    expect((await get(sluice.http("hls/live/index.m3u8?tkn=h"))).status).toBe(503);
    expect((await watch(sluice.http("other.flv?tkn=o"))).status).toBe(200);

    expect(await stop(sluice, [inside[0]?.token ?? ""])).toEqual({ sessions: 1 });
    await inside[0]?.viewer.closed;
    const next = await watch(sluice.http("live.flv?tkn=next"));
    expect([next.status, (await watch(sluice.http("live.flv?tkn=more"))).status]).toEqual([200, 503]);

    inside[1]?.viewer[Symbol.dispose]();
    expect((await get(sluice.http("live.flv?tkn=more"))).status).toBe(503);
    const last = async (): Promise<number> => (await watch(sluice.http("live.flv?tkn=last"))).status;
    await expect.poll(last, { timeout: 25_000, interval: 500 }).toBe(200);
    expect(next.longestGapMs()).toBeLessThan(5000);
    void [encoder, beside];
  });

  it("counts each user that USER_NEW names, ends the oldest, and sends to another stream who comes too late", async () => {
    const config = `import { allow, defineConfig, viewerLimit } from "sluice";
      export default defineConfig({
        streams: { live: "push://", slate: "push://" },
        policies: [
          viewerLimit({ name: "user", viewers: 1, by: "user", streams: ["live"], onReached: "end-oldest", reason: "one screen" }),
          viewerLimit({ name: "hall", viewers: 2, streams: ["live"], onReached: { fallback: "slate" } }),
        ],
        triggers: { USER_NEW: ({ query }) => allow({ user: query.user ?? "" }) },
      });`;
    await using sluice = await startSluice({ config });
    await using live = startEncoder(sluice.rtmp("live/live"), { size: "320x180" });
    await using slate = startEncoder(sluice.rtmp("live/slate"), { size: "160x90" });
    await plays(sluice, "live", "slate");
    const url = (user: string, token: string) => sluice.http(`live.flv?user=${user}&tkn=${token}`);
    const first = await watch(url("ann", "1"));
    const ben = await watch(url("ben", "2"));
    await Promise.all([first.atLeast(10_000), ben.atLeast(10_000)]);
    const second = await watch(url("ann", "3"));
    expect(second.status).toBe(200);
    await first.closed;
    await second.atLeast(10_000);
    expect((await get(url("ann", "1"))).text).toContain("one screen");
    expect(await counters(sluice, "user")).toEqual([
      expect.objectContaining({ key: "ann", used: 1 }),
      expect.objectContaining({ key: "ben", used: 1 }),
    ]);
    const late = await playWithFfmpeg(url("carl", "4"), 1);
    expect(late.output).toMatch(/Video: h264.*160x90/);
    expect(await counters(sluice, "hall")).toEqual([expect.objectContaining({ key: "live", used: 2, closed: true })]);
    expect(ben.longestGapMs()).toBeLessThan(5000);
    void [live, slate];
  });

  it("makes the player page say why, wait as long as Retry-After says, and play when there is room", async () => {
    const policies = [{ use: "viewerLimit", viewers: 1, streams: ["live"], reason: "The room is full.", retryAfter: "2s" }];
    await using sluice = await startSluice({ config: { streams: { live: "push://" }, policies } });
    await using encoder = startEncoder(sluice.rtmp("live/live"));
    await plays(sluice, "live");
    const inside = await watch(sluice.http("live.flv?tkn=first"));
    await inside.atLeast(10_000);
    await using browser = await startBrowser();
    const tab = await browser.newPage();
    const asked: number[] = [];
    tab.on("response", (response) => {
      if (response.url().includes("json_live.js") && response.status() === 503) asked.push(performance.now());
    });
    await tab.goto(sluice.http("live.html"));
    await pageUntil(tab, 'window.sluice.state === "full"');
    expect(await tab.innerText("#notice")).toMatch(
      /Full at the moment\s+The room is full\. \(decision \w+\)\s+Trying again in [123] s…\s+Try again/,
    );
    await expect.poll(() => asked.length, { timeout: 20_000 }).toBeGreaterThanOrEqual(3);
    for (const [at, when] of asked.entries()) if (at > 0) expect(when - (asked[at - 1] ?? 0)).toBeGreaterThan(1900);
    expect(await stop(sluice, ["first"])).toEqual({ sessions: 1 });
    await pageUntil(tab, 'window.sluice.state === "playing" && document.querySelector("video").currentTime > 1');
    expect((await get(sluice.http("live.flv?tkn=other"))).status).toBe(503);
    void encoder;
  });
});

describe("bandwidthLimit", () => {
  it("refuses over the limit, and lets in again below the safe mark and not before", async () => {
    const policies = [{ use: "bandwidthLimit", egress: "2M", safe: 0.8, reason: "the line is full" }];
    await using sluice = await startSluice({ config: { streams: { live: "push://" }, policies } });
    await using encoder = startEncoder(sluice.rtmp("live/live"), { rate: "500k", size: "640x360" });
    await plays(sluice, "live");
    const rate = async (): Promise<number> => {
      const metrics = parsePrometheus((await get(`http://127.0.0.1:${sluice.ports.api}/metrics`)).text);
      return (scraped(metrics, "sluice_stream_input_bytes_per_second", { stream: "live" }) ?? 0) * 8;
    };
    // The rate of the stream is known after some seconds of it.
    await expect.poll(rate, { timeout: 20_000, interval: 250 }).toBeGreaterThan(400_000);
    const all = await Promise.all(Array.from({ length: 20 }, (_, at) => watch(sluice.http(`live.flv?tkn=v${at}`))));
    const inside = all.filter(({ status }) => status === 200);
    const outside = all.filter(({ status }) => status === 503);
    expect(inside.length).toBeGreaterThanOrEqual(2);
    expect(inside.length).toBeLessThanOrEqual(5);
    expect(inside.length + outside.length).toBe(20);
    await Promise.all(outside.map(({ closed }) => closed));
    expect(outside[0]?.start().toString()).toContain("the line is full");
    expect(outside[0]?.headers["retry-after"]).toBe("10");

    // Measured, it stays full while they watch: nobody slips in beside.
    await Promise.all(inside.map((viewer) => viewer.atLeast(viewer.received() + 400_000)));
    expect((await get(sluice.http("live.flv?tkn=late"))).status).toBe(503);
    expect(await counters(sluice, "bandwidthLimit")).toEqual([expect.objectContaining({ key: "server", closed: true })]);

    using events = await readEvents(`http://127.0.0.1:${sluice.ports.api}/api/v1/events?kinds=limit`);
    await events.until(({ event }) => event === "snapshot");
    for (const viewer of inside.slice(1)) viewer[Symbol.dispose]();
    const status = async (): Promise<number> => (await watch(sluice.http("live.flv?tkn=late"))).status;
    await expect.poll(status, { timeout: 25_000, interval: 250 }).toBe(200);
    await events.until((_, { type }) => type === "open");
    const [opened] = events.of("limit") as { type: string; limit: { used: number } }[];
    expect(opened).toMatchObject({ type: "open", limit: { name: "bandwidthLimit", most: 2_000_000 } });
    expect(opened?.limit.used).toBeLessThanOrEqual(1_600_000);
    expect(inside[0]?.longestGapMs()).toBeLessThan(5000);
    void encoder;
  });
});
