import { describe, expect, it } from "vitest";
import { type AskedWith, KeptRequests } from "./kept-request.ts";

/** As the HTTP server makes them: without a prototype, so that any name may be one. */
const query: Record<string, string> = Object.create(null);
query["__proto__"] = "text";
query["toString"] = "no function";
query["name"] = 'quote " and line\nbreak, ümlaut, 漢, \ud800';

const request: AskedWith = {
  stream: "live",
  protocol: "HLS",
  url: "http://127.0.0.1/hls/live/index.m3u8?tkn=t1",
  query,
  cookies: { tkn: "t1" },
  headers: { "user-agent": "hls.js", cookie: "tkn=t1", "x-forwarded-for": "192.0.2.1", "x-own": "" },
};

describe("a request that is kept", () => {
  it("says the same as before, whatever the client has sent", () => {
    const kept = new KeptRequests().keep(request);
    expect([kept.stream, kept.protocol, kept.tls]).toEqual(["live", "HLS", undefined]);
    expect({ ...kept.headers }).toEqual(request.headers);
    expect({ ...kept.cookies }).toEqual(request.cookies);
    expect(Object.entries(kept.query)).toEqual(Object.entries(query));
    expect(Object.getPrototypeOf(kept.query)).toBe(null);
  });

  it("has its parameters from its URL where these are the same", () => {
    for (const [url, given] of [
      ["http://a/hls/live/index.m3u8?tkn=t1&a=%20b&tkn=t2", { tkn: "t1", a: " b" }],
      ["http://a/hls/live/index.m3u8?tkn=t1", { tkn: "from the path" }],
      ["http://a/hls/live/index.m3u8?tkn=t1", {}],
      ["http://a/hls/live/index.m3u8", { tkn: "t1" }],
      ["rtmp://a/live/key", {}],
    ] as const) {
      const kept = new KeptRequests().keep({ ...request, url, query: given, cookies: {}, headers: {} });
      expect([{ ...kept.query }, { ...kept.cookies }, { ...kept.headers }]).toEqual([given, {}, {}]);
    }
  });

  it("is kept as it is when it was kept before", () => {
    const requests = new KeptRequests();
    const kept = requests.keep(request);
    expect(requests.keep(kept)).toBe(kept);
  });

  it("is right also when more kinds of headers come than are shared", () => {
    const requests = new KeptRequests();
    const kept = Array.from({ length: 3_000 }, (_, at) => requests.keep({ ...request, headers: { "user-agent": `agent ${at % 1_500}` } }));
    expect(kept.map(({ headers }) => headers["user-agent"])).toEqual(kept.map((_, at) => `agent ${at % 1_500}`));
  });
});
