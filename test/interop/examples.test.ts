import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { startEncoder } from "../support/encoder.ts";
import { sampleMedia } from "../support/media.ts";
import { playWithFfmpeg } from "../support/player.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";
import { root } from "../support/source-files.ts";
import { get, view } from "../support/viewer.ts";

const names = readdirSync(join(root, "examples")).toSorted();

/** Starts the server with an example as its README says. */
const example = (name: string, environment: Readonly<Record<string, string>> = {}): Promise<Sluice> =>
  startSluice({ flags: ["--config", join(root, "examples", name, "sluice.config.ts")], environment });

async function online(sluice: Sluice, stream: string): Promise<void> {
  for (const end = performance.now() + 20_000; performance.now() < end; ) {
    const answer = (await sluice.api({ active_streams: ["status"] })) as { active_streams?: Record<string, string[]> };
    if (answer.active_streams?.[stream]?.[0] === "Online") return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${stream} is not online after 20 s\n${sluice.child.stderr()}`);
}

/** Each recipe of `examples/` does what its README says. */
describe("examples", () => {
  it("are the six uses, each of at most ten lines beside imports, comments and the frame of the configuration", () => {
    expect(names).toEqual(["access-control", "bandwidth-limit", "live-list", "offline-fallback", "push-tokens", "viewing-tokens"]);
    for (const name of names) {
      const text = readFileSync(join(root, "examples", name, "sluice.config.ts"), "utf8");
      const frame = /^(\/\/.*|import .*|export default defineConfig\(\{|\}\);|\s*)$/;
      const lines = text.split("\n").filter((line) => !frame.test(line));
      expect([name, lines.length <= 10]).toEqual([name, true]);
      expect(readFileSync(join(root, "examples", name, "README.md"), "utf8")).toContain(`--config examples/${name}/sluice.config.ts`);
    }
  });

  it("access-control", async () => {
    await using sluice = await example("access-control");
    await using encoder = startEncoder(sluice.rtmp("live/live"));
    await online(sluice, "live");
    using anna = await view(sluice.http("live.flv?user=anna"));
    await anna.atLeast(5000);
    using bert = await view(sluice.http("live.flv"), { Cookie: "user=bert" });
    expect(bert.status).toBe(200);
    const eve = await get(sluice.http("live.flv?user=eve"));
    expect([eve.status, eve.text]).toEqual([403, expect.stringMatching(/^please subscribe first\ndecision [0-9A-Z]{10}\n$/)]);
    await encoder.stop();
  });

  it("push-tokens", async () => {
    await using sluice = await example("push-tokens");
    await using encoder = startEncoder(sluice.rtmp("live/k9f2c7d1e8a04b53"));
    await online(sluice, "live");
    await using refused = startEncoder(sluice.rtmp("live/live"), { seconds: 20 });
    expect(await refused.exited).not.toBe(0);
    expect(refused.stderr()).toContain("unknown key");
    await encoder.stop();
  });

  it("viewing-tokens", async () => {
    await using sluice = await example("viewing-tokens");
    await using encoder = startEncoder(sluice.rtmp("live/live"));
    await online(sluice, "live");
    using first = await view(sluice.http("t-7d1e8a04b53k9f2c.flv"));
    using second = await view(sluice.http("t-7d1e8a04b53k9f2c.flv"));
    expect([first.status, second.status, (await get(sluice.http("t-7d1e8a04b53k9f2c.flv"))).status]).toEqual([200, 200, 403]);
    expect((await get(sluice.http("live.flv"))).status).toBe(403);
    expect((await get(sluice.http("other.flv"))).status).toBe(404);
    await encoder.stop();
  });

  it("offline-fallback", async () => {
    const recording = await sampleMedia({ video: "h264", audio: "aac", seconds: 20, container: "mp4" });
    await using sluice = await example("offline-fallback", { RECORDING: recording });
    using viewer = await view(sluice.http("live.flv?tkn=a"));
    await viewer.atLeast(1000);
    await using encoder = startEncoder(sluice.rtmp("live/live"));
    await viewer.closed;
    expect((await playWithFfmpeg(sluice.http("live.flv?tkn=a"), 1)).videoFrames).toBeGreaterThanOrEqual(20);
    const clients = (await sluice.api({ clients: { fields: ["stream", "protocol"] } })) as { clients: { data: string[][] } };
    expect(clients.clients.data).toContainEqual(["live", "FLV"]);
    await encoder.stop();
  });

  it("live-list", async () => {
    await using sluice = await example("live-list");
    const list = (): unknown => JSON.parse(readFileSync(join(sluice.folder, "live.json"), "utf8"));
    expect(list()).toEqual([]);
    await using encoder = startEncoder(sluice.rtmp("live/live"));
    await online(sluice, "live");
    await expect.poll(list).toEqual(["live"]);
    await encoder.stop();
    await expect.poll(list).toEqual([]);
  });

  it("bandwidth-limit", async () => {
    await using sluice = await example("bandwidth-limit", { LIMIT: "300000", SAFE: "200000" });
    await using encoder = startEncoder(sluice.rtmp("live/any"), { rate: "600k", size: "640x360" });
    await online(sluice, "any");
    using first = await view(sluice.http("any.flv"));
    await first.atLeast(300_000);
    await expect.poll(async () => (await get(sluice.http("json_any.js?tkn=late"))).status, { timeout: 15_000 }).toBe(403);
    expect((await get(sluice.http("any.flv?tkn=late"))).text).toMatch(/^this stream is full, try again soon\n/);
    first[Symbol.dispose]();
    await expect.poll(async () => (await get(sluice.http("json_any.js?tkn=late"))).status, { timeout: 15_000 }).toBe(200);
    await encoder.stop();
  });
});
