import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { canonicalAddress, contains, formatAddress, parseAddress, parseNetwork } from "./address.ts";

const inside = (network: string, address: string): boolean | undefined => {
  const range = parseNetwork(network);
  const bytes = parseAddress(address);
  return range && bytes ? contains(range, bytes) : undefined;
};

describe("addresses", () => {
  it("gives IPv4 as mapped IPv6, in 16 bytes", () => {
    expect(parseAddress("203.0.113.5")).toEqual(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 203, 0, 113, 5));
    expect(parseAddress("::ffff:203.0.113.5")).toEqual(parseAddress("203.0.113.5"));
    expect(parseAddress("::ffff:cb00:7105")).toEqual(parseAddress("203.0.113.5"));
  });

  it.each([
    ["::ffff:127.0.0.1", "127.0.0.1"],
    ["[2001:DB8:0:0:0:0:0:1]", "2001:db8::1"],
    ["fe80::1%eth0", "fe80::1"],
    ["::", "::"],
    ["1::", "1::"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
    ["example.org", "example.org"],
  ])("writes %s as %s", (text, expected) => {
    expect(canonicalAddress(text)).toBe(expected);
  });

  it.each(["", "1.2.3", "1.2.3.256", "1.2.3.4.5", ":::", "1::2::3", "12345::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1.2.3.4::", "g::"])(
    "refuses %j",
    (text) => {
      expect(parseAddress(text)).toBeUndefined();
    },
  );

  it("matches networks of both families", () => {
    expect(inside("10.0.0.0/8", "10.255.1.1")).toBe(true);
    expect(inside("10.0.0.0/8", "11.0.0.1")).toBe(false);
    expect(inside("192.168.1.128/25", "192.168.1.127")).toBe(false);
    expect(inside("192.168.1.7", "192.168.1.7")).toBe(true);
    expect(inside("2001:db8::/33", "2001:db8:7fff::1")).toBe(true);
    expect(inside("2001:db8::/33", "2001:db8:8000::1")).toBe(false);
    expect(inside("::ffff:10.0.0.0/104", "10.1.2.3")).toBe(true);
    expect(inside("0.0.0.0/0", "2001:db8::1")).toBe(false);
    for (const wrong of ["10.0.0.0/33", "10.0.0.0/", "::/129", "host/8", "10.0.0.0/8/8"]) expect(parseNetwork(wrong)).toBeUndefined();
  });

  it("reads back what it writes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        expect(parseAddress(formatAddress(bytes))).toEqual(bytes);
      }),
    );
    fc.assert(
      fc.property(fc.ipV6(), (text) => {
        expect(parseAddress(text)).toBeDefined();
      }),
    );
  });

  it("never throws on any text", () => {
    fc.assert(fc.property(fc.string(), (text) => typeof parseNetwork(text) === "object" || parseNetwork(text) === undefined));
  });
});
