import { describe, expect, it } from "vitest";
import { clientAddress, createTrustedProxies, plainAddress } from "./peer-address.ts";

describe("clientAddress", () => {
  const proxies = createTrustedProxies(() => ["198.51.100.0/24", "2001:db8::/32", "192.0.2.7"]);
  const cases: readonly [name: string, peer: string, headers: Record<string, string>, expected: string][] = [
    [
      "a peer that is not trusted speaks for itself",
      "203.0.113.9",
      { "x-forwarded-for": "1.2.3.4", "x-real-ip": "1.2.3.4" },
      "203.0.113.9",
    ],
    ["loopback is trusted always", "127.0.0.1", { "x-forwarded-for": "203.0.113.5" }, "203.0.113.5"],
    ["IPv6 loopback too", "::1", { "x-forwarded-for": "203.0.113.5" }, "203.0.113.5"],
    ["a range", "198.51.100.20", { "x-forwarded-for": "203.0.113.5" }, "203.0.113.5"],
    ["an IPv6 range", "2001:db8::5", { "x-forwarded-for": "2001:4860::1" }, "2001:4860::1"],
    ["one address", "192.0.2.7", { "x-real-ip": "203.0.113.5" }, "203.0.113.5"],
    ["its neighbour is not trusted", "192.0.2.8", { "x-real-ip": "203.0.113.5" }, "192.0.2.8"],
    ["X-Forwarded-For goes before X-Real-IP", "127.0.0.1", { "x-forwarded-for": "203.0.113.5", "x-real-ip": "203.0.113.6" }, "203.0.113.5"],
    ["trusted proxies in a row", "127.0.0.1", { "x-forwarded-for": "203.0.113.5, 198.51.100.1" }, "203.0.113.5"],
    ["what a client invented stands left of its own address", "127.0.0.1", { "x-forwarded-for": "10.9.9.9, 203.0.113.5" }, "203.0.113.5"],
    ["only trusted hops: the first of them", "127.0.0.1", { "x-forwarded-for": "198.51.100.9, 127.0.0.1" }, "198.51.100.9"],
    ["ports and brackets", "127.0.0.1", { "x-forwarded-for": "[2001:4860::1]:443" }, "2001:4860::1"],
    ["a port behind IPv4", "127.0.0.1", { "x-forwarded-for": "203.0.113.5:1234" }, "203.0.113.5"],
    ["a mapped address", "127.0.0.1", { "x-forwarded-for": "::ffff:203.0.113.5" }, "203.0.113.5"],
    ["no address at all", "127.0.0.1", { "x-forwarded-for": "unknown" }, "127.0.0.1"],
    ["no header", "127.0.0.1", {}, "127.0.0.1"],
  ];
  it.each(cases)("%s", (_, peer, headers, expected) => {
    expect(clientAddress(peer, headers, proxies)).toBe(expected);
  });
});

it("a changed list counts at once", () => {
  let list: readonly string[] = [];
  const proxies = createTrustedProxies(() => list);
  expect(proxies.trusts("198.51.100.1")).toBe(false);
  list = ["198.51.100.1"];
  expect(proxies.trusts("198.51.100.1")).toBe(true);
});

it("entries that are no address or have impossible bits trust nobody", () => {
  const proxies = createTrustedProxies(() => ["", "198.51.100.1/33", "198.51.100.1/x", "/8"]);
  expect(proxies.trusts("198.51.100.1")).toBe(false);
});

it("plainAddress unwraps IPv4 in IPv6 and leaves the rest", () => {
  expect([plainAddress("::ffff:192.0.2.1"), plainAddress("::1"), plainAddress(undefined)]).toEqual(["192.0.2.1", "::1", ""]);
});
