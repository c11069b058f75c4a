import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Child } from "../support/child.ts";
import { startEncoder } from "../support/encoder.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";
import { root } from "../support/source-files.ts";
import { startTriggerServer, type TriggerServer } from "../support/trigger-server.ts";
import { get, type HttpViewer, view } from "../support/viewer.ts";
import { readFileSync } from "node:fs";

const limit = 1_500_000;
const safe = 900_000;

/** Bits per second that viewers of `live` get, as the API tells: the newest complete second of `totals`. */
async function egress(sluice: Sluice): Promise<number> {
  const answer = (await sluice.api({ totals: { streams: ["live"], fields: ["upbps"], start: -3, end: -1 } })) as {
    totals?: { data?: number[][] | null };
  };
  return (answer.totals?.data?.at(-1)?.[0] ?? 0) * 8;
}

async function until(what: string, ready: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + 30_000;
  while (!(await ready())) {
    if (performance.now() > end) throw new Error(`not within 30 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** Use 6: over the limit new viewers are refused, under the safe mark they are let in at once, who is in stays in. */
describe.each(["typescript", "http"] as const)("bandwidth limit by %s handlers", (form) => {
  let sluice: Sluice;
  let encoder: Child;
  let handler: TriggerServer | undefined;
  let full = false;

  beforeAll(async () => {
    if (form === "typescript") {
      sluice = await startSluice({
        config: readFileSync(`${root}/examples/bandwidth-limit/sluice.config.ts`, "utf8"),
        environment: { LIMIT: String(limit), SAFE: String(safe) },
      });
    } else {
      handler = await startTriggerServer(async (call) => {
        if (call.name !== "USER_NEW") return "";
        const recheck = call.lines.length === 6;
        return String(recheck || !full);
      });
      sluice = await startSluice({
        config: {
          config: { triggers: { USER_NEW: [{ handler: handler.url, sync: true, streams: ["live"] }] } },
          streams: { live: { source: "push://" } },
        },
      });
    }
    encoder = startEncoder(sluice.rtmp("live/live"), { rate: "500k", size: "640x360" });
    await until("the stream plays", async () => JSON.stringify(await sluice.api({ active_streams: ["status"] })).includes("Online"));
  });
  afterAll(async () => {
    await encoder?.stop();
    await sluice?.[Symbol.asyncDispose]();
    await handler?.[Symbol.asyncDispose]();
  });

  /** MistServer's recipe: poll `totals`, keep a flag, ask everybody again when it changes. */
  async function poll(): Promise<void> {
    const bits = await egress(sluice);
    const now = bits > (full ? safe : limit);
    if (now !== full) {
      full = now;
      await sluice.api({ invalidate_sessions: "live" });
    }
  }

  it("refuses over the limit, lets in under the safe mark, touches nobody who is in", async () => {
    const inside: HttpViewer[] = [];
    while (inside.length < 4) {
      inside.push(await view(sluice.http(`live.flv?tkn=in${inside.length}`)));
      expect(inside.at(-1)?.status).toBe(200);
      if (inside.length >= 4) break;
    }
    await until("the limit is passed", async () => {
      if (form === "http") await poll();
      return (await egress(sluice)) > limit && (form === "typescript" || full);
    });
    expect((await get(sluice.http("live.flv?tkn=late"))).status).toBe(403);
    for (const viewer of inside.splice(1)) viewer[Symbol.dispose]();
    await until("the safe mark is reached", async () => {
      if (form === "http") await poll();
      return (await egress(sluice)) < safe && (form === "typescript" || !full);
    });
    // The measure spans 5 seconds: the handler may see the safe mark a little later than this client.
    let late: HttpViewer | undefined;
    await until("the viewer is let in", async () => {
      late = await view(sluice.http("live.flv?tkn=late"));
      if (late.status !== 200) late[Symbol.dispose]();
      return late.status === 200;
    });
    await late?.atLeast(10_000);
    late?.[Symbol.dispose]();
    const first = inside[0];
    expect(first?.longestGapMs()).toBeLessThan(1500);
    first?.[Symbol.dispose]();
  });
});
