import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startEncoder } from "../support/encoder.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";
import { get } from "../support/viewer.ts";

const uris = (playlist: string): string[] => playlist.split("\n").filter((line) => line !== "" && !line.startsWith("#"));

describe("an HLS viewer whose yes becomes a no", () => {
  const all = new AsyncDisposableStack();
  let sluice: Sluice;

  beforeAll(async () => {
    const config = `
      import { deny } from "sluice";
      let open = true;
      export default {
        triggers: { USER_NEW: ({ recheck }) => ((open &&= !recheck) ? true : deny("your time is up")) },
      };`;
    sluice = all.use(await startSluice({ config }));
    const encoder = all.use(startEncoder(sluice.rtmp("live/tv")));
    await encoder.printed(/frame=/);
  });
  afterAll(() => all.disposeAsync());

  it("gets the playlist with an end, and not one segment more; who comes then is refused", async () => {
    const top = sluice.http("hls/tv/index.m3u8?tkn=a");
    const media = new URL(uris((await get(top)).text)[0] ?? "", top).href;
    let list: string[] = [];
    await expect.poll(async () => (list = uris((await get(media)).text)).length, { timeout: 20_000 }).toBeGreaterThanOrEqual(3);
    const segment = (at: number): string => new URL(list[at] ?? "", media).href;
    for (const at of [0, 1]) expect((await fetch(segment(at))).status).toBe(200);

    await sluice.api({ invalidate_sessions: "tv" });
    const last = await get(media);
    expect([last.status, last.headers.get("content-type")]).toEqual([200, "application/vnd.apple.mpegurl"]);
    expect(last.text).toMatch(/#EXT-X-ENDLIST\n$/);
    // What it has got, and nothing behind that; the token is of no use any more.
    expect(uris(last.text)).toEqual(list.slice(0, 2).map((uri) => uri.replace(/\?.*$/, "")));
    expect((await get(segment(2))).status).toBe(403);
    expect((await get(top)).status).toBe(403);
    const stranger = await get(media.replace("tkn=a", "tkn=b"));
    expect([stranger.status, stranger.text.split("\n")[0]]).toEqual([403, "your time is up"]);
  });
});
