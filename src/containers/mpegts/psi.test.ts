import { describe, expect, it } from "vitest";
import { ascii } from "../../base/bytes.ts";
import { crc32 } from "./crc32.ts";
import type { ElementaryStream } from "./elementary-codec.ts";
import { PacketWriter } from "./packet-writer.ts";
import { descriptor, parsePat, parsePmt, patSection, pmtSection } from "./psi.ts";
import { SectionReader } from "./section-reader.ts";

const streams: readonly ElementaryStream[] = Array.from({ length: 24 }, (_, index) => ({
  pid: 0x100 + index,
  streamType: 0x0f,
  descriptors: Uint8Array.of(0x0a, 4, 0x64, 0x65, 0x75, 0),
}));

describe("program tables", () => {
  it("have the checksum of the specification's check value", () => {
    expect(crc32(ascii("123456789"))).toBe(0x0376e6e7);
    expect(crc32(patSection(0x1000, 0))).toBe(0);
  });

  it("are read back, and not when a byte is wrong", () => {
    expect(parsePat(patSection(0x1234, 3))).toEqual([0x1234]);
    const pmt = pmtSection(streams, 0x100, 5);
    expect(parsePmt(pmt)).toEqual(streams);
    expect(parsePat(pmt)).toBeUndefined();
    for (let at = 0; at < pmt.length; at++) {
      const wrong = pmt.slice();
      wrong[at]! ^= 0x10;
      expect(parsePmt(wrong)).toBeUndefined();
    }
  });

  it("go over several transport packets when they are long", () => {
    const section = pmtSection(streams, 0x100, 0);
    const writer = new PacketWriter();
    writer.section(0x1000, section);
    const bytes = writer.take();
    expect(bytes.length).toBe(188 * 2);
    const seen: Uint8Array[] = [];
    const reader = new SectionReader((whole) => seen.push(whole.slice()));
    reader.feed(bytes.subarray(4, 188), true);
    reader.feed(bytes.subarray(192, 376), false);
    expect(seen).toEqual([section]);
  });

  it("find a descriptor among others", () => {
    const some = Uint8Array.of(5, 2, 1, 2, 0x0a, 1, 7, 0x7f, 9);
    expect(descriptor(some, 0x0a)).toEqual(Uint8Array.of(7));
    expect(descriptor(some, 0x55)).toBeUndefined();
  });
});
