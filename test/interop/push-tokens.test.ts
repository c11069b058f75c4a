import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Child } from "../support/child.ts";
import { type Decided, forms, reason, startDecided } from "../support/decided.ts";
import { startEncoder } from "../support/encoder.ts";
import { playWithFfmpeg } from "../support/player.ts";
import { get, hlsSegments } from "../support/viewer.ts";

const key = "k9f2c7d1e8a04b53";

/** Use 2: encoders push to a secret name; the public one shows up everywhere else, the secret nowhere. */
describe.each(forms)("push tokens by %s handlers", (form) => {
  let server: Decided;
  let encoder: Child;

  beforeAll(async () => {
    server = await startDecided(
      form,
      { PUSH_REWRITE: (lines) => (lines[2] === key ? "live" : ""), STREAM_BUFFER: () => "" },
      { streams: { live: { source: "push://" } } },
    );
    encoder = startEncoder(server.sluice.rtmp(`live/${key}`));
    await server.asked.called("STREAM_BUFFER", (call) => call.lines[1] === "FULL");
  });
  afterAll(async () => {
    await encoder?.stop();
    await server?.[Symbol.asyncDispose]();
  });

  it("plays under the public name", async () => {
    expect((await playWithFfmpeg(server.sluice.http("live.flv"), 1)).videoFrames).toBeGreaterThanOrEqual(20);
    expect((await get(server.sluice.http(`${key}.flv`))).status).toBe(404);
  });

  it("tells the handler URL, address and name as MistServer does", () => {
    expect(server.asked.of("PUSH_REWRITE")[0]?.lines).toEqual([server.sluice.rtmp(`live/${key}`), "127.0.0.1", key]);
  });

  it.each(["live", "unknown-token"])("refuses a push to %s with a reason, and the encoder stops", async (name) => {
    await using refused = startEncoder(server.sluice.rtmp(`live/${name}`), { seconds: 20 });
    const code = await refused.exited;
    expect(code).not.toBe(0);
    expect(refused.stderr()).toMatch(form === "typescript" ? new RegExp(reason) : /NetStream\.Publish|refused|denied|not allowed/i);
    expect((await playWithFfmpeg(server.sluice.http("live.flv"), 1)).videoFrames).toBeGreaterThanOrEqual(20);
  });

  it("shows the token in no playlist, URL, information, API answer or log", async () => {
    const { sluice } = server;
    const hls = await hlsSegments(sluice.http("hls/live/index.m3u8"), 2);
    const shown = [
      ...hls.playlists,
      ...hls.segments.map((segment) => segment.url),
      (await get(sluice.http("json_live.js"))).text,
      (await get(sluice.http("live.html"))).text,
      JSON.stringify(
        await sluice.api({
          active_streams: {},
          clients: {},
          totals: {},
          config: {},
          streams: true,
          log: true,
          stats_streams: true,
          capabilities: true,
        }),
      ),
      await (
        await fetch(`http://127.0.0.1:${sluice.ports.api}/api`, {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: "{}",
        })
      ).text(),
      sluice.child.stdout(),
      sluice.child.stderr(),
    ];
    for (const text of shown) expect(text).not.toContain(key);
    expect(shown.join("")).toContain("live");
  });
});
