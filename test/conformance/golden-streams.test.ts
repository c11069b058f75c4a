import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { differences, recorded, replay } from "../support/golden-api.ts";
import { publishSample } from "../support/rtmp-publisher.ts";
import type { RtmpClient } from "../support/rtmp-client.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";

/** Recorded calls of MistServer's API that act on one stream which plays. */
describe("recorded calls about a stream that plays", () => {
  let sluice: Sluice;
  let publisher: RtmpClient;
  beforeAll(async () => {
    sluice = await startSluice({
      config: {
        account: { admin: { password: createHash("md5").update("secret").digest("hex") } },
        streams: { live: { source: "push://" } },
      },
    });
    publisher = await publishSample(sluice.ports.rtmp, "live");
    await vi.waitFor(async () => expect((await sluice.api({ active_streams: true }))["active_streams"]).toEqual(["live"]), {
      timeout: 20_000,
      interval: 100,
    });
  }, 30_000);
  afterAll(async () => {
    await publisher?.[Symbol.asyncDispose]();
    await sluice?.[Symbol.asyncDispose]();
  });

  it.each(["tag_stream", "nuke_stream"])("%s", async (name) => {
    const exchanges = recorded(name);
    expect(exchanges.length).toBeGreaterThan(0);
    for (const exchange of exchanges) {
      const answer = await replay(sluice.ports.api, exchange);
      expect([answer.status, answer.headers["content-type"]]).toEqual([exchange.status, exchange.contentType]);
      expect(/[^\n]\n\n$/.test(answer.text)).toBe(exchange.twoLineBreaks);
      expect(differences(answer.json, exchange.reply, [], new Set()), exchange.body ?? "").toEqual([]);
    }
  });

  it("nuke_stream: the publisher's connection is closed and the stream is gone, as recorded", async () => {
    await publisher.closed;
    const live = async (): Promise<unknown> =>
      ((await (await fetch(`http://127.0.0.1:${sluice.ports.api}/api/v1/streams/live`)).json()) as { state: string }).state;
    await expect.poll(live, { timeout: 5_000 }).toBe("offline");
  });
});
