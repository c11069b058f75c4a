import type { IncomingMessage } from "node:http";
import { assert, constantFrom, dictionary, property, string, stringMatching } from "fast-check";
import { expect, it } from "vitest";
import { isSluiceError } from "../base/errors.ts";
import { type ParsedRequest, parseRequest } from "./http-request.ts";
import { createTrustedProxies, plainAddress } from "./peer-address.ts";

const proxies = createTrustedProxies(() => []);

/** What parseRequest reads of a request. */
function parse(url: string, headers: Record<string, string>, remoteAddress = "::ffff:127.0.0.1"): ParsedRequest {
  const socket = { localAddress: "::1", localPort: 8080 };
  const peer = { address: plainAddress(remoteAddress), port: 50_000, tls: undefined };
  return parseRequest({ url, headers, method: "GET", socket } as unknown as IncomingMessage, peer, proxies);
}

it("takes any bytes: what it gives is sound, what it throws is input.invalid", () => {
  const piece = constantFrom(
    "/",
    "//",
    "?",
    "%",
    "%2",
    "%00",
    "%ff",
    "..",
    "\\",
    "#",
    "@",
    "http://x",
    "*",
    "a=b&",
    "é",
    "[::1]",
    ":",
    "+",
  );
  const target = string({ unit: piece, maxLength: 12 });
  const header = constantFrom("host", "cookie", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "origin");
  assert(
    property(target, dictionary(header, string({ maxLength: 30 })), (url, headers) => {
      try {
        const parsed = parse(url, headers);
        expect(parsed.path.startsWith("/")).toBe(true);
        expect(parsed.url.href).not.toMatch(/[\s"<>]/);
        expect(parsed.url.username + parsed.url.password).toBe("");
      } catch (error) {
        if (!isSluiceError(error, "input.invalid")) throw error;
      }
    }),
    { numRuns: 2000 },
  );
});

it("the host of the URL is the Host header's, whatever the path is", () => {
  assert(
    property(stringMatching(/^\/[a-z/@:\\.%20]{0,20}$/), (path) => {
      try {
        return parse(path, { host: "tv.example:8080" }).url.host === "tv.example:8080";
      } catch (error) {
        return isSluiceError(error, "input.invalid");
      }
    }),
  );
});

it.each([
  ["tv.example", "http://tv.example/a"],
  ["TV.example:8080", "http://tv.example:8080/a"],
  ["[2001:db8::1]:8080", "http://[2001:db8::1]:8080/a"],
  [undefined, "http://[::1]:8080/a"],
])("Host %s", (host, url) => {
  expect(parse("/a", host === undefined ? {} : { host }).url.href).toBe(url);
});

it("forwarded host and scheme count from trusted peers only", () => {
  const headers = { host: "inner:8080", "x-forwarded-host": "tv.example, cdn", "x-forwarded-proto": "https" };
  expect(parse("/a", headers).url.href).toBe("https://tv.example/a");
  expect(parse("/a", headers, "203.0.113.9").url.href).toBe("http://inner:8080/a");
});
