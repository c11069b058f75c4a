import { readFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { admit, type TestAdmission } from "../../../test/support/admission.ts";
import { startChild } from "../../../test/support/child.ts";
import { FakeClock } from "../../../test/support/fake-clock.ts";
import { loopbackHost } from "../../../test/support/loopback.ts";
import { sampleMedia } from "../../../test/support/media.ts";
import { SluiceError } from "../../base/errors.ts";
import { mpegtsDemuxer } from "../../containers/mpegts/demuxer.ts";
import type { RunningHost } from "../../host/host.ts";
import { isTrackList } from "../../media/format.ts";
import type { Packet } from "../../media/packet.ts";
import type { Track } from "../../media/track.ts";
import { createDirectory } from "../../streams/directory.ts";
import type { Stream, StreamDirectory, StreamWriter, VodSource } from "../../streams/stream.ts";
import type { AccessRequest, Admission } from "../protocol.ts";
import { hls } from "./index.ts";
import { parseHlsPath } from "./address.ts";

const hidden = "the-real-name";
const open = { urlToken: undefined, cookie: undefined } as const;

let clock: FakeClock;
let host: RunningHost;
let streams: StreamDirectory;
let stream: Stream;
let writer: StreamWriter;
let media: { tracks: readonly Track[]; packets: readonly Packet[] };
let base: string;
let asked: AccessRequest[];
let given: TestAdmission<Stream>[];
let answer: (request: AccessRequest) => Promise<Partial<Admission<Stream>>>;

beforeEach(async () => {
  media = await readMedia();
  asked = [];
  given = [];
  answer = async () => open;
  clock = new FakeClock(Date.UTC(2026, 10, 22, 12));
  ({ host } = loopbackHost({
    clock,
    play: async (request) => {
      asked.push(request);
      const fields = await answer(request);
      const one = admit(stream, { askedName: "asked", ...fields });
      given.push(one);
      return one.admission;
    },
  }));
  streams = createDirectory({ clock, log: host.log, flushMs: () => 0 });
  writer = streams.publish(hidden, { bufferMs: 30_000, segmentMs: 1000, resume: false, source: "push://" });
  stream = writer.stream;
  await hls.serve?.(host, hls.parseOptions({ segmentWindow: 4, startWaitMs: 20_000 }));
  base = `http://127.0.0.1:${(await host.listenHttp()).port}`;
});

afterEach(async () => {
  await streams[Symbol.asyncDispose]();
  await host[Symbol.asyncDispose]();
});

/** Ten seconds with a keyframe each second; decode times from 0. */
async function readMedia(): Promise<typeof media> {
  const path = await sampleMedia({ video: "h264", audio: "aac", bframes: 2, seconds: 10, container: "mpegts" });
  const demuxer = mpegtsDemuxer();
  const outputs = [...demuxer.feed(await readFile(path)), ...demuxer.flush()];
  const packets = outputs.flatMap((output) => (isTrackList(output) ? [] : [output])).sort((a, b) => a.dts - b.dts);
  const first = packets[0]?.dts ?? 0;
  const moved = packets.map((packet) => ({ ...packet, dts: packet.dts - first, pts: packet.pts - first }));
  return { tracks: outputs.find(isTrackList)?.tracks ?? [], packets: moved };
}

let fed = 0;
/** Publishes until media time `seconds`. */
function feed(seconds: number): void {
  if (stream.tracks.length === 0) {
    fed = 0;
    writer.describe(media.tracks);
  }
  for (let packet = media.packets[fed]; packet && packet.dts < seconds * 1e6; packet = media.packets[++fed]) writer.write(packet);
}

const end = (): Promise<boolean> => streams.end(hidden, { code: "CLEAN_EOF", text: "over" });

type Answer = { readonly status: number; readonly headers: Headers; readonly bytes: Uint8Array; readonly text: string };

async function get(path: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(base + path, init);
  const bytes = new Uint8Array(await response.arrayBuffer());
  return { status: response.status, headers: response.headers, bytes, text: new TextDecoder().decode(bytes) };
}

const addresses = (playlist: string): string[] => playlist.split("\n").filter((line) => line !== "" && !line.startsWith("#"));

/** What ffprobe reads: packets of each kind, or its messages. */
async function probe(url: string): Promise<{ video: number; audio: number; errors: string }> {
  await using ffprobe = startChild("ffprobe", [
    "-v",
    "warning",
    "-live_start_index",
    "0",
    "-of",
    "csv=p=0",
    "-show_entries",
    "packet=codec_type",
    url,
  ]);
  await ffprobe.exited;
  const kinds = ffprobe.stdout().split("\n");
  return {
    video: kinds.filter((kind) => kind.startsWith("video")).length,
    audio: kinds.filter((kind) => kind.startsWith("audio")).length,
    errors: ffprobe.stderr(),
  };
}

const fedPackets = (kind: Track["kind"]): number => {
  const ids = media.tracks.filter((track) => track.kind === kind).map((track) => track.id);
  return media.packets.filter((packet) => ids.includes(packet.trackId)).length;
};

describe("playing live", () => {
  it("shows a multivariant playlist, a rolling window and segments, and nowhere the stream's real name", async () => {
    feed(7.5);
    const top = await get("/hls/asked/index.m3u8");
    expect(top.status).toBe(200);
    expect(top.headers.get("content-type")).toBe("application/vnd.apple.mpegurl");
    expect(top.headers.get("cache-control")).toBe("no-cache, no-store, must-revalidate");
    expect(top.headers.get("content-length")).toBe(String(top.bytes.length));
    expect(top.text).toMatch(
      /BANDWIDTH=\d+,AVERAGE-BANDWIDTH=\d+,RESOLUTION=160x90,FRAME-RATE=25.000,CODECS="avc1\.[0-9a-f]{6},mp4a\.40\.2"\n1_2\/index\.m3u8\n$/,
    );
    const playlist = await get("/hls/asked/1_2/index.m3u8");
    expect(playlist.text.replace(/^\d+_\w+\.ts$/gm, "SEGMENT")).toMatch(
      new RegExp(
        "^#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:3\n(#EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:0[3-6]\\.\\d{3}Z\n#EXTINF:1.000000,\nSEGMENT\n){4}$",
      ),
    );
    const segments = addresses(playlist.text);
    const segment = await get(`/hls/asked/1_2/${segments[0]}`);
    expect(segment.status).toBe(200);
    expect(segment.headers.get("content-type")).toBe("video/mp2t");
    expect(segment.headers.get("content-length")).toBe(String(segment.bytes.length));
    expect(segment.bytes.length % 188).toBe(0);
    expect(segment.headers.get("cache-control")).toBe("public, max-age=10, immutable");
    const head = await get(`/hls/asked/1_2/${segments[0]}`, { method: "HEAD" });
    expect([head.status, head.bytes.length, head.headers.get("content-length")]).toEqual([200, 0, String(segment.bytes.length)]);
    for (const { headers, text } of [top, playlist, segment]) expect(JSON.stringify([...headers]) + text).not.toContain(hidden);
    expect(given.map((one) => one.bytes())).toEqual([top.bytes.length, playlist.bytes.length, segment.bytes.length, 0]);
    expect(given.every((one) => one.disposed())).toBe(true);
  });

  it("asks the gate at every request, with the name as the client wrote it", async () => {
    feed(3);
    for (const path of ["/hls/Live%2BA%20b/index.m3u8?tkn=x", "/hls/live+x%2Fy/1_2/index.m3u8", "/hls/live%20x/1_2/7_x.ts"])
      await get(path);
    expect(asked.map((request) => request.stream)).toEqual(["Live+A b", "live+x/y", "live x"]);
    expect(asked[0]).toMatchObject({
      protocol: "HLS",
      carriesToken: true,
      query: { tkn: "x" },
      url: `${base}/hls/Live%2BA%20b/index.m3u8?tkn=x`,
    });
  });

  it("carries the token in addresses and cookie, and then lets no cache keep a segment", async () => {
    feed(4);
    answer = async () => ({ urlToken: "a%20b", cookie: "tkn=a%20b; Max-Age=600" });
    const top = await get("/hls/asked/index.m3u8");
    expect(addresses(top.text)).toEqual(["1_2/index.m3u8?tkn=a%20b"]);
    expect(top.headers.get("set-cookie")).toBe("tkn=a%20b; Max-Age=600");
    const names = addresses((await get("/hls/asked/1_2/index.m3u8")).text);
    expect(names.length).toBe(3);
    for (const name of names) expect(name).toMatch(/^\d+_\w+\.ts\?tkn=a%20b$/);
    const segment = await get(`/hls/asked/1_2/${names[0]}`);
    expect([segment.status, segment.headers.get("cache-control"), segment.headers.get("set-cookie")]).toEqual([
      200,
      "no-store",
      "tkn=a%20b; Max-Age=600",
    ]);
    answer = async () => ({ urlToken: undefined, cookie: "tkn=a" });
    expect((await get(`/hls/asked/1_2/${names[0]}`)).headers.get("cache-control")).toMatch(/^private, max-age=\d+, immutable$/);
  });

  it("hands the viewer's own parameters on, so that it can be asked about again at each request", async () => {
    feed(4);
    answer = async () => ({ urlToken: "t" });
    const query = "user=anna%20b&tkn=old&jwt=j&sid=s&sessId=i&was=older&_HLS_msn=7&x=%26%23";
    const top = addresses((await get(`/hls/asked/index.m3u8?${query}`)).text);
    expect(top).toEqual(["1_2/index.m3u8?user=anna+b&x=%26%23&tkn=t"]);
    const names = addresses((await get(`/hls/asked/${top[0]}`)).text);
    expect(names.length).toBe(3);
    for (const name of names) expect(name).toMatch(/^\d+_\w+\.ts\?user=anna\+b&x=%26%23&tkn=t$/);
    // Nobody can make us repeat a whole novel on each line.
    expect(addresses((await get(`/hls/asked/index.m3u8?x=${"y".repeat(3000)}`)).text)).toEqual(["1_2/index.m3u8?tkn=t"]);
    // Segments without a token stay the same for all.
    answer = async () => ({ urlToken: undefined });
    expect(addresses((await get("/hls/asked/index.m3u8?user=anna")).text)).toEqual(["1_2/index.m3u8?user=anna"]);
    for (const name of addresses((await get("/hls/asked/1_2/index.m3u8?user=anna")).text)) expect(name).toMatch(/^\d+_\w+\.ts$/);
  });

  it("answers what is not there with a text, and other methods not at all", async () => {
    feed(9.5);
    for (const tracks of ["9_9", "1_9", "7"]) {
      const answered = await get(`/hls/asked/${tracks}/index.m3u8`);
      expect([answered.status, answered.text]).toEqual([404, expect.stringContaining("no track")]);
    }
    const gone = await get("/hls/asked/1_2/0_zz.ts");
    expect([gone.status, gone.text]).toEqual([404, expect.stringContaining("not kept any more")]);
    const posted = await get("/hls/asked/index.m3u8", { method: "POST" });
    expect([posted.status, posted.headers.get("allow")]).toEqual([405, "GET, HEAD, OPTIONS"]);
  });

  it("plays one track alone", async () => {
    feed(4);
    const names = addresses((await get("/hls/asked/2/index.m3u8")).text);
    const whole = await get(`/hls/asked/1_2/${names[0]}`);
    const audio = await get(`/hls/asked/2/${names[0]}`);
    expect(audio.status).toBe(200);
    expect(audio.bytes.length).toBeLessThan(whole.bytes.length);
  });

  it("is played by ffmpeg from a growing playlist to the end, without a break", async () => {
    feed(3.5);
    let seconds = 3.5;
    answer = async ({ url }) => {
      if (url.includes("1_2/index.m3u8") && seconds < 10) feed((seconds += 1.5));
      if (seconds >= 10 && stream.state !== "offline") await end();
      return open;
    };
    expect(await probe(`${base}/hls/asked/index.m3u8`)).toEqual({ video: fedPackets("video"), audio: fedPackets("audio"), errors: "" });
  }, 30_000);
});

describe("a stream that has just begun or has ended", () => {
  it("lets the first request wait for the first segment", async () => {
    const waiting = get("/hls/asked/1_2/index.m3u8");
    await expect.poll(() => asked.length).toBe(1);
    feed(0.5);
    feed(1.5);
    const playlist = await waiting;
    expect(playlist.status).toBe(200);
    expect(addresses(playlist.text).length).toBe(1);
  });

  it("says so when there is none in time, or the stream ends without", async () => {
    const late = get("/hls/asked/index.m3u8");
    await expect.poll(() => given.length).toBe(1);
    await clock.advance(20_000);
    expect(await late).toMatchObject({ status: 404, text: expect.stringContaining("no complete segment within 20 s") });
    const ended = get("/hls/asked/index.m3u8");
    await expect.poll(() => given.length).toBe(2);
    await end();
    expect(await ended).toMatchObject({ status: 404, text: expect.stringContaining("ended before it had a segment") });
  });

  it("forgets a viewer who goes while it waits", async () => {
    const viewer = new AbortController();
    const waiting = get("/hls/asked/index.m3u8", { signal: viewer.signal });
    await expect.poll(() => given.length).toBe(1);
    viewer.abort();
    await expect(waiting).rejects.toThrow();
    await expect.poll(() => given[0]!.disposed()).toBe(true);
  });

  it("ends the playlist of a stream that has ended", async () => {
    feed(3.5);
    const before = await get("/hls/asked/1_2/index.m3u8");
    await end();
    const after = await get("/hls/asked/1_2/index.m3u8");
    expect(before.text).not.toContain("ENDLIST");
    expect(after.text).toMatch(/\n#EXT-X-ENDLIST\n$/);
    expect(addresses(after.text).slice(0, 3)).toEqual(addresses(before.text));
    expect((await get(`/hls/asked/1_2/${addresses(after.text).at(-1)}`)).status).toBe(200);
  });

  it("marks where another publisher's stream goes on", async () => {
    feed(3.5);
    writer.describe(media.tracks.map((track) => (track.kind === "audio" ? { ...track, language: "deu" } : track)));
    feed(6.5);
    const { text } = await get("/hls/asked/1_2/index.m3u8");
    expect(text.split("#EXT-X-DISCONTINUITY\n").length).toBe(2);
  });
});

describe("a refusal", () => {
  it("is 403 with the reason for each kind of request, and no media is made", async () => {
    feed(4);
    const names = addresses((await get("/hls/asked/1_2/index.m3u8")).text);
    answer = async () => {
      throw new SluiceError("access.denied", "please subscribe first");
    };
    for (const path of ["index.m3u8", "1_2/index.m3u8", `1_2/${names[0]}`]) {
      const refused = await get(`/hls/asked/${path}`);
      expect([refused.status, refused.text]).toEqual([403, "please subscribe first\n"]);
    }
  });

  it("that comes while the viewer waits ends the waiting", async () => {
    const waiting = get("/hls/asked/index.m3u8");
    await expect.poll(() => given.length).toBe(1);
    given[0]!.withdraw(new SluiceError("access.denied", "not any more"));
    expect(await waiting).toMatchObject({ status: 403, text: "not any more\n" });
  });

  it("waits for a slow answer: no byte before it", async () => {
    feed(4);
    const { promise, resolve } = Promise.withResolvers<typeof open>();
    answer = () => promise;
    let answered = false;
    const waiting = get("/hls/asked/index.m3u8").finally(() => (answered = true));
    await expect.poll(() => asked.length).toBe(1);
    expect(answered).toBe(false);
    resolve(open);
    expect((await waiting).status).toBe(200);
  });
});

describe("playing a file", () => {
  it("shows it as a whole, and ffmpeg plays all of it", async () => {
    const [video] = media.tracks.filter((track) => track.kind === "video");
    const source: VodSource = {
      input: "TS",
      tracks: media.tracks,
      duration: 10_000_000,
      keyframes: async () => media.packets.filter((packet) => packet.trackId === video?.id && packet.keyframe).map((packet) => packet.dts),
      async *read(from) {
        yield* media.packets.filter((packet) => packet.dts >= from);
      },
      [Symbol.asyncDispose]: async () => {},
    };
    stream = streams.open("file", source, "a file");
    const { text } = await get("/hls/asked/1_2/index.m3u8");
    expect(text).toMatch(/#EXT-X-PLAYLIST-TYPE:VOD\n[^]*#EXT-X-ENDLIST\n$/);
    expect(text).not.toContain("PROGRAM-DATE-TIME");
    const { video: frames, audio, errors } = await probe(`${base}/hls/asked/index.m3u8`);
    expect(errors).toBe("");
    expect(frames).toBe(fedPackets("video"));
    expect(audio).toBe(fedPackets("audio"));
  }, 30_000);
});

describe("addresses and options", () => {
  it("are read", () => {
    expect(parseHlsPath("/hls/a/index.m3u8")).toEqual({ stream: "a" });
    expect(parseHlsPath("/hls/a+b/c/1_2/index.m3u8")).toEqual({ stream: "a+b/c", tracks: "1_2" });
    expect(parseHlsPath("/hls/a/1/7_abc.ts")).toEqual({ stream: "a", tracks: "1", file: "7_abc.ts" });
    expect(parseHlsPath("/hls/a+b/c/~tkn=x/y=/1_2/7_abc.ts")).toEqual({ stream: "a+b/c", token: "x/y=", tracks: "1_2", file: "7_abc.ts" });
    expect(parseHlsPath("/hls/a/~tkn=x/index.m3u8")).toEqual({ stream: "a", token: "x" });
    expect(parseHlsPath("/hls/a/~tkn=/index.m3u8")).toEqual({ stream: "a/~tkn=" });
    for (const path of ["/hls/index.m3u8", "/hls//index.m3u8", "/cmaf/a/index.m3u8", "/hls/a/1_2/../x.ts", "/hls/a/1_2/x.mp4"])
      expect(parseHlsPath(path)).toBeUndefined();
  });

  it("are refused with the field's name", () => {
    expect(hls.parseOptions(undefined)).toEqual({ segmentWindow: 8, startWaitMs: 20_000, tokenIn: "query", sharedSegments: false });
    expect(hls.parseOptions({ segmentWindow: 6, tokenIn: "path" })).toMatchObject({
      segmentWindow: 6,
      startWaitMs: 20_000,
      tokenIn: "path",
    });
    expect(() => hls.parseOptions({ tokenIn: "cookie" })).toThrow('protocols.hls.tokenIn is "cookie"; "query" or "path" was expected');
    expect(() => hls.parseOptions({ sharedSegments: 1 })).toThrow("protocols.hls.sharedSegments is 1; true or false was expected");
    expect(() => hls.parseOptions({ segmentWindow: 1 })).toThrow(
      "protocols.hls.segmentWindow is 1; a whole number from 3 to 1000 was expected",
    );
    expect(() => hls.parseOptions({ window: 6 })).toThrow("protocols.hls.window is no option of HLS; there are segmentWindow, startWaitMs");
    expect(() => hls.parseOptions("x")).toThrow(/protocols\.hls is "x"/);
  });
});
