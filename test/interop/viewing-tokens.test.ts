import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Child } from "../support/child.ts";
import { type Decided, forms, startDecided } from "../support/decided.ts";
import { startEncoder } from "../support/encoder.ts";
import { playWithFfmpeg } from "../support/player.ts";
import { get, hlsSegments, view } from "../support/viewer.ts";

const hidden = "hidden-stream-7";

/** Use 3: viewers open a token instead of a name, so many times as it allows; the real name never leaks and is refused. */
describe.each(forms)("viewing tokens by %s handlers", (form) => {
  let server: Decided;
  let encoder: Child;
  const tokens = new Map([
    ["tok-plenty", 100],
    ["tok-two", 2],
    ["tok-one", 1],
  ]);

  beforeAll(async () => {
    server = await startDecided(
      form,
      {
        DEFAULT_STREAM: (lines) => (tokens.has(lines[1] ?? "") ? hidden : ""),
        USER_NEW: (lines) => {
          const asked = [...tokens.keys()].find((token) => lines[4]?.includes(token));
          const left = tokens.get(asked ?? "") ?? 0;
          if (asked) tokens.set(asked, left - 1);
          return String(left > 0);
        },
        STREAM_BUFFER: () => "",
      },
      { streams: { [hidden]: { source: "push://" } } },
    );
    encoder = startEncoder(server.sluice.rtmp(`live/${hidden}`));
    await server.asked.called("STREAM_BUFFER", (call) => call.lines[1] === "FULL");
  });
  afterAll(async () => {
    await encoder?.stop();
    await server?.[Symbol.asyncDispose]();
  });

  it("plays the token's stream on FLV, HLS and RTMP", async () => {
    const { sluice } = server;
    for (const url of [sluice.http("tok-plenty.flv"), sluice.http("hls/tok-plenty/index.m3u8"), sluice.rtmp("play/tok-plenty")]) {
      const played = await playWithFfmpeg(url, 1);
      expect(played.videoFrames, played.output).toBeGreaterThanOrEqual(20);
    }
  });

  it("lets in as many viewers as the token allows, and no more", async () => {
    const { sluice } = server;
    using first = await view(sluice.http("tok-two.flv"));
    using second = await view(sluice.http("tok-two.flv"));
    expect([first.status, second.status]).toEqual([200, 200]);
    expect((await get(sluice.http("tok-two.flv"))).status).toBe(403);
    await first.atLeast(10_000);
  });

  it("counts one viewer with many HLS requests once, and asks for the stream once", async () => {
    const { sluice } = server;
    const url = sluice.http("hls/tok-one/index.m3u8?tkn=one-viewer");
    for (let i = 0; i < 20; i++) await hlsSegments(url, 2);
    expect(server.asked.of("USER_NEW").filter((call) => call.lines[2] === "one-viewer")).toHaveLength(1);
    expect(server.asked.of("DEFAULT_STREAM").filter((call) => call.lines[4]?.includes("one-viewer"))).toHaveLength(1);
  });

  it("refuses the real name on every output", async () => {
    const { sluice } = server;
    for (const path of [`${hidden}.flv`, `hls/${hidden}/index.m3u8`, `json_${hidden}.js`])
      expect([path, (await get(sluice.http(path))).status]).toEqual([path, 403]);
    expect((await playWithFfmpeg(sluice.rtmp(`play/${hidden}`), 1)).code).not.toBe(0);
  });

  it("never shows the real name to a viewer", async () => {
    const { sluice } = server;
    const hls = await hlsSegments(sluice.http("hls/tok-plenty/index.m3u8?tkn=curious"), 2);
    const head = await view(sluice.http("tok-plenty.flv?tkn=curious"));
    await head.atLeast(5000);
    const shown = [
      ...hls.playlists,
      ...hls.segments.map((segment) => segment.url),
      (await get(sluice.http("json_tok-plenty.js?tkn=curious"))).text,
      (await get(sluice.http("tok-plenty.html?tkn=curious"))).text,
      (await get(sluice.http("tok-unknown.flv"))).text,
      (await get(sluice.http("hls/tok-plenty/1_2/nothing.ts?tkn=curious"))).text,
      JSON.stringify(head.headers),
      head.start().toString("latin1"),
    ];
    head[Symbol.dispose]();
    for (const text of shown) expect(text).not.toContain(hidden);
    expect(shown.join("")).toContain("tok-plenty");
  });
});
