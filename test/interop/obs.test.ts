import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decodeErrors, probeMedia } from "../support/media.ts";
import { obsMissing, startObs } from "../support/obs.ts";
import { playWithFfmpeg } from "../support/player.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";
import { whenPlayable } from "../support/stream-info.ts";
import { hlsSegments } from "../support/viewer.ts";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const reason = "please subscribe first";

/** OBS itself, with its own RTMP library. */
describe.skipIf(obsMissing)(obsMissing ?? "OBS", () => {
  let sluice: Sluice;
  let folder: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "sluice-obs-out-"));
    sluice = await startSluice({
      config: `
import { allow, defineConfig, deny } from "sluice";
let banned = false;
export default defineConfig({
  streams: { good: { source: "push://", segmentsize: 900 }, bad: "push://", banned: "push://" },
  triggers: {
    STREAM_PUSH: ({ stream }) => {
      if (stream === "bad" || (stream === "banned" && banned)) return deny(${JSON.stringify(reason)});
      banned ||= stream === "banned";
      return allow();
    },
  },
});
`,
    });
  });
  afterAll(async () => {
    await sluice?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  it("publishes what plays on every output", async () => {
    await using obs = await startObs(sluice.rtmp("live"), "good");
    await obs.printed(/Streaming Start/, 30_000);
    const info = await whenPlayable(sluice, "good");
    expect(info).toMatchObject({ type: "live", width: 320, height: 180 });
    const tracks = Object.values(info.meta.tracks);
    expect(tracks.map(({ codec }) => codec).toSorted()).toEqual(["AAC", "H264"]);
    for (const url of [sluice.http("good.flv"), sluice.rtmp("play/good")])
      expect((await playWithFfmpeg(url, 1)).videoFrames).toBeGreaterThanOrEqual(25);
    const path = join(folder, "obs.ts");
    writeFileSync(path, Buffer.concat((await hlsSegments(sluice.http("hls/good/index.m3u8"), 2)).segments.map(({ bytes }) => bytes)));
    expect((await probeMedia(path)).streams.map(({ codec_name }) => codec_name)).toEqual(["h264", "aac"]);
    expect(await decodeErrors(path)).toBe("");
  });

  it("stops when it is refused, with the reason in its log, and does not try again", async () => {
    await using obs = await startObs(sluice.rtmp("live"), "bad");
    await obs.printed(/Streaming Stop/, 30_000);
    const log = `${obs.stdout()}${obs.stderr()}`;
    expect(log).toContain(`NetStream.Publish.Denied (${reason} (decision `);
    expect(log).not.toMatch(/Reconnecting|Streaming Start/);
  });

  it("comes back when its session is ended, as often as its own settings say, and is told why it may not", async () => {
    await using obs = await startObs(sluice.rtmp("live"), "banned");
    await obs.printed(/Streaming Start/, 30_000);
    const sessions = async (): Promise<string[]> => {
      const { clients } = (await sluice.api({ clients: {} })) as { clients: { fields: string[]; data: string[][] | null } };
      const [name, id] = [clients.fields.indexOf("stream"), clients.fields.indexOf("sessid")];
      return (clients.data ?? []).filter((row) => row[name] === "banned").map((row) => row[id]!);
    };
    await expect.poll(async () => (await sessions()).length, { timeout: 10_000 }).toBe(1);
    await sluice.api({ stop_sessid: (await sessions())[0] });
    await obs.printed(/Streaming Stop/, 30_000);
    const log = `${obs.stdout()}${obs.stderr()}`;
    // Once it has published it takes every end for a bad network: no answer of ours can keep it from its tries.
    expect(log.match(/Reconnecting in/g)).toHaveLength(2);
    expect(log.split(`NetStream.Publish.Denied (${reason} (decision `)).toHaveLength(3);
  });
});
