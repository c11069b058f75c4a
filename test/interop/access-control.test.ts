import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import type { Child } from "../support/child.ts";
import { type Decided, forms, reason, startDecided } from "../support/decided.ts";
import { startEncoder } from "../support/encoder.ts";
import { playWithFfmpeg } from "../support/player.ts";
import { get, hlsSegments, view } from "../support/viewer.ts";

/** Use 1: own logic decides once for each viewer, over every protocol; a no is remembered; rules may change. */
describe.each(forms)("access control by %s handlers", (form) => {
  let server: Decided;
  let encoder: Child;
  const users = new Map<string, boolean>([
    ["anna", true],
    ["carl", true],
    ["dora", true],
  ]);
  const slow = new Set<string>();
  const userOf = (url: string): string => new URL(url).searchParams.get("user") ?? "";

  beforeAll(async () => {
    server = await startDecided(
      form,
      {
        USER_NEW: async (lines) => {
          const user = userOf(lines[4] ?? "");
          if (slow.has(user)) await new Promise((resolve) => setTimeout(resolve, 2000));
          return String(users.get(user) ?? false);
        },
        USER_END: () => "",
        STREAM_BUFFER: () => "",
      },
      { streams: { live: { source: "push://" } } },
    );
    encoder = startEncoder(server.sluice.rtmp("live/live"));
    await server.asked.called("STREAM_BUFFER", (call) => call.lines[1] === "FULL");
  });
  afterAll(async () => {
    await encoder?.stop();
    await server?.[Symbol.asyncDispose]();
  });

  const asksFor = (token: string): number => server.asked.of("USER_NEW").filter((call) => call.lines[2] === token).length;

  it("lets a viewer in on FLV, HLS and RTMP, played by ffmpeg", async () => {
    const { sluice } = server;
    const played = [
      await playWithFfmpeg(sluice.http("live.flv?user=anna&tkn=f1"), 2),
      await playWithFfmpeg(sluice.http("hls/live/index.m3u8?user=anna&tkn=f2"), 2),
      await playWithFfmpeg(sluice.rtmp("play/live?user=anna&tkn=f3"), 2),
    ];
    for (const one of played) expect(one.videoFrames, one.output).toBeGreaterThanOrEqual(45);
  });

  it("refuses with the reason on every output and shows no byte of media or metadata", async () => {
    const { sluice } = server;
    const words = form === "typescript" ? reason : /./;
    for (const path of ["live.flv", "hls/live/index.m3u8", "json_live.js"]) {
      const answer = await get(sluice.http(`${path}?user=eve&tkn=eve-${path}`));
      expect([path, answer.status]).toEqual([path, 403]);
      expect(answer.text).toMatch(words);
      expect(answer.text).not.toMatch(/H264|avc1|#EXTINF/);
    }
    const rtmp = await playWithFfmpeg(sluice.rtmp("play/live?user=eve&tkn=eve-rtmp"), 2);
    expect(rtmp.code).not.toBe(0);
    if (form === "typescript") expect(rtmp.output).toContain(reason);
    const status = await new Promise<number>((resolve, reject) => {
      const socket = new WebSocket(sluice.http("live.flv?user=eve&tkn=eve-ws").replace("http:", "ws:"));
      socket.on("unexpected-response", (_request, response) => resolve(response.statusCode ?? 0));
      socket.on("open", () => reject(new Error("the WebSocket was accepted")));
      socket.on("error", () => {});
    });
    expect(status).toBe(403);
  });

  it("remembers a no and does not ask again", async () => {
    const { sluice } = server;
    for (let i = 0; i < 3; i++) expect((await get(sluice.http("live.flv?user=eve&tkn=eve-again"))).status).toBe(403);
    expect(asksFor("eve-again")).toBe(1);
  });

  it("asks once for a viewer with hundreds of HLS requests and an FLV connection with the same token", async () => {
    const { sluice } = server;
    for (let i = 0; i < 40; i++) await hlsSegments(sluice.http("hls/live/index.m3u8?user=anna&tkn=many"), 3);
    const flv = await view(sluice.http("live.flv?user=anna&tkn=many"));
    await flv.atLeast(10_000);
    flv[Symbol.dispose]();
    expect(asksFor("many")).toBe(1);
  });

  it("asks once while twenty requests of a new viewer come at the same time", async () => {
    const { sluice } = server;
    slow.add("carl");
    const answers = await Promise.all(Array.from({ length: 20 }, () => get(sluice.http("hls/live/index.m3u8?user=carl&tkn=crowd"))));
    slow.delete("carl");
    expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([200]));
    expect(asksFor("crowd")).toBe(1);
  });

  it("sends nothing before the answer, on any output", async () => {
    const { sluice } = server;
    slow.add("anna");
    const begun = performance.now();
    const waited = await Promise.all([
      view(sluice.http("live.flv?user=anna&tkn=wait1")).then((viewer) => {
        viewer[Symbol.dispose]();
        return viewer.headMs;
      }),
      get(sluice.http("hls/live/index.m3u8?user=anna&tkn=wait2")).then(() => performance.now() - begun),
      get(sluice.http("json_live.js?user=anna&tkn=wait3")).then(() => performance.now() - begun),
      new Promise<number>((resolve, reject) => {
        const socket = new WebSocket(sluice.http("live.flv?user=anna&tkn=wait4").replace("http:", "ws:"));
        socket.on("open", () => {
          resolve(performance.now() - begun);
          socket.close();
        });
        socket.on("error", reject);
      }),
      playWithFfmpeg(sluice.rtmp("play/live?user=anna&tkn=wait5"), 0.2).then((played) => {
        expect(played.videoFrames).toBeGreaterThan(0);
        return performance.now() - begun;
      }),
    ]);
    slow.delete("anna");
    for (const ms of waited) expect(ms).toBeGreaterThanOrEqual(1990);
  });

  it("cuts off within 2 seconds who may no longer watch, and leaves no gap for who may", async () => {
    const { sluice } = server;
    using goes = await view(sluice.http("live.flv?user=dora&tkn=goes"));
    using stays = await view(sluice.http("live.flv?user=anna&tkn=stays"));
    await Promise.all([goes.atLeast(20_000), stays.atLeast(20_000)]);
    users.set("dora", false);
    const before = stays.received();
    const begun = performance.now();
    await sluice.api({ invalidate_sessions: "live" });
    await goes.closed;
    expect(performance.now() - begun).toBeLessThan(2000);
    await stays.atLeast(before + 60_000);
    expect(stays.longestGapMs()).toBeLessThan(1000);
    expect(asksFor("stays")).toBe(2);
    expect((await get(sluice.http("hls/live/index.m3u8?user=dora&tkn=goes"))).status).toBe(403);
    users.set("dora", true);
    await sluice.api({ invalidate_sessions: ["live"] });
    expect((await get(sluice.http("hls/live/index.m3u8?user=dora&tkn=goes"))).status).toBe(200);
  });

  it("keeps line breaks of a token inside their line of the payload", async () => {
    const { sluice } = server;
    await get(sluice.http("live.flv?user=eve&tkn=a%0Ab%0AFAKE"));
    const call = await server.asked.called("USER_NEW", (one) => one.body.includes("FAKE"));
    expect(call.lines).toHaveLength(7);
    expect(call.lines[2]).toBe("a%0Ab%0AFAKE");
  });

  it("reads the token of a Bearer header whole", async () => {
    const { sluice } = server;
    await get(sluice.http("json_live.js?user=anna"), { Authorization: "Bearer idg123" });
    expect(asksFor("idg123")).toBe(1);
  });

  it("ends each session once, with its totals", async () => {
    const { sluice } = server;
    const viewer = await view(sluice.http("live.flv?user=anna&tkn=counted"));
    await viewer.atLeast(30_000);
    viewer[Symbol.dispose]();
    const end = await server.asked.called("USER_END", (call) => call.lines[0] === "counted", 30_000);
    expect(end.lines.slice(1, 4)).toEqual(["live", "FLV", "127.0.0.1"]);
    expect(Number(end.lines[5])).toBeGreaterThanOrEqual(30_000);
    expect(end.lines).toHaveLength(12);
    expect(end.lines[11]).toMatch(/^[0-9a-f]{64}$/);
    expect(server.asked.of("USER_END").filter((call) => call.lines[0] === "counted")).toHaveLength(1);
  });
});
