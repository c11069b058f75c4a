import { array, assert, integer, ipV4, ipV6, property, uint8Array } from "fast-check";
import { describe, expect, it } from "vitest";
import { proxyV2, tlv } from "../../test/support/proxy-header.ts";
import { canonicalAddress } from "../base/address.ts";
import { isSluiceError } from "../base/errors.ts";
import { type Beginning, BeginningReader } from "./proxy-protocol.ts";

/** Feeds pieces of `size` bytes until the reader has decided; what was not fed is added to the rest. */
function read(bytes: Uint8Array, size = bytes.length): Beginning | undefined {
  const reader = new BeginningReader();
  for (let at = 0; at < bytes.length; at += size) {
    const beginning = reader.feed(bytes.subarray(at, at + size));
    if (beginning) return { ...beginning, rest: Buffer.concat([beginning.rest, bytes.subarray(at + size)]) };
  }
  return undefined;
}

const text = (line: string): Buffer => Buffer.from(line, "latin1");
const port = integer({ min: 0, max: 65_535 });
const rest = uint8Array({ maxLength: 30 });

describe("a PROXY header", () => {
  it("of version 1 gives the client's address, in pieces of any size, and leaves every byte behind it", () => {
    assert(
      property(ipV4(), ipV6(), port, rest, integer({ min: 1, max: 20 }), (v4, v6, number, behind, size) => {
        for (const [family, address] of [
          ["TCP4", v4],
          ["TCP6", v6],
        ] as const) {
          const bytes = Buffer.concat([text(`PROXY ${family} ${address} ${address} ${number} 80\r\n`), behind]);
          const beginning = read(bytes, size);
          expect(beginning?.header?.source).toEqual({ address: canonicalAddress(address), port: number });
          expect(Buffer.from(beginning!.rest)).toEqual(Buffer.from(behind));
        }
      }),
      { numRuns: 200 },
    );
  });

  it("of version 2 gives it too", () => {
    assert(
      property(
        array(integer({ min: 0, max: 255 }), { minLength: 4, maxLength: 4 }),
        ipV6(),
        port,
        rest,
        integer({ min: 1, max: 40 }),
        (v4, v6, number, behind, size) => {
          for (const address of [v4.join("."), v6]) {
            const beginning = read(Buffer.concat([proxyV2({ source: address, port: number }), behind]), size);
            expect(beginning?.header?.source).toEqual({ address: canonicalAddress(address), port: number });
            expect(Buffer.from(beginning!.rest)).toEqual(Buffer.from(behind));
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  it("is not looked for behind the first bytes that are none of it", () => {
    for (const bytes of ["GET / HTTP/1.1\r\n", "\x03abc", "PROXIES", "PROX\x00", "\r\n\r\nGET", "\r\n\r\n\0\r\nQUIP\n"]) {
      for (const size of [1, 3, bytes.length]) {
        const beginning = read(text(bytes), size);
        expect(beginning?.header).toBeUndefined();
        expect(Buffer.from(beginning!.rest).toString("latin1")).toBe(bytes);
      }
    }
  });

  it("whose sender speaks for itself, or does not say for whom, leaves the address as it is", () => {
    for (const bytes of [
      text("PROXY UNKNOWN\r\n"),
      text("PROXY UNKNOWN ffff:f...f 65535 65535\r\n"),
      proxyV2({ command: 0 }),
      proxyV2({ command: 0, family: 9, body: Buffer.alloc(3) }),
      proxyV2({ family: 0x00, body: Buffer.alloc(0) }),
      proxyV2({ family: 0x31, body: Buffer.alloc(216) }),
    ])
      expect(read(bytes, 1)).toEqual({ header: { source: undefined, tls: undefined }, rest: Buffer.alloc(0) });
  });

  it("tells of the client's TLS with the proxy", () => {
    const ssl = Buffer.concat([Buffer.from([0x01, 0, 0, 0, 0]), tlv(0x21, "TLSv1.3"), tlv(0x23, "TLS_AES_128_GCM_SHA256")]);
    const bytes = proxyV2({ source: "203.0.113.9", tlvs: [tlv(0x01, "h2"), tlv(0x02, "tv.example\r\n"), tlv(0x20, ssl), tlv(0x04, "")] });
    expect(read(bytes)?.header?.tls).toEqual({
      protocol: "TLSv1.3",
      cipher: "TLS_AES_128_GCM_SHA256",
      servername: "tv.example",
      alpn: "h2",
    });
    const without = proxyV2({ source: "203.0.113.9", tlvs: [tlv(0x20, Buffer.from([0, 0, 0, 0, 0]))] });
    expect(read(without)?.header?.tls).toBeUndefined();
  });

  it.each([
    ["a family that is none", text("PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n")],
    ["an address of the other family", text("PROXY TCP4 ::1 ::1 1 2\r\n")],
    ["a name for an address", text("PROXY TCP4 localhost 1.2.3.4 1 2\r\n")],
    ["a port above 65535", text("PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n")],
    ["a port with zeros before it", text("PROXY TCP4 1.2.3.4 1.2.3.4 080 2\r\n")],
    ["nothing", text("PROXY \r\n")],
    ["more than there may be", text("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n")],
    ["another version", proxyV2({ version: 1 })],
    ["a command that is none", proxyV2({ command: 2 })],
    ["a family that is none", proxyV2({ family: 0x41 })],
    ["addresses that are cut off", proxyV2({ family: 0x11, body: Buffer.alloc(11) })],
    ["a TLV that is longer than the header", proxyV2({ source: "1.2.3.4", tlvs: [Buffer.from([4, 0, 9, 1])] })],
    ["half of a TLV", proxyV2({ source: "1.2.3.4", tlvs: [Buffer.from([4])] })],
    ["a TLV about TLS that is cut off", proxyV2({ source: "1.2.3.4", tlvs: [tlv(0x20, Buffer.from([1, 0]))] })],
  ])("with %s is wrong", (_, bytes) => {
    for (const size of [1, bytes.length]) expect(() => read(bytes, size)).toThrow(/^PROXY header: /);
  });

  it("is bounded: a line of 107 bytes, a body of 4096", () => {
    const line = `PROXY UNKNOWN ${"x".repeat(91)}\r\n`;
    expect(read(text(line), 1)?.header).toBeDefined();
    expect(() => read(text(`PROXY UNKNOWN ${"x".repeat(92)}\r\n`), 1)).toThrow("at most 107 bytes");
    expect(() => read(text(`PROXY UNKNOWN ${"x".repeat(500)}`))).toThrow("at most 107 bytes");
    expect(() => read(proxyV2({ body: Buffer.alloc(4097) }))).toThrow("at most 4096");
    expect(read(proxyV2({ source: "1.2.3.4", tlvs: [tlv(0x04, Buffer.alloc(4096 - 12 - 3))] }))?.header).toBeDefined();
  });

  it("of any bytes behind a signature is read, waited for, or refused", () => {
    const signatures = [text("PROXY "), text("PROXY TCP4 "), proxyV2({ source: "1.2.3.4" }).subarray(0, 12), proxyV2({}).subarray(0, 13)];
    assert(
      property(integer({ min: 0, max: 3 }), uint8Array({ maxLength: 300 }), integer({ min: 1, max: 300 }), (which, bytes, size) => {
        try {
          read(Buffer.concat([signatures[which]!, bytes]), size);
        } catch (error) {
          if (!isSluiceError(error, "input.invalid") && !isSluiceError(error, "input.oversized")) throw error;
        }
      }),
      { numRuns: 2000 },
    );
  });
});
