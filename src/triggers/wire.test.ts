import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { push, viewer } from "../../test/support/trigger-bus.ts";
import { isSluiceError } from "../base/errors.ts";
import { dateText, environment, mistJson, parsePayload, payloadText, requestHeaders } from "./wire.ts";

const server = { version: "1.2.3", instance: "KwIMm@WBIRI_AR_]", pid: 4711, serverId: () => "" };
const raise = { name: "USER_NEW", uuid: "9aa31f4d-241c-4f8e-80c3-0ff00d502ff0", unixMillis: 1_795_361_366_890, body: "é" } as const;

describe("payload text", () => {
  it("has one line for each field and leaves out what may be absent", () => {
    expect(payloadText("USER_NEW", viewer).split("\n")).toHaveLength(7);
    const { tokenIsJwt: _, ...again } = viewer;
    expect(payloadText("USER_NEW", again).split("\n")).toHaveLength(6);
    expect(payloadText("STREAM_BUFFER", { stream: "live", state: "EMPTY" })).toBe("live\nEMPTY");
    expect(payloadText("STREAM_BUFFER", { stream: "live", state: "EMPTY", health: 68263 })).toBe("live\nEMPTY\n68263");
  });

  it("lets no token add a line (MistServer: nine lines of this one)", () => {
    const text = payloadText("USER_NEW", { ...viewer, token: "a\nb\nFAKE" });
    expect(text.split("\n")).toHaveLength(7);
    expect(text.split("\n")[2]).toBe("a%0Ab%0AFAKE");
  });

  it("lets no text of any field add a line, in any language's reading of lines", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (stream, url) => {
        const text = payloadText("PUSH_REWRITE", { ...push, stream, url });
        // oxlint-disable-next-line no-control-regex -- all that some language takes for the end of a line
        expect(text.split(/\r\n|[\n\r\u000b\u000c\u001c-\u001e\u0085\u2028\u2029]/)).toHaveLength(3);
      }),
    );
  });

  it("writes tracks that are gone as an empty line, and ends with a line break", () => {
    expect(payloadText("LIVE_TRACK_LIST", { stream: "live", tracks: {} })).toBe("live\n\n");
    expect(payloadText("LIVE_TRACK_LIST", { stream: "live", tracks: { a: 1 } })).toBe('live\n{"a":1}\n');
  });
});

describe("MistServer's JSON", () => {
  it("is compact, sorted and ASCII", () => {
    expect(mistJson({ b: [1, "x", null, true], a: { 10: 1, 9: 2 }, none: undefined })).toBe('{"a":{"10":1,"9":2},"b":[1,"x",null,true]}');
    expect(mistJson("\u001e\u00e5\u007f\\u001e\n/€😀")).toBe('"\\u001E\\u00E5\\u007F\\\\u001e\\n/\\u20AC\\uD83D\\uDE00"');
  });

  it("is read back as what it was", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(JSON.parse(mistJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });
});

describe("reading a payload", () => {
  it("gives back what was written", () => {
    const text = fc.string().filter((value) => !/\p{Cc}|[\u2028\u2029]/u.test(value));
    fc.assert(
      fc.property(text, text, text, (stream, host, token) => {
        const read = parsePayload("USER_NEW", payloadText("USER_NEW", { ...viewer, stream, host, token }));
        expect(read).toMatchObject({ stream, host, token, url: viewer.url, query: { tkn: "t1" }, asked: stream, recheck: false });
      }),
    );
  });

  it("knows a viewer who is asked about again by the missing line", () => {
    const { tokenIsJwt: _, ...again } = viewer;
    expect(parsePayload("USER_NEW", payloadText("USER_NEW", again)).recheck).toBe(true);
  });

  it("keeps an empty last field, and drops one line break too many", () => {
    expect(parsePayload("CONN_CLOSE", "live\n127.0.0.1\nHLS\n")).toEqual({ stream: "live", host: "127.0.0.1", protocol: "HLS", url: "" });
    expect(parsePayload("STREAM_LOAD", "live\n")).toEqual({ stream: "live" });
    expect(parsePayload("LIVE_TRACK_LIST", "live\n\n")).toEqual({ stream: "live", tracks: {} });
  });

  it.each([
    ["STREAM_LOAD", "live\nmore", "has 1 lines, this one has 2"],
    ["USER_NEW", "live\n127.0.0.1", "has 6 to 7 lines, this one has 2"],
    ["STREAM_END", "live\n0\n0\n-\n0\n0\n0", 'the line "viewers" must be a whole number'],
    ["LIVE_TRACK_LIST", "live\n{\n", 'the line "tracks" must be JSON'],
  ] as const)("refuses a %s that is none", (name, text, words) => {
    expect(() => parsePayload(name, text)).toThrow(words);
    try {
      parsePayload(name, text);
    } catch (error) {
      expect(isSluiceError(error, "input.invalid")).toBe(true);
    }
  });
});

describe("headers and environment", () => {
  it("counts bytes, and leaves out what has no value", () => {
    const headers = requestHeaders(raise, server, 3);
    expect(headers).toMatchObject({ "Content-Length": "2", "X-Attempt": "3", "X-PID": "4711", "X-Instance": server.instance });
    expect(headers).not.toHaveProperty("X-Name");
    expect(requestHeaders(raise, { ...server, instance: "" }, 1)).not.toHaveProperty("X-Instance");
  });

  it("keeps a server name from adding a header", () => {
    expect(requestHeaders(raise, { ...server, serverId: () => "a\r\nX-Evil: é" }, 1)["X-Name"]).toBe("a%0D%0AX-Evil: %C3%A9");
  });

  it("tells an executable its default, which is `true` when there is none", () => {
    expect(environment(raise, server, undefined).MIST_TRIG_DEF).toBe("true");
    expect(environment(raise, server, "false").MIST_TRIG_DEF).toBe("false");
    expect(environment(raise, server, undefined)).not.toHaveProperty("MIST_NAME");
  });

  it("writes the date with the offset of the zone", () => {
    const text = dateText(raise.unixMillis);
    expect(text).toMatch(/^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} 2026 \d\d:\d\d:26 [+-]\d{4}$/);
    expect(Date.parse(text)).toBe(1_795_361_366_000);
  });
});
