import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Decided, forms, startDecided } from "../support/decided.ts";
import { startEncoder } from "../support/encoder.ts";
import { hlsSegments, view } from "../support/viewer.ts";

/** Use 5: a stream is listed exactly when every output starts at once, by event and by question. */
describe.each(forms)("listing live streams by %s handlers", (form) => {
  let server: Decided;
  const byEvent = new Set<string>();

  beforeAll(async () => {
    server = await startDecided(
      form,
      {
        STREAM_BUFFER: ([stream = "", state]) => {
          if (state === "FULL") byEvent.add(stream);
          if (state === "EMPTY") byEvent.delete(stream);
          return "";
        },
        LIVE_TRACK_LIST: () => "",
      },
      { streams: { live: { source: "push://" }, radio: { source: "push://" } } },
    );
  });
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
  });

  const byQuestion = async (): Promise<string[]> => {
    const answer = (await server.sluice.api({ active_streams: ["status"] })) as { active_streams?: Record<string, string[]> | null };
    return Object.entries(answer.active_streams ?? {})
      .filter(([, [status]]) => status === "Online")
      .map(([name]) => name);
  };

  it("lists nothing before, the stream when it plays, nothing after", async () => {
    const { sluice, asked } = server;
    expect([[...byEvent], await byQuestion()]).toEqual([[], []]);
    await using encoder = startEncoder(sluice.rtmp("live/live"));
    await asked.called("STREAM_BUFFER", (call) => call.lines[1] === "FULL");
    expect([[...byEvent], await byQuestion()]).toEqual([["live"], ["live"]]);
    const begun = performance.now();
    using flv = await view(sluice.http("live.flv"));
    await Promise.all([flv.atLeast(10_000), hlsSegments(sluice.http("hls/live/index.m3u8"), 3)]);
    expect(performance.now() - begun).toBeLessThan(1000);
    const health = asked.of("STREAM_BUFFER")[0]?.lines[2] ?? "";
    expect(
      Object.values(JSON.parse(health) as Record<string, unknown>).filter((value) => typeof value === "object" && !Array.isArray(value)),
    ).toHaveLength(2);
    await encoder.stop();
    await asked.called("STREAM_BUFFER", (call) => call.lines[1] === "EMPTY");
    expect([[...byEvent], await byQuestion()]).toEqual([[], []]);
  });

  it("does not list a stream whose picture is not complete yet", async () => {
    const { sluice, asked } = server;
    await using encoder = startEncoder(sluice.rtmp("live/radio"), { gop: 75 });
    await asked.called("LIVE_TRACK_LIST", (call) => call.lines[0] === "radio");
    using early = await view(sluice.http("radio.flv"));
    await early.atLeast(1000);
    expect([[...byEvent], await byQuestion()]).toEqual([[], []]);
    await asked.called("STREAM_BUFFER", (call) => call.lines[0] === "radio" && call.lines[1] === "FULL", 30_000);
    expect(await byQuestion()).toEqual(["radio"]);
    await encoder.stop();
  });
});
