import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startEdge } from "../support/edge.ts";
import { startEncoder } from "../support/encoder.ts";
import { playWithFfmpeg } from "../support/player.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";

const uris = (playlist: string): string[] => playlist.split("\n").filter((line) => line !== "" && !line.startsWith("#"));

/** A CDN in front: it keeps segments, and hands on playlists with the viewer's address. */
describe.each(["query", "path"])("a CDN in front, tokens in the %s", (tokenIn) => {
  const all = new AsyncDisposableStack();
  let sluice: Sluice;
  let edge: Awaited<ReturnType<typeof startEdge>>;

  beforeAll(async () => {
    const config = `
      export default {
        protocols: { hls: { sharedSegments: true, tokenIn: "${tokenIn}" } },
        triggers: {
          USER_NEW: ({ host, token }) => (console.error("USER_NEW", host, token), true),
          USER_END: ({ hosts }) => console.error("USER_END", hosts),
        },
      };`;
    sluice = all.use(await startSluice({ config }));
    edge = all.use(await startEdge(sluice.ports.http));
    const encoder = all.use(startEncoder(sluice.rtmp("live/tv")));
    await encoder.printed(/frame=/);
  });
  afterAll(() => all.disposeAsync());

  /** Watches as a player does: the playlist again and again, each segment once. Gives the numbers of the segments. */
  async function watch(viewer: number, segments: number): Promise<readonly number[]> {
    const headers = { "x-test-address": `203.0.113.${viewer}` };
    const get = async (url: string): Promise<string> => {
      const response = await fetch(url, { headers });
      if (response.status !== 200) throw new Error(`${url}: ${response.status} ${await response.text()}`);
      return await response.text();
    };
    const top = `http://127.0.0.1:${edge.port}/hls/tv/index.m3u8?tkn=viewer${viewer}`;
    const media = new URL(uris(await get(top))[0] ?? "", top).href;
    const seen = new Set<string>();
    while (seen.size < segments) {
      for (const uri of uris(await get(media)).map((one) => new URL(one, media).href)) {
        if (seen.has(uri)) continue;
        expect(uri).not.toContain("viewer");
        await get(uri);
        seen.add(uri);
      }
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    return [...seen].map((uri) => Number(/(\d+)_\w+_[\w-]+\.ts$/.exec(uri)?.[1]));
  }

  it("counts each viewer once, and fetches each segment once from the origin", async () => {
    const viewers = [1, 2, 3, 4, 5];
    const seen = await Promise.all(viewers.map((viewer) => watch(viewer, 6)));
    for (const numbers of seen) expect(numbers).toEqual(numbers.map((_, at) => (numbers[0] ?? 0) + at));
    const asked = sluice.child.stderr().match(/USER_NEW .*/g) ?? [];
    expect(asked.toSorted()).toEqual(viewers.map((viewer) => `USER_NEW 203.0.113.${viewer} viewer${viewer}`));
    const reply = await sluice.api({ clients: { fields: ["host", "protocol"] } });
    const rows = (reply["clients"] as { data: [string, string][] }).data.filter(([, protocol]) => protocol === "HLS");
    expect(rows.map(([host]) => host).toSorted()).toEqual(viewers.map((viewer) => `203.0.113.${viewer}`));

    const segments = edge.requests.filter(({ path }) => path.includes(".ts"));
    expect(segments.length).toBeGreaterThanOrEqual(30);
    const fetched = segments.filter(({ fromOrigin }) => fromOrigin).map(({ path }) => path);
    expect(fetched.length).toBe(new Set(fetched).size);
    expect(new Set(segments.map(({ path }) => path)).size).toBe(fetched.length);
    expect(edge.requests.filter(({ path, fromOrigin }) => path.includes(".m3u8") && !fromOrigin)).toEqual([]);
  });

  it("is played through by ffmpeg", async () => {
    const played = await playWithFfmpeg(`http://127.0.0.1:${edge.port}/hls/tv/index.m3u8?tkn=ffmpeg`, 3);
    expect(played.videoFrames).toBeGreaterThanOrEqual(70);
    expect(sluice.child.stderr().match(/USER_NEW .* ffmpeg/g)).toHaveLength(1);
  });
});
