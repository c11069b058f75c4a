import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { mpegtsDemuxer } from "../../src/containers/mpegts/demuxer.ts";
import { isTrackList } from "../../src/media/format.ts";
import type { Packet } from "../../src/media/packet.ts";
import { type Child, startChild } from "../support/child.ts";
import { startEncoder } from "../support/encoder.ts";
import { flvTags, readFlv } from "../support/flv-bytes.ts";
import { decodeErrors, type ProbedPacket, probeMedia, sampleMedia } from "../support/media.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";
import { whenPlayable } from "../support/stream-info.ts";
import { get, hlsSegments, view } from "../support/viewer.ts";

const gop = 50;
const frameMs = 40;
const streams = {
  live: { source: "push://" },
  moving: { source: "push://", resume: true, segmentsize: 900 },
  heavy: { source: "push://" },
};
const protocols = { hls: { segmentWindow: 3 } };

let sluice: Sluice;
let folder: string;
let encoder: Child;
let source: readonly ProbedPacket[];
/** The place of each of the source's video packets, by the hash of its bytes. */
const placeOf = new Map<string, number>();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluice-outputs-"));
  const sample = await sampleMedia({
    ...{ video: "h264", audio: "aac", bframes: 2, gop, seconds: 120, sampleRate: 44_100 },
    // No two packets are alike, so that each is known by its bytes.
    extra: ["-vf", "noise=alls=8:allf=t", "-af", "volume=0.5+0.4*sin(t*0.37):eval=frame"],
  });
  source = (await probeMedia(sample)).packets;
  const video = source.filter(({ codec_type }) => codec_type === "video");
  for (const [index, { data_hash }] of video.entries()) placeOf.set(data_hash, index);
  sluice = await startSluice({ config: { streams, protocols } });
  encoder = push(sample, "live");
  await whenPlayable(sluice, "live");
}, 120_000);
afterAll(async () => {
  await encoder?.stop();
  await sluice?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

function push(file: string, name: string, ...more: readonly string[]): Child {
  const input = ["-hide_banner", "-loglevel", "error", "-nostdin", "-re", ...more, "-i", file];
  return startChild("ffmpeg", [...input, "-c", "copy", "-f", "flv", sluice.rtmp(`live/${name}`)]);
}

const hashOf = ({ data }: { readonly data: Uint8Array }): string => `MD5:${createHash("md5").update(data).digest("hex")}`;
const placesOf = (packets: readonly Packet[]): number[] =>
  packets.filter(({ trackId }) => trackId === 1).map((packet) => placeOf.get(hashOf(packet)) ?? Number.NaN);

/** Opens an output and gives what came within `ms`. */
type Capture = (name: string, ms: number) => Promise<Uint8Array>;

const overHttp: Capture = async (name, ms) => {
  const response = await fetch(sluice.http(`${name}.flv`));
  expect(response.status).toBe(200);
  const parts: Uint8Array[] = [];
  const reader = response.body!.getReader();
  const limit = setTimeout(() => void reader.cancel(), ms);
  for (let part = await reader.read(); !part.done; part = await reader.read()) parts.push(part.value);
  clearTimeout(limit);
  return Buffer.concat(parts);
};

const overWebSocket: Capture = (name, ms) =>
  new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    const socket = new WebSocket(sluice.http(`${name}.flv`).replace("http:", "ws:"));
    socket.on("message", (data: Buffer, binary) => (binary ? parts.push(data) : reject(new Error(`text over FLV: ${data.toString()}`))));
    socket.on("error", reject);
    socket.on("open", () => setTimeout(() => socket.close(), ms));
    socket.on("close", () => resolve(Buffer.concat(parts)));
  });

const overRtmp: Capture = async (name, ms) => {
  const file = join(folder, `rtmp-${name}-${ms}-${performance.now()}.flv`);
  await using player = startChild("rtmpdump", ["-q", "-v", "-r", sluice.rtmp(`play/${name}`), "-o", file]);
  await new Promise((resolve) => setTimeout(resolve, ms));
  await player.stop("SIGINT");
  return new Uint8Array(await readFile(file));
};

const outputs: readonly (readonly [string, Capture])[] = [
  ["HTTP-FLV", overHttp],
  ["WebSocket-FLV", overWebSocket],
  ["RTMP", overRtmp],
];

/** How far the media's times are from the source's, in ms: for each of the two tracks the least and the most. */
function shifts(packets: readonly Packet[]): { readonly video: readonly number[]; readonly audio: readonly number[] } {
  const known = new Map(source.map(({ data_hash, pts_time }) => [data_hash, Number(pts_time) * 1000]));
  const of = (id: number): number[] =>
    packets
      .filter(({ trackId }) => trackId === id)
      .flatMap((packet) => {
        const pts = known.get(hashOf(packet));
        return pts === undefined ? [] : [packet.pts / 1000 - pts];
      });
  return { video: of(1), audio: of(2) };
}

function expectInSync(packets: readonly Packet[]): void {
  const { video, audio } = shifts(packets);
  expect(video.length).toBeGreaterThan(30);
  expect(audio.length).toBeGreaterThan(30);
  const all = [...video, ...audio];
  expect(Math.max(...all) - Math.min(...all)).toBeLessThan(50);
}

/** ffprobe's decode times rise in each track; ffmpeg decodes it all without a word. */
async function expectRising(path: string): Promise<void> {
  const { packets } = await probeMedia(path);
  for (const kind of ["video", "audio"]) {
    const times = packets.filter(({ codec_type }) => codec_type === kind).map(({ dts_time }) => Number(dts_time));
    expect(times.length).toBeGreaterThan(30);
    expect(times.filter((time, index) => index > 0 && time <= times[index - 1]!)).toEqual([]);
  }
}

describe("a late viewer", () => {
  it.each(outputs)("of %s gets headers, then the newest keyframe, then all frames in order", async (_, capture) => {
    // Not at the keyframe itself: half a group later, the newest one is a second old.
    const atKeyframe = async (): Promise<number> => {
      const places = placesOf(readFlv(await overHttp("live", 150)).packets);
      return places.length;
    };
    await expect.poll(atKeyframe, { timeout: 15_000, interval: 50 }).toBeGreaterThan(20);
    const before = placesOf(readFlv(await overHttp("live", 150)).packets).at(-1)!;
    const bytes = await capture("live", 2500);

    const kinds = flvTags(bytes).map(({ kind }) => kind);
    const firstMedia = kinds.findIndex((kind) => kind === "video key" || kind === "video" || kind === "audio");
    expect(kinds.slice(0, firstMedia).toSorted()).toEqual(["audio config", "metadata", "video config"]);
    expect(kinds.find((kind) => kind === "video key" || kind === "video")).toBe("video key");
    const { tracks, packets } = readFlv(bytes);
    expect(tracks.map(({ codecString }) => codecString)).toEqual([expect.stringMatching(/^avc1/), "mp4a.40.2"]);
    const places = placesOf(packets);
    expect(places[0]! % gop).toBe(0);
    // The group that played when it was opened, or one that has begun since (rtmpdump takes its time).
    expect(places[0]).toBeGreaterThan(before - gop);
    expect(places).toEqual(places.map((_place, index) => places[0]! + index));
    expect(packets.find(({ trackId }) => trackId === 1)?.keyframe).toBe(true);
    expectInSync(packets);
    const path = join(folder, `late-${outputs.findIndex(([, one]) => one === capture)}.flv`);
    await writeFile(path, bytes);
    await expectRising(path);
    expect(await decodeErrors(path)).toBe("");
  });

  it("gets the same tags over HTTP and over a WebSocket", async () => {
    const [http, webSocket] = await Promise.all([overHttp("live", 2500), overWebSocket("live", 2500)]);
    expect(Buffer.from(webSocket.subarray(0, 13)).equals(http.subarray(0, 13))).toBe(true);
    const [first, second] = [flvTags(http), flvTags(webSocket)];
    // One of them may have begun a group later, or ended a moment earlier; sound may come up to 200 ms after the picture of its time.
    const timesOf = (tags: typeof first): number[] => tags.filter(({ kind }) => /video/.test(kind)).map(({ timestampMs }) => timestampMs);
    const [from, to] = [Math.max(timesOf(first)[0]!, timesOf(second)[0]!), Math.min(timesOf(first).at(-1)!, timesOf(second).at(-1)!) - 200];
    const facts = (tags: typeof first): string[] =>
      tags
        .filter(({ kind, timestampMs }) => !/config|metadata/.test(kind) && timestampMs > from && timestampMs < to)
        .map(({ kind, timestampMs, body }) => `${kind} ${timestampMs} ${createHash("md5").update(body).digest("hex")}`);
    const headers = (tags: typeof first): string[] =>
      tags.filter(({ kind }) => /config|metadata/.test(kind)).map(({ kind, body }) => `${kind} ${Buffer.from(body).toString("hex")}`);
    expect(facts(first).length).toBeGreaterThan(40);
    expect(facts(second)).toEqual(facts(first));
    expect(headers(second)).toEqual(headers(first));
  });
});

type Segment = { readonly uri: string; readonly seconds: number; readonly at: number; readonly discontinuity: boolean };
type Playlist = {
  readonly text: string;
  readonly target: number;
  readonly sequence: number;
  readonly breaks: number;
  readonly segments: readonly Segment[];
};

/** Reads a media playlist; every segment must have its length and its time of day. */
function parse(text: string): Playlist {
  const number = (tag: string): number => Number(new RegExp(`^#EXT-X-${tag}:(\\d+)$`, "m").exec(text)?.[1] ?? 0);
  const segments = [...text.matchAll(/(#EXT-X-DISCONTINUITY\n)?#EXT-X-PROGRAM-DATE-TIME:(.*)\n#EXTINF:([\d.]+),\n([^#\n]+)/g)].map(
    ([, mark, date = "", length, uri = ""]) => ({ uri, seconds: Number(length), at: Date.parse(date), discontinuity: mark !== undefined }),
  );
  expect(segments).toHaveLength([...text.matchAll(/#EXTINF/g)].length);
  return { text, target: number("TARGETDURATION"), sequence: number("MEDIA-SEQUENCE"), breaks: number("DISCONTINUITY-SEQUENCE"), segments };
}

const mediaPlaylist = async (name: string): Promise<Playlist> =>
  parse((await get(sluice.http(`hls/${name}/1_2/index.m3u8?tkn=poller`))).text);

describe("HLS", () => {
  it("rolls on: sequence and time of day grow, nothing is longer than promised, nothing changes its name", async () => {
    const seen: Playlist[] = [];
    const known = new Map<number, Segment>();
    await expect
      .poll(
        async () => {
          const playlist = await mediaPlaylist("live");
          seen.push(playlist);
          for (const [index, segment] of playlist.segments.entries()) {
            const number = playlist.sequence + index;
            if (known.has(number)) expect(known.get(number)).toEqual(segment);
            known.set(number, segment);
          }
          return playlist.sequence - seen[0]!.sequence;
        },
        { timeout: 20_000, interval: 300 },
      )
      .toBeGreaterThanOrEqual(4);
    for (const [index, { segments, sequence, target }] of seen.entries()) {
      expect(segments).toHaveLength(3);
      expect(target).toBe(seen[0]!.target);
      expect(sequence).toBeGreaterThanOrEqual(seen[Math.max(0, index - 1)]!.sequence);
      for (const { seconds } of segments) expect(Math.round(seconds)).toBeLessThanOrEqual(target);
    }
    expect([...known.values()].some(({ discontinuity }) => discontinuity)).toBe(false);
    const all = [...known.entries()].toSorted(([a], [b]) => a - b).map(([, segment]) => segment);
    for (const [index, { at, seconds }] of all.slice(0, -1).entries())
      expect(Math.abs(all[index + 1]!.at - at - seconds * 1000)).toBeLessThan(50);
    expect(Math.abs(all.at(-1)!.at + all.at(-1)!.seconds * 1000 - Date.now())).toBeLessThan(2000 + gop * frameMs);
  });

  it("has segments that join without a gap and keep sound and picture together", async () => {
    const { segments } = await hlsSegments(sluice.http("hls/live/index.m3u8?tkn=joiner"), 3);
    const path = join(folder, "joined.ts");
    await writeFile(path, Buffer.concat(segments.map(({ bytes }) => bytes)));
    await expectRising(path);
    expect(await decodeErrors(path)).toBe("");
    const demuxer = mpegtsDemuxer();
    const packets = [...demuxer.feed(new Uint8Array(await readFile(path))), ...demuxer.flush()].flatMap((one) =>
      isTrackList(one) ? [] : [one],
    );
    const places = placesOf(packets);
    expect(places).toHaveLength(3 * gop);
    expect(places).toEqual(places.map((_, index) => places[0]! + index));
    expectInSync(packets);
  });

  it("marks the place where another publisher goes on with another picture", async () => {
    await using first = startEncoder(sluice.rtmp("live/moving"), { size: "160x90" });
    await whenPlayable(sluice, "moving");
    const watching = overHttp("moving", 14_000);
    const early = (await get(sluice.http("hls/moving/index.m3u8?tkn=poller"))).text;
    expect(early).toContain("RESOLUTION=160x90");
    const before = await mediaPlaylist("moving");
    await first.stop();
    await using second = startEncoder(sluice.rtmp("live/moving"), { size: "320x180" });
    const playlists: Playlist[] = [before];
    await expect
      .poll(
        async () => {
          playlists.push(await mediaPlaylist("moving"));
          return playlists.at(-1)!.breaks;
        },
        { timeout: 30_000, interval: 200 },
      )
      .toBe(1);
    const known = new Map<number, Segment>();
    for (const playlist of playlists)
      for (const [index, segment] of playlist.segments.entries()) known.set(playlist.sequence + index, segment);
    const all = [...known.entries()].toSorted(([a], [b]) => a - b).map(([, segment]) => segment);
    expect(all.filter(({ discontinuity }) => discontinuity)).toHaveLength(1);
    for (const [index, { at }] of all.slice(1).entries()) expect(at).toBeGreaterThan(all[index]!.at);
    for (const { segments, target } of playlists)
      for (const { seconds } of segments) expect(Math.round(seconds)).toBeLessThanOrEqual(target);
    expect((await get(sluice.http("hls/moving/index.m3u8?tkn=poller"))).text).toContain("RESOLUTION=320x180");
    const { segments } = await hlsSegments(sluice.http("hls/moving/index.m3u8?tkn=poller"), 1);
    const path = join(folder, "moved.ts");
    await writeFile(path, segments[0]!.bytes);
    expect((await probeMedia(path)).streams[0]).toMatchObject({ width: 320, height: 180 });
    await second.stop();

    // Who watched FLV all the time got the new configuration in front of a keyframe, and time went on.
    const tags = flvTags(await watching);
    const configs = tags.flatMap(({ kind }, index) => (kind === "video config" ? [index] : []));
    expect(configs).toHaveLength(2);
    expect(tags.slice(configs[1]).find(({ kind }) => kind === "video key" || kind === "video")?.kind).toBe("video key");
    const times = tags.filter(({ kind }) => kind === "video" || kind === "video key").map(({ timestampMs }) => timestampMs);
    expect(times.filter((time, index) => index > 0 && time <= times[index - 1]!)).toEqual([]);
  });
});

describe("answers over HTTP", () => {
  const paths = async (server: Sluice): Promise<{ playlist: string; media: string; segment: string }> => {
    const playlist = server.http("hls/live/index.m3u8");
    const { segments } = await hlsSegments(playlist, 1);
    const segment = segments[0]!.url;
    return { playlist, media: segment.replace(/[^/]+$/, "index.m3u8"), segment };
  };

  it("let every page in: CORS, preflight and cookies", async () => {
    const { playlist, segment } = await paths(sluice);
    for (const url of [playlist, segment, sluice.http("json_live.js")]) {
      const answer = await fetch(url, { headers: { Origin: "https://page.example" } });
      expect(answer.status).toBe(200);
      await answer.arrayBuffer();
      expect(answer.headers.get("access-control-allow-origin")).toBe("https://page.example");
      expect(answer.headers.get("access-control-allow-credentials")).toBe("true");
      expect((await fetch(url)).headers.get("access-control-allow-origin")).toBe("*");
      const preflight = await fetch(url, {
        method: "OPTIONS",
        headers: { Origin: "https://page.example", "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "range" },
      });
      expect([200, 204]).toContain(preflight.status);
      expect(preflight.headers.get("access-control-allow-headers")).toMatch(/range|\*/i);
    }
    using flv = await view(sluice.http("live.flv"), { Origin: "https://page.example" });
    expect(flv.headers["access-control-allow-origin"]).toBe("https://page.example");
  });

  it("are told by HEAD too, without a body", async () => {
    const { playlist, media, segment } = await paths(sluice);
    for (const url of [playlist, media, segment]) {
      const answer = await fetch(url, { method: "HEAD" });
      expect(answer.status).toBe(200);
      expect(Number(answer.headers.get("content-length"))).toBeGreaterThan(50);
      expect(answer.headers.get("content-type")).toBe(url === segment ? "video/mp2t" : "application/vnd.apple.mpegurl");
      expect((await answer.arrayBuffer()).byteLength).toBe(0);
    }
    const flv = await fetch(sluice.http("live.flv"), { method: "HEAD" });
    expect([flv.status, flv.headers.get("content-type"), (await flv.arrayBuffer()).byteLength]).toEqual([200, "video/x-flv", 0]);
  });

  it("keep tokens out of caches, and let caches keep segments where there are none", async () => {
    const caching = async (url: string): Promise<string> => {
      const answer = await fetch(url);
      await answer.arrayBuffer();
      return answer.headers.get("cache-control") ?? "";
    };
    const withTokens = await paths(sluice);
    expect(withTokens.segment).toMatch(/\?tkn=\w{16}$/);
    for (const url of Object.values(withTokens)) expect(await caching(url)).toContain("no-store");
    const first = await fetch(withTokens.playlist);
    expect(first.headers.get("set-cookie")).toMatch(/^tkn=\w{16};/);

    await using plain = await startSluice({ config: { streams, protocols, tknMode: 0 } });
    await using encoding = startEncoder(plain.rtmp("live/live"));
    await whenPlayable(plain, "live");
    const without = await paths(plain);
    expect(without.segment).not.toContain("tkn");
    expect(await caching(without.segment)).toMatch(/^public, max-age=\d+, immutable$/);
    for (const url of [without.playlist, without.media]) expect(await caching(url)).toMatch(/no-cache/);
    expect((await fetch(without.playlist)).headers.get("set-cookie")).toBeNull();
    await encoding.stop();
  });
});

describe("a viewer who does not read", () => {
  it("disturbs nobody, and goes on at a keyframe when it reads again", async () => {
    // Noise that no encoder can compress: 30 Mbit/s and more fill every buffer in a moment.
    const noise = await sampleMedia({
      video: "h264",
      audio: "aac",
      seconds: 4,
      size: "640x360",
      gop: 25,
      extra: ["-vf", "noise=alls=90:allf=t", "-qp", "12"],
    });
    await using pushing = push(noise, "heavy", "-stream_loop", "-1");
    await whenPlayable(sluice, "heavy");
    using healthy = await view(sluice.http("heavy.flv?tkn=healthy"));
    const parts: Buffer[] = [];
    const stalled = connect(sluice.ports.http, "127.0.0.1");
    stalled.on("error", () => {});
    stalled.write("GET /heavy.flv?tkn=stalled HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stalled.pause();
    await healthy.atLeast(1000);
    const before = healthy.received();
    await healthy.atLeast(before + 40_000_000, 60_000);
    expect(healthy.longestGapMs()).toBeLessThan(1000);

    let read = 0;
    await new Promise<void>((resolve) => {
      stalled.on("data", (part: Buffer) => {
        parts.push(part);
        read += part.length;
        if (read > 30_000_000) resolve();
      });
      stalled.once("close", () => resolve());
      stalled.resume();
    });
    stalled.destroy();
    const all = Buffer.concat(parts);
    const bytes = new Uint8Array(all.subarray(all.indexOf("\r\n\r\n") + 4));
    const video = flvTags(bytes).filter(({ kind }) => kind === "video" || kind === "video key");
    const jumps = video.flatMap(({ timestampMs }, index) =>
      index > 0 && timestampMs - video[index - 1]!.timestampMs > 200 ? [index] : [],
    );
    expect(jumps.length).toBeGreaterThan(0);
    for (const index of jumps) expect(video[index]!.kind).toBe("video key");
    await pushing.stop();
  });
});
