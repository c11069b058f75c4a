import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startChild } from "../support/child.ts";
import { type Decided, forms, reason, startDecided } from "../support/decided.ts";
import { startEncoder } from "../support/encoder.ts";
import { playWithFfmpeg } from "../support/player.ts";
import { get, hlsSegments, view } from "../support/viewer.ts";

/** Use 4: who opens an offline stream gets the latest recording; when it is back they are moved to it. */
describe.each(forms)("fallback for an offline stream by %s handlers", (form) => {
  let server: Decided;
  let folder: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "sluice-recording-"));
    const recording = join(folder, "latest.mp4");
    const source = ["-f", "lavfi", "-i", "smptebars=size=320x180:rate=25", "-f", "lavfi", "-i", "sine=440:sample_rate=44100", "-t", "20"];
    await using maker = startChild("ffmpeg", [
      "-hide_banner",
      "-nostdin",
      ...source,
      "-c:v",
      "libx264",
      "-preset",
      "ultrafast",
      "-g",
      "25",
      "-pix_fmt",
      "yuv420p",
      "-c:a",
      "aac",
      recording,
    ]);
    expect(await maker.exited, maker.stderr()).toBe(0);
    server = await startDecided(
      form,
      { DEFAULT_STREAM: (lines) => (lines[1] === "live" ? "recording" : ""), STREAM_BUFFER: () => "", USER_NEW: () => "true" },
      { streams: { live: { source: "push://" }, recording: { source: recording } } },
    );
  });
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  it("shows the recording on every output while the stream is offline", async () => {
    const { sluice } = server;
    for (const url of [sluice.http("live.flv"), sluice.http("hls/live/index.m3u8"), sluice.rtmp("play/live")]) {
      const played = await playWithFfmpeg(url, 2);
      expect(played.videoFrames, `${url}\n${played.output}`).toBeGreaterThanOrEqual(45);
    }
    const hls = await hlsSegments(sluice.http("hls/live/index.m3u8"), 1);
    expect(hls.playlists[1]).toContain("#EXT-X-PLAYLIST-TYPE:VOD");
    expect(hls.playlists[1]).toContain("#EXT-X-ENDLIST");
  });

  it("plays the recording in real time over FLV", async () => {
    using viewer = await view(server.sluice.http("live.flv?tkn=paced"));
    await viewer.atLeast(1000);
    const begun = performance.now();
    await viewer.closed;
    expect(performance.now() - begun).toBeGreaterThan(15_000);
  });

  it("says in words when there is nothing to fall back to: 404 for no answer, 403 and the reason for a no", async () => {
    const answer = await get(server.sluice.http("nosuch.flv"));
    expect(answer.status).toBe(form === "typescript" ? 403 : 404);
    expect(answer.text).toMatch(form === "typescript" ? reason : /offline|not configured|no such|unknown/i);
  });

  it("moves a viewer to the live stream by stop_sessid when it is back", async () => {
    const { sluice, asked } = server;
    using viewer = await view(sluice.http("live.flv?tkn=mover"));
    await viewer.atLeast(10_000);
    const session = asked.of("USER_NEW").find((call) => call.lines[2] === "mover");
    expect(session?.lines[0]).toBe("recording");
    await using encoder = startEncoder(sluice.rtmp("live/live"));
    await asked.called("STREAM_BUFFER", (call) => call.lines[0] === "live" && call.lines[1] === "FULL");
    await sluice.api({ stop_sessid: session?.lines[5] });
    await viewer.closed;
    using again = await view(sluice.http("live.flv?tkn=mover"));
    await again.atLeast(10_000);
    expect(
      asked
        .of("USER_NEW")
        .filter((call) => call.lines[2] === "mover")
        .map((call) => call.lines[0]),
    ).toEqual(["recording", "live"]);
    await encoder.stop();
    await again.closed;
    await asked.called("STREAM_BUFFER", (call) => call.lines[0] === "live" && call.lines[1] === "EMPTY");
    expect((await hlsSegments(sluice.http("hls/live/index.m3u8?tkn=after"))).playlists[1]).toContain("#EXT-X-PLAYLIST-TYPE:VOD");
  });
});
