import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { admit } from "../../../test/support/admission.ts";
import { loopbackHost, rawClient } from "../../../test/support/loopback.ts";
import { MemoryStream } from "../../../test/support/memory-stream.ts";
import { audioTrack, tinyPacket, videoTrack } from "../../../test/support/tiny-format.ts";
import { SluiceError } from "../../base/errors.ts";
import type { RunningHost } from "../../host/host.ts";
import type { AccessRequest, Admission } from "../protocol.ts";
import type { Stream } from "../../streams/stream.ts";
import { http } from "./index.ts";
import type { Output, Source } from "./stream-info.ts";

const outputs: readonly Output[] = [
  { type: "flash/7", hrn: "FLV progressive", scheme: "http", path: "/$.flv", priority: 5, codecs: ["h264", "aac"] },
  { type: "ws/video/x-flv", hrn: "FLV over WebSocket", scheme: "ws", path: "/$.flv", priority: 4, codecs: ["h264", "aac"] },
  {
    type: "html5/application/vnd.apple.mpegurl",
    hrn: "HLS (TS)",
    scheme: "http",
    path: "/hls/$/index.m3u8",
    priority: 9,
    codecs: ["h264", "aac"],
  },
  { type: "html5/audio/mp3", hrn: "MP3", scheme: "http", path: "/$.mp3", priority: 8, codecs: ["mp3"] },
  { type: "html5/audio/aac", hrn: "AAC", scheme: "http", path: "/$.aac", priority: 10, codecs: ["aac"] },
  { type: "flash/10", hrn: "RTMP", scheme: "rtmp", path: "/play/$", priority: 7, codecs: ["h264", "aac"] },
  { type: "flash/11", hrn: "RTMP elsewhere", scheme: "rtmp", path: "/play/$", priority: 1, port: 1936, codecs: ["h264", "aac"] },
];

type Info = { error?: string; redirected?: string[]; source: Source[]; meta: { tracks: Record<string, unknown> }; type: string };

let host: RunningHost;
let base: string;
let port: number;
let asked: AccessRequest[];
let memory: MemoryStream;
let answer: (request: AccessRequest) => Admission<Stream>;

beforeEach(async () => {
  asked = [];
  memory = new MemoryStream("the+secret");
  memory.writer.describe([videoTrack({ id: 1, width: 1280, height: 720 }), audioTrack({ id: 2 })]);
  memory.writer.write(tinyPacket(1, 0, true));
  answer = () => admit(memory.stream).admission;
  ({ host } = loopbackHost({
    watchAddresses: () => outputs,
    play: async (request) => {
      asked.push(request);
      return answer(request);
    },
  }));
  await http.serve?.(host, {});
  ({ port } = await host.listenHttp());
  base = `http://127.0.0.1:${port}`;
});
afterEach(() => host[Symbol.asyncDispose]());

const json = async (path: string, headers: Record<string, string> = {}): Promise<Info> =>
  (await fetch(base + path, { headers })).json() as Promise<Info>;

describe("stream information", () => {
  it("has MistServer's shape, and the token in every URL", async () => {
    const response = await fetch(`${base}/json_live.js?user=anna`);
    expect([response.status, response.headers.get("content-type"), response.headers.get("set-cookie")]).toEqual([
      200,
      "application/json",
      "tkn=t1; Max-Age=600",
    ]);
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(response.headers.get("cache-control")).toBe("no-store");
    const info = (await response.json()) as Info;
    expect(Object.keys(info)).toEqual(["capa", "height", "meta", "selver", "source", "type", "unixoffset", "width"]);
    expect(info).toMatchObject({ capa: { selver: 2, ssl: false }, width: 1280, height: 720, selver: 2, type: "live", unixoffset: 0 });
    expect(Object.keys(info.meta.tracks)).toEqual([expect.stringMatching(/^audio_AAC_/), expect.stringMatching(/^video_H264_1280x720_/)]);
    expect(asked[0]).toMatchObject({ protocol: "HTTP", stream: "live", infoOnly: true, carriesToken: true, query: { user: "anna" } });
  });

  it("lists the outputs best first: tracks at once, then priority; without those that can carry nothing", async () => {
    const { source } = await json("/json_live.js");
    expect(source.map(({ hrn, simul_tracks }) => `${hrn} ${simul_tracks}`)).toEqual([
      "HLS (TS) 2",
      "RTMP 2",
      "FLV progressive 2",
      "FLV over WebSocket 2",
      "RTMP elsewhere 2",
      "AAC 1",
    ]);
    expect(source[0]).toEqual({
      hrn: "HLS (TS)",
      priority: 9,
      relurl: "hls/live/index.m3u8?tkn=t1",
      simul_tracks: 2,
      total_matches: 2,
      type: "html5/application/vnd.apple.mpegurl",
      url: `${base}/hls/live/index.m3u8?tkn=t1`,
    });
    expect(source.map(({ url }) => url)).toContain("rtmp://127.0.0.1:1936/play/live?tkn=t1");
    expect(source.map(({ url }) => url)).toContain(`ws://127.0.0.1:${port}/live.flv?tkn=t1`);
    expect((await json("/json_live.js?inclzero=1")).source.at(-1)).toMatchObject({ hrn: "MP3", total_matches: 0 });
  });

  it("behind a proxy names the proxy's scheme and host", async () => {
    const info = await json("/json_live.js", { "x-forwarded-proto": "https", "x-forwarded-host": "tv.example" });
    expect(info).toMatchObject({ capa: { ssl: true } });
    expect(info.source.map(({ url }) => url)).toEqual(
      expect.arrayContaining(["https://tv.example/live.flv?tkn=t1", "wss://tv.example/live.flv?tkn=t1"]),
    );
  });

  it("never shows the name behind the one that was asked for", async () => {
    answer = () => admit(memory.stream, { askedName: "tok-1", urlToken: undefined, redirected: true }).admission;
    const response = await fetch(`${base}/json_tok-1.js`);
    const text = await response.text();
    expect(text).not.toContain("secret");
    const info = JSON.parse(text) as Info;
    expect(info.redirected).toEqual(["tok-1", "tok-1"]);
    expect(info.source.find(({ type }) => type === "flash/7")?.relurl).toBe("tok-1.flv");
  });

  it("encodes names for URLs", async () => {
    answer = () => admit(memory.stream, { askedName: 'live+a b/"é' }).admission;
    const { source } = await json("/json_live.js");
    expect(source.find(({ type }) => type === "flash/7")?.relurl).toBe("live+a%20b%2F%22%C3%A9.flv?tkn=t1");
  });

  it("of a refused viewer tells the reason and nothing else", async () => {
    answer = () => {
      throw new SluiceError("access.denied", "please </script> subscribe");
    };
    const response = await fetch(`${base}/json_live.js`);
    const text = await response.text();
    expect([response.status, JSON.parse(text)]).toEqual([
      403,
      { error: "please </script> subscribe", error_guru: "please </script> subscribe", refused: true },
    ]);
    expect(text).not.toContain("</script>");
    expect(response.headers.get("set-cookie")).toBe(null);
  });

  it("of a refused viewer tells when to come back and the number of the decision, if there is one", async () => {
    answer = () => {
      throw new SluiceError("access.full", "all places are taken", { retryAfterMs: 4200, decisionId: "k7q2mz" });
    };
    const { status, headers, ...response } = await fetch(`${base}/json_live.js`).then(async (got) => ({
      ...{ status: got.status, headers: got.headers, body: (await got.json()) as unknown },
    }));
    expect([status, headers.get("retry-after"), headers.get("x-sluice-decision")]).toEqual([503, "5", "k7q2mz"]);
    expect(response.body).toMatchObject({ error: "all places are taken", refused: true, decision: "k7q2mz", retryAfter: 5 });
  });

  it("of a stream that does not play says so with 200", async () => {
    answer = () => {
      throw new SluiceError("access.offline", "nobody publishes it");
    };
    const response = await fetch(`${base}/json_live.js`);
    expect([response.status, await response.json()]).toEqual([200, { error: "Stream is offline", error_guru: "nobody publishes it" }]);
    memory = new MemoryStream("x");
    answer = () => admit(memory.stream).admission;
    expect(await json("/json_live.js")).toEqual({ error: "Stream is waiting for data", tkn: "t1" });
  });

  it("is a script too", async () => {
    const response = await fetch(`${base}/info_live+%3Cscript%3E%22.js`);
    const text = await response.text();
    expect(response.headers.get("content-type")).toBe("application/javascript");
    expect(text).not.toContain("<");
    const window: { mistvideo?: Record<string, Info> } = {};
    const run = new Function("window", `with (window) { ${text} }`) as (window: object) => void;
    run(window);
    expect(Object.keys(window.mistvideo ?? {})).toEqual(['live+<script>"']);
    expect(window.mistvideo?.['live+<script>"']?.type).toBe("live");
  });

  it("is not made for a Host header that could not be one", async () => {
    const answered = (await rawClient(port, 'GET /json_live.js HTTP/1.1\r\nHost: a"b\r\nConnection: close\r\n\r\n').closed).toString();
    expect(answered).toMatch(/^HTTP\/1\.1 400 /);
    expect(asked).toEqual([]);
  });
});

describe("player page", () => {
  it("asks nobody, tells nothing of the stream, and runs only our own scripts", async () => {
    const response = await fetch(`${base}/live.html?tkn=x`);
    const text = await response.text();
    expect([response.status, response.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
    expect(response.headers.get("content-security-policy")).toContain("script-src 'self'");
    expect(response.headers.get("set-cookie")).toBe(null);
    expect(text).not.toContain("tkn");
    expect(asked).toEqual([]);
    for (const url of text.match(/player\/[a-z]+\.(?:js|css)\?v=\w+/g) ?? []) {
      const file = await fetch(`${base}/${url}`);
      expect([url, file.status, file.headers.get("cache-control")]).toEqual([url, 200, "public, max-age=31536000, immutable"]);
      expect((await file.text()).length).toBeGreaterThan(500);
    }
    expect(text.match(/player\/[a-z]+\.(?:js|css)\?v=\w+/g)).toHaveLength(4);
  });

  it.each(["<script>alert(1)", '"><img src=x onerror=alert(1)>', "'-alert(1)-'", "a&lt;b", "<svg onload=alert(1)>"])(
    "keeps the name %s as text",
    async (name) => {
      const text = await (await fetch(`${base}/${encodeURIComponent(name)}.html`)).text();
      const empty = await (await fetch(`${base}/x.html`)).text();
      const tags = (html: string): string[] => html.match(/<[^>]*>/g)?.map((tag) => tag.split(/[\s>]/)[0] ?? "") ?? [];
      expect(tags(text)).toEqual(tags(empty));
      expect(text).not.toContain(name === "'-alert(1)-'" ? `"${name}` : name);
      expect(text).not.toMatch(/<(?:img|svg)|<script>/);
    },
  );

  it("files are kept by their mark and sent compressed", async () => {
    const first = await fetch(`${base}/player/hls.js`);
    const etag = first.headers.get("etag") ?? "";
    expect([first.headers.get("content-encoding"), first.headers.get("vary")]).toEqual(["gzip", "Origin, Accept-Encoding"]);
    expect(await first.text()).toContain("Hls");
    expect((await fetch(`${base}/player/hls.js`, { headers: { "if-none-match": etag } })).status).toBe(304);
    const plain = await rawClient(port, "GET /player/mpegts.js HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").closed;
    expect(plain.toString("latin1")).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*mpegts/);
    expect(plain.includes("sourceMappingURL")).toBe(false);
  });

  it("has no icon", async () => {
    expect((await fetch(`${base}/favicon.ico`)).status).toBe(204);
  });
});
