import { expect, it } from "vitest";
import { HlsCrowd } from "../support/hls-crowd.ts";
import { publishSample } from "../support/rtmp-publisher.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";
import { startTriggerServer } from "../support/trigger-server.ts";

const viewers = 1_000;
const pollMs = 2_000;
/** Longer than a session lives without a request, so that each that is not kept alive by its polls would be missed. */
const steadySeconds = 20;
/** A session lives so long after its last request, and is ended by the tick after that. */
const idleMs = 15_000;
const tickMs = 1_000;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Viewers that the server counts. */
async function counted(sluice: Sluice): Promise<number> {
  const reply = await sluice.api({ clients: { fields: ["sessid"], protocols: ["HLS"] } });
  return (reply["clients"] as { data: readonly unknown[] | null }).data?.length ?? 0;
}

it("a thousand players that poll are a thousand viewers: each is asked about once, counted at every moment, and ended once", async () => {
  await using handler = await startTriggerServer(() => "true");
  const triggers = {
    USER_NEW: [{ handler: handler.url, sync: true, streams: [] }],
    USER_END: [{ handler: handler.url, sync: false, streams: [] }],
  };
  await using sluice = await startSluice({ config: { config: { triggers }, streams: { live: { name: "live", source: "push://" } } } });
  const publisher = await publishSample(sluice.ports.rtmp, "live");
  using crowd = new HlsCrowd({ url: sluice.http("hls/live/index.m3u8"), viewers, pollMs });

  // They come: the count is never below those who play, and never above those who have asked.
  const comparing = (async () => {
    while (crowd.playing < viewers && crowd.problems.length === 0) {
      const least = crowd.playing;
      const count = await counted(sluice);
      expect(count).toBeGreaterThanOrEqual(least - 1);
      expect(count).toBeLessThanOrEqual(crowd.watching + 1);
      await pause(250);
    }
  })();
  for (let group = 0; group < viewers / 10; group++) await Promise.all(Array.from({ length: 10 }, () => crowd.join()));
  await comparing;
  expect([crowd.playing, crowd.problems]).toEqual([viewers, []]);

  // They watch.
  const counts: number[] = [];
  for (let second = 0; second < steadySeconds; second++) {
    await pause(1_000);
    counts.push(await counted(sluice));
  }
  expect(counts).toEqual(counts.map(() => viewers));
  expect(handler.of("USER_END")).toEqual([]);
  expect(crowd.requests).toBeGreaterThan((viewers * (steadySeconds - 5) * 1_000) / pollMs);
  expect(crowd.segments).toBeGreaterThanOrEqual(viewers * 2);

  // They go, and are counted until their time is over.
  await Promise.all(Array.from({ length: viewers }, () => crowd.leave()));
  for (;;) {
    const before = performance.now();
    const count = await counted(sluice);
    const after = performance.now();
    const lasts = crowd.lastAnswers;
    // The server may have ended its part of an answer a little before the client had it.
    const must = lasts.filter((last) => before < last + idleMs - tickMs).length;
    const may = lasts.filter((last) => after < last + idleMs + 2 * tickMs).length;
    expect([count >= must - 1, count <= may + 1]).toEqual([true, true]);
    if (may === 0) break;
    await pause(500);
  }
  await expect.poll(() => handler.of("USER_END").length, { timeout: 10_000 }).toBe(viewers);
  const asked = handler.of("USER_NEW").map(({ lines }) => lines[2]);
  expect([asked.length, new Set(asked).size]).toEqual([viewers, viewers]);
  const ended = handler.of("USER_END").map(({ lines }) => lines[0]);
  expect(new Set(ended)).toEqual(new Set(asked));
  expect(crowd.problems).toEqual([]);
  publisher.socket.destroy();
}, 120_000);
