import { readFile } from "node:fs/promises";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { admit } from "../../../test/support/admission.ts";
import { FakeClock } from "../../../test/support/fake-clock.ts";
import { loopbackHost } from "../../../test/support/loopback.ts";
import { sampleMedia } from "../../../test/support/media.ts";
import { SluiceError } from "../../base/errors.ts";
import { mpegtsDemuxer } from "../../containers/mpegts/demuxer.ts";
import { isTrackList } from "../../media/format.ts";
import type { Packet } from "../../media/packet.ts";
import type { Track } from "../../media/track.ts";
import { createDirectory } from "../../streams/directory.ts";
import type { Stream } from "../../streams/stream.ts";
import type { AccessRequest } from "../protocol.ts";
import { hls } from "./index.ts";

let media: { tracks: readonly Track[]; packets: readonly Packet[] };
beforeAll(async () => {
  const path = await sampleMedia({ video: "h264", audio: "aac", bframes: 2, seconds: 10, container: "mpegts" });
  const demuxer = mpegtsDemuxer();
  const outputs = [...demuxer.feed(await readFile(path)), ...demuxer.flush()];
  const packets = outputs.flatMap((output) => (isTrackList(output) ? [] : [output])).sort((a, b) => a.dts - b.dts);
  const first = packets[0]?.dts ?? 0;
  const moved = packets.map((packet) => ({ ...packet, dts: packet.dts - first, pts: packet.pts - first }));
  media = { tracks: outputs.find(isTrackList)?.tracks ?? [], packets: moved };
});

const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one[Symbol.asyncDispose]();
});

/** Live streams of one second's segments, and a gate that reads the token of a query as the real one does. */
async function serving(options: object, decide: (request: AccessRequest) => Stream) {
  const clock = new FakeClock(Date.UTC(2026, 10, 22, 12));
  const asked: AccessRequest[] = [];
  const { host } = loopbackHost({
    clock,
    play: async (request) => {
      asked.push(request);
      const token = request.query["tkn"] ?? "";
      return admit(decide(request), { token, urlToken: token === "" ? undefined : encodeURIComponent(token), cookie: undefined }).admission;
    },
  });
  const streams = createDirectory({ clock, log: host.log, flushMs: () => 0 });
  open.push(streams, host);
  await hls.serve?.(host, hls.parseOptions({ segmentWindow: 4, ...options }));
  const base = `http://127.0.0.1:${(await host.listenHttp()).port}`;
  const publish = (name: string) => {
    const writer = streams.publish(name, { bufferMs: 30_000, segmentMs: 1000, resume: false, source: "push://" });
    let fed = 0;
    writer.describe(media.tracks);
    /** Until media time `seconds`. */
    const feed = (seconds: number): void => {
      for (let packet = media.packets[fed]; packet && packet.dts < seconds * 1e6; packet = media.packets[++fed]) writer.write(packet);
    };
    return { stream: writer.stream, feed };
  };
  const get = async (path: string, headers: Record<string, string> = {}) => {
    const response = await fetch(new URL(path, base), { headers });
    return { status: response.status, headers: response.headers, url: new URL(response.url).pathname, text: await response.text() };
  };
  return { asked, clock, get, publish };
}

const addresses = (playlist: string): string[] => playlist.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
/** An address of a playlist, from the playlist's own. */
const from = (path: string, address: string | undefined): string => {
  const url = new URL(address ?? "", new URL(path, "http://x"));
  return url.pathname + url.search;
};

describe("a token in the path", () => {
  it("goes from the query into every address, is read there, and needs no query", async () => {
    const { asked, get, publish } = await serving({ tokenIn: "path" }, () => live.stream);
    const live = publish("live");
    live.feed(5);
    const top = "/hls/live/index.m3u8?tkn=a%2Fb&user=7";
    const child = from(top, addresses((await get(top)).text)[0]);
    expect(child).toBe("/hls/live/~tkn=a%2Fb/1_2/index.m3u8?user=7");
    const segment = from(child, addresses((await get(child)).text).at(-1));
    expect(segment).toMatch(/^\/hls\/live\/~tkn=a%2Fb\/1_2\/3_\w+\.ts\?user=7$/);
    expect((await get(segment)).status).toBe(200);
    expect(asked.map(({ stream, query }) => [stream, query["tkn"]])).toEqual(Array.from({ length: 3 }, () => ["live", "a/b"]));
  });

  it("gives way to a fresh one in the query, and the playlist goes on with that", async () => {
    const { asked, get, publish } = await serving({ tokenIn: "path" }, () => live.stream);
    const live = publish("live");
    live.feed(5);
    const child = "/hls/live/~tkn=old/1_2/index.m3u8?tkn=new";
    expect(from(child, addresses((await get(child)).text)[0])).toMatch(/^\/hls\/live\/~tkn=new\/1_2\/0_\w+\.ts$/);
    const top = "/hls/live/~tkn=old/index.m3u8?tkn=new";
    expect(from(top, addresses((await get(top)).text)[0])).toBe("/hls/live/~tkn=new/1_2/index.m3u8");
    expect(asked.map(({ query }) => query["tkn"])).toEqual(["new", "new"]);
  });

  it("is read also where playlists do not write it", async () => {
    const { asked, get, publish } = await serving({}, () => live.stream);
    const live = publish("live");
    live.feed(5);
    expect((await get("/hls/live/~tkn=t/1_2/index.m3u8")).status).toBe(200);
    expect(asked[0]?.query["tkn"]).toBe("t");
  });
});

describe("shared segments", () => {
  it("are the same for all viewers, need no token, ask nobody, and may be cached", async () => {
    const { asked, get, publish } = await serving({ sharedSegments: true }, () => live.stream);
    const live = publish("live");
    live.feed(5);
    const lists = [];
    for (const child of ["/hls/live/1_2/index.m3u8?tkn=a&user=1", "/hls/live/1_2/index.m3u8?tkn=b", "/hls/live/~tkn=c/1_2/index.m3u8"]) {
      const playlist = await get(child);
      expect(playlist.headers.get("cache-control")).toContain("no-store");
      lists.push(addresses(playlist.text).map((address) => from(child, address)));
    }
    expect(lists[0]).toHaveLength(4);
    expect(lists[1]).toEqual(lists[0]);
    expect(lists[2]).toEqual(lists[0]);
    expect(asked).toHaveLength(3);
    const segment = await get(lists[0]?.[0] ?? "", { cookie: "tkn=a" });
    expect([segment.status, segment.headers.get("cache-control"), segment.headers.get("set-cookie")]).toEqual([
      200,
      "public, max-age=10, immutable",
      null,
    ]);
    expect(asked).toHaveLength(3);
  });

  it("cannot be guessed: no name but the ones in playlists is answered, and none opens a session", async () => {
    const { asked, get, publish } = await serving({ sharedSegments: true }, () => live.stream);
    const live = publish("live");
    live.feed(5);
    const [first = "", second = ""] = addresses((await get("/hls/live/1_2/index.m3u8")).text);
    const [number, mark, secret] = first.split("_");
    const forged = [`${number}_${mark}_${"A".repeat(22)}.ts`, `${second.split("_", 2).join("_")}_${secret}`];
    for (const name of forged) expect((await get(`/hls/live/1_2/${name}`)).status).toBe(404);
    expect((await get(`/hls/other/1_2/${first}`)).status).toBe(404);
    expect(asked).toHaveLength(1);
    // Without the part that cannot be guessed it is a request like any other: the gate is asked, and there is no such segment.
    expect((await get(`/hls/live/1_2/${number}_${mark}.ts`)).status).toBe(404);
    expect(asked).toHaveLength(2);
  });

  it("are there only while somebody is shown the playlist", async () => {
    const { clock, get, publish } = await serving({ sharedSegments: true }, () => live.stream);
    const live = publish("live");
    live.feed(5);
    const [first = ""] = addresses((await get("/hls/live/1_2/index.m3u8")).text);
    await clock.advance(59_000);
    expect((await get(`/hls/live/1_2/${first}`)).status).toBe(200);
    await clock.advance(1000);
    expect((await get(`/hls/live/1_2/${first}`)).status).toBe(404);
  });

  it("of one stream are not answered under the name of another that is shown there, too", async () => {
    const { get, publish } = await serving({ sharedSegments: true }, ({ query }) => (query["tkn"] === "b" ? two : one).stream);
    const [one, two] = [publish("one"), publish("two")];
    one.feed(5);
    two.feed(3);
    const lists = await Promise.all(["a", "b"].map(async (token) => addresses((await get(`/hls/live/1_2/index.m3u8?tkn=${token}`)).text)));
    expect(lists[0]).toHaveLength(4);
    expect(lists[1]).toHaveLength(2);
    const bodies = await Promise.all(lists.map((list) => get(`/hls/live/1_2/${list[0]}`)));
    expect(bodies.map(({ status }) => status)).toEqual([200, 200]);
  });
});

describe("a viewer who may not go on", () => {
  const no = (watchedMs?: number) => new SluiceError("access.denied", "your time is up", watchedMs === undefined ? {} : { watchedMs });

  it("gets what it has seen once more, and an end; what is no playlist is refused", async () => {
    let refusal: SluiceError | undefined;
    const { get, publish } = await serving({}, () => {
      if (refusal) throw refusal;
      return live.stream;
    });
    const live = publish("live");
    live.feed(7);
    const child = "/hls/live/1_2/index.m3u8";
    const before = addresses((await get(child)).text);
    expect(before.map((name) => name.split("_")[0])).toEqual(["2", "3", "4", "5"]);
    live.feed(7.5);
    // The window has gone on to 3 to 6; the viewer has got until the end of segment 4.
    refusal = no(5040);
    const after = await get(child);
    expect(after.status).toBe(200);
    expect(addresses(after.text)).toEqual(before.slice(1, 3));
    expect(after.text).toMatch(/#EXT-X-MEDIA-SEQUENCE:3\n[^]*#EXT-X-ENDLIST\n$/);
    expect((await get(`/hls/live/1_2/${before[3]}`)).status).toBe(403);
    expect((await get("/hls/live/index.m3u8")).status).toBe(403);
    expect((await get("/hls/live/9/index.m3u8")).status).toBe(403);
    refusal = no(2040);
    expect(addresses((await get(child)).text).map((name) => name.split("_")[0])).toEqual(["0", "1"]);
    refusal = no(0);
    expect(addresses((await get(child)).text)).toEqual(before.slice(1, 2));
    refusal = no();
    const later = await get(child);
    expect([later.status, later.text]).toEqual([403, "your time is up\n"]);
  });

  it("gets all but the newest of shared segments, of which nobody knows who has got them", async () => {
    let refusal: SluiceError | undefined;
    const { get, publish } = await serving({ sharedSegments: true }, () => {
      if (refusal) throw refusal;
      return live.stream;
    });
    const live = publish("live");
    live.feed(7);
    const child = "/hls/live/1_2/index.m3u8";
    const before = addresses((await get(child)).text);
    refusal = no(0);
    const last = await get(child);
    expect(addresses(last.text)).toEqual(before.slice(0, 3));
    expect(last.text).toMatch(/#EXT-X-ENDLIST\n$/);
  });

  it("is refused where nobody was shown anything, or the name stands for several streams", async () => {
    let refuse = true;
    const { get, publish } = await serving({}, ({ query }) => {
      if (refuse) throw no(5000);
      return (query["tkn"] === "b" ? two : one).stream;
    });
    const [one, two] = [publish("one"), publish("two")];
    one.feed(5);
    two.feed(5);
    const child = "/hls/live/1_2/index.m3u8?tkn=";
    expect((await get(`${child}a`)).status).toBe(403);
    refuse = false;
    await get(`${child}a`);
    await get(`${child}b`);
    refuse = true;
    expect((await get(`${child}a`)).status).toBe(403);
  });
});
