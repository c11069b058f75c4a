import { afterEach, describe, expect, it } from "vitest";
import { startChild } from "../support/child.ts";
import { startEncoder } from "../support/encoder.ts";
import { playWithFfmpeg } from "../support/player.ts";
import { parsePrometheus, scraped } from "../support/prometheus-text.ts";
import { publishSample } from "../support/rtmp-publisher.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";
import { startTriggerServer } from "../support/trigger-server.ts";
import { get, type HttpViewer, hlsSegments, view } from "../support/viewer.ts";

type Counter = { readonly key: string; readonly used: number; readonly refused: number; readonly closed: boolean };
type Limit = {
  readonly name: string;
  readonly rule: Record<string, unknown>;
  readonly refused: number;
  readonly counters: readonly Counter[];
};

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

async function limit(sluice: Sluice, name: string): Promise<Limit> {
  return (await (await fetch(`http://127.0.0.1:${sluice.ports.api}/api/v1/limits/${name}`)).json()) as Limit;
}

async function declare(sluice: Sluice, name: string, rule: Readonly<Record<string, unknown>>): Promise<number> {
  const init = { method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify(rule) };
  return (await fetch(`http://127.0.0.1:${sluice.ports.api}/api/v1/limits/${name}`, init)).status;
}

/** Waits without beginning a session, as a question about the stream would. */
async function plays(sluice: Sluice, ...streams: readonly string[]): Promise<void> {
  const online = async (): Promise<string> => JSON.stringify(await sluice.api({ active_streams: ["status"] }));
  for (const stream of streams) await expect.poll(online, { timeout: 30_000 }).toMatch(new RegExp(`"${stream}":\\[?"Online`));
}

describe("a limit of sessions", () => {
  it("gives 2 places to exactly 2 of 200 who come at once; is changed over the API, and that survives kill -9", async () => {
    const limits = { two: { by: "server", streams: ["live"], sessions: 2, retryAfter: "7s" } };
    await using sluice = await startSluice({ config: { streams: { live: "push://" }, limits } });
    const publisher = await publishSample(sluice.ports.rtmp, "live");
    await plays(sluice, "live");
    const all = await Promise.all(Array.from({ length: 200 }, (_, at) => watch(sluice.http(`live.flv?tkn=v${at}`))));
    const [inside, outside] = [all.filter(({ status }) => status === 200), all.filter(({ status }) => status === 503)];
    expect([inside.length, outside.length]).toEqual([2, 198]);
    expect(new Set(outside.map(({ headers }) => headers["retry-after"]))).toEqual(new Set(["7"]));
    await Promise.all(outside.map(({ closed }) => closed));
    for (const viewer of outside) {
      expect(viewer.start().toString()).toContain("2 viewers at most on these streams; try again later (limit two)");
    }
    await Promise.all(inside.map((viewer) => viewer.atLeast(10_000)));
    expect((await get(sluice.http("hls/live/index.m3u8?tkn=hls"))).status).toBe(503);

    expect(await limit(sluice, "two")).toMatchObject({ refused: 199, counters: [{ key: "server", used: 2, closed: true }] });
    const metrics = parsePrometheus((await get(`http://127.0.0.1:${sluice.ports.api}/metrics`)).text);
    const labels = { limit: "two", measure: "sessions" };
    expect(["sluice_limit_used", "sluice_limit_most", "sluice_limit_refused_total"].map((name) => scraped(metrics, name, labels))).toEqual([
      2, 2, 199,
    ]);

    expect(await declare(sluice, "two", { ...limits.two, sessions: 3 })).toBe(200);
    const more = await Promise.all(Array.from({ length: 20 }, (_, at) => watch(sluice.http(`live.flv?tkn=w${at}`))));
    expect(more.filter(({ status }) => status === 200).length).toBe(1);
    publisher.socket.destroy();
    await sluice.child.stop("SIGKILL");
    await using again = await sluice.again();
    expect(await limit(again, "two")).toMatchObject({ rule: { ...limits.two, sessions: 3 }, counters: [] });
  });

  it("lets the newest in and ends the oldest, real players too; who had to go does not throw the newer out", async () => {
    const config = `import { allow, defineConfig } from "sluice";
      export default defineConfig({
        streams: { live: "push://" },
        limits: { screen: { by: "user", sessions: 1, onReached: "end-oldest", reason: "one screen at a time" } },
        triggers: { USER_NEW: ({ query }) => allow({ user: query.user ?? "" }) },
      });`;
    await using sluice = await startSluice({ config });
    await using encoder = startEncoder(sluice.rtmp("live/live"));
    await plays(sluice, "live");
    const url = (device: string): string => sluice.http(`live.flv?user=ann&tkn=${device}`);
    await using first = startChild("ffmpeg", ["-hide_banner", "-nostdin", "-i", url("tv"), "-f", "null", "-"]);
    await first.printed(/frame=\s*[1-9]/);
    const second = await watch(url("phone"));
    expect(second.status).toBe(200);
    await first.exited;
    expect(first.stderr()).toMatch(/frame=\s*[1-9]/);

    const back = await get(url("tv"));
    const wait = Number(back.headers.get("retry-after"));
    expect([back.status, back.text]).toEqual([503, expect.stringContaining("one screen at a time")]);
    expect(wait > 0 && wait <= 30).toBe(true);
    const before = second.received();
    await second.atLeast(before + 50_000);
    const third = await watch(url("tablet"));
    expect(third.status).toBe(200);
    await second.closed;

    // An HLS player that had to go gets an end, so that it does not ask for ever.
    const top = sluice.http("hls/live/index.m3u8?user=carl&tkn=c1");
    await hlsSegments(top, 3);
    const master = await (await fetch(top)).text();
    const media = new URL(master.split("\n").find((line) => line !== "" && !line.startsWith("#")) ?? "", top).href;
    expect((await get(media)).text).not.toContain("#EXT-X-ENDLIST");
    expect((await watch(sluice.http("live.flv?user=carl&tkn=c2"))).status).toBe(200);
    const last = await get(media);
    expect([last.status, last.text]).toEqual([200, expect.stringMatching(/#EXT-X-ENDLIST\n$/)]);
    expect((await get(top)).status).toBe(503);

    const ben = await playWithFfmpeg(sluice.http("live.flv?user=ben&tkn=b"), 1);
    expect(ben.videoFrames).toBeGreaterThan(5);
    expect((await limit(sluice, "screen")).counters).toMatchObject([{ key: "ann", used: 1 }, { key: "carl", used: 1 }, { key: "ben" }]);
    void encoder;
  });

  it("sends who comes too late to the fallback, on every protocol", async () => {
    const limits = { one: { by: "stream", streams: ["live"], sessions: 1, onReached: { fallback: "slate" } } };
    await using sluice = await startSluice({ config: { streams: { live: "push://", slate: "push://" }, limits } });
    await using live = startEncoder(sluice.rtmp("live/live"), { size: "320x180" });
    await using slate = startEncoder(sluice.rtmp("live/slate"), { size: "160x90" });
    await plays(sluice, "live", "slate");
    const inside = await watch(sluice.http("live.flv?tkn=a"));
    await inside.atLeast(10_000);
    const late = await playWithFfmpeg(sluice.http("live.flv?tkn=b"), 1);
    expect(late.output).toMatch(/Video: h264.*160x90/);
    const rtmp = await playWithFfmpeg(sluice.rtmp("play/live"), 1);
    expect(rtmp.output).toMatch(/Video: h264.*160x90/);
    const { segments } = await hlsSegments(sluice.http("hls/live/index.m3u8?tkn=c"));
    expect(segments[0]?.bytes.length).toBeGreaterThan(1_000);
    const answer = (await sluice.api({ clients: { streams: ["slate"], fields: ["stream", "protocol"] } })) as {
      clients: { data: string[][] };
    };
    const watching = answer.clients.data.map(([, protocol]) => protocol).filter((protocol) => !protocol?.startsWith("INPUT:"));
    expect(watching.toSorted()).toEqual(["FLV", "HLS", "RTMP"]);
    expect((await limit(sluice, "one")).counters).toMatchObject([{ key: "live", used: 1 }]);
    void [live, slate];
  });
});

describe("a limit of bandwidth", () => {
  it("promises what viewers will need, shuts, and opens at once at the safe mark", async () => {
    const limits = { wire: { by: "stream", egress: 1_500_000, safe: 0.6, reason: "this stream is full" } };
    await using sluice = await startSluice({ config: { streams: { live: "push://" }, limits } });
    await using encoder = startEncoder(sluice.rtmp("live/live"), { rate: "500k", size: "640x360" });
    await plays(sluice, "live");
    // The rate of the stream is known after some seconds of it.
    const rate = async (): Promise<number> => {
      const metrics = parsePrometheus((await get(`http://127.0.0.1:${sluice.ports.api}/metrics`)).text);
      return scraped(metrics, "sluice_stream_input_bytes_per_second", { stream: "live" }) ?? 0;
    };
    await expect.poll(rate, { timeout: 20_000, interval: 250 }).toBeGreaterThan(50_000);
    const all = await Promise.all(Array.from({ length: 10 }, (_, at) => watch(sluice.http(`live.flv?tkn=v${at}`))));
    const inside = all.filter(({ status }) => status === 200);
    expect([inside.length, all.filter(({ status }) => status === 503).length]).toEqual([2, 8]);
    await Promise.all(inside.map((viewer) => viewer.atLeast(400_000)));
    const busy = await get(sluice.http("live.flv?tkn=late"));
    expect([busy.status, busy.headers.get("retry-after"), busy.text]).toEqual([503, "5", expect.stringContaining("this stream is full")]);

    inside[0]?.[Symbol.dispose]();
    let late: HttpViewer | undefined;
    const status = async (): Promise<number> => {
      late = await watch(sluice.http("live.flv?tkn=late"));
      return late.status;
    };
    await expect.poll(status, { timeout: 25_000, interval: 250 }).toBe(200);
    await late?.atLeast(10_000);
    expect(inside[1]?.longestGapMs()).toBeLessThan(3_000);
    void encoder;
  });

  it("ends a publisher who brings too much, refuses it for a while, and leaves LIVE_BANDWIDTH its say", async () => {
    await using handler = await startTriggerServer(({ lines }) => String(lines[0] !== "small"));
    const config = {
      config: { triggers: { LIVE_BANDWIDTH: [{ handler: handler.url, sync: true }] } },
      streams: { loud: { source: "push://" }, calm: { source: "push://" }, small: { source: "push://" } },
      limits: { encoder: { by: "stream", ingest: 700_000, reason: "push less than 700 kbit/s" } },
    };
    await using sluice = await startSluice({ config });
    await using calm = startEncoder(sluice.rtmp("live/calm"), { rate: "200k", audio: false });
    await using loud = startEncoder(sluice.rtmp("live/loud"), { rate: "3M", size: "1280x720" });
    await plays(sluice, "calm");
    await loud.exited;
    await handler.called("LIVE_BANDWIDTH", ({ lines }) => lines[0] === "loud");
    expect(sluice.child.stderr()).toContain("A publisher is ended: push less than 700 kbit/s");
    await using again = startEncoder(sluice.rtmp("live/loud"), { rate: "200k" });
    expect(await again.exited).not.toBe(0);
    await sluice.child.printed(/refused.*push less than 700 kbit\/s/);
    await using small = startEncoder(sluice.rtmp("live/small"), { rate: "200k", audio: false });
    await handler.called("LIVE_BANDWIDTH", ({ lines }) => lines[0] === "small");
    await small.exited;
    await sluice.child.printed(/LIVE_BANDWIDTH said no/);
    expect(calm.process.exitCode).toBeNull();
    expect(await limit(sluice, "encoder")).toMatchObject({ refused: 2 });
  });
});

describe("MistServer's recipe of totals, USER_NEW and invalidate_sessions", () => {
  it("works beside limits: each no counts, and nobody is counted twice by being asked again", async () => {
    let full = false;
    await using handler = await startTriggerServer((call) => String(call.lines.length === 6 || !full));
    const config = {
      config: { triggers: { USER_NEW: [{ handler: handler.url, sync: true, streams: ["live"] }] } },
      streams: { live: { source: "push://" } },
      limits: { four: { by: "stream", sessions: 4 } },
    };
    await using sluice = await startSluice({ config });
    await using encoder = startEncoder(sluice.rtmp("live/live"));
    await plays(sluice, "live");
    const come = async (token: string): Promise<number> => (await watch(sluice.http(`live.flv?tkn=${token}`))).status;
    expect([await come("a"), await come("b"), await come("c")]).toEqual([200, 200, 200]);
    full = true;
    expect(await come("d")).toBe(403);
    await sluice.api({ invalidate_sessions: "live" });
    expect((await limit(sluice, "four")).counters).toMatchObject([{ used: 3, refused: 0 }]);
    full = false;
    await sluice.api({ invalidate_sessions: "live" });
    expect([await come("d"), await come("e")]).toEqual([200, 503]);
    const sent = async (): Promise<number> => {
      const answer = (await sluice.api({ totals: { streams: ["live"], fields: ["upbps"], start: -3, end: -1 } })) as {
        totals?: { data?: number[][] | null };
      };
      return answer.totals?.data?.at(-1)?.[0] ?? 0;
    };
    await expect.poll(sent, { timeout: 10_000 }).toBeGreaterThan(10_000);
    void encoder;
  });
});
