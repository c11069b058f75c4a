import { array, assert, double, integer, maxSafeInteger, oneof, property, record, constant, uint8Array } from "fast-check";
import { describe, expect, it } from "vitest";
import { ByteReader, ByteWriter, concat, sameBytes } from "./bytes.ts";

const fields = {
  u8: { max: 0xff, write: (w: ByteWriter, v: number) => w.u8(v), read: (r: ByteReader) => r.u8() },
  u16: { max: 0xffff, write: (w: ByteWriter, v: number) => w.u16(v), read: (r: ByteReader) => r.u16() },
  u16le: { max: 0xffff, write: (w: ByteWriter, v: number) => w.u16le(v), read: (r: ByteReader) => r.u16le() },
  u24: { max: 0xffffff, write: (w: ByteWriter, v: number) => w.u24(v), read: (r: ByteReader) => r.u24() },
  u32: { max: 0xffffffff, write: (w: ByteWriter, v: number) => w.u32(v), read: (r: ByteReader) => r.u32() },
  u32le: { max: 0xffffffff, write: (w: ByteWriter, v: number) => w.u32le(v), read: (r: ByteReader) => r.u32le() },
} as const;
type Kind = keyof typeof fields;

describe("ByteReader and ByteWriter", () => {
  it("read back what was written, in any order", () => {
    const field = oneof(
      ...(Object.keys(fields) as Kind[]).map((kind) => record({ kind: constant(kind), value: integer({ min: 0, max: fields[kind].max }) })),
    );
    assert(
      property(array(field), (list) => {
        const writer = new ByteWriter(1);
        for (const { kind, value } of list) fields[kind].write(writer, value);
        const reader = new ByteReader(writer.take());
        for (const { kind, value } of list) expect(fields[kind].read(reader)).toBe(value);
        expect(reader.remaining).toBe(0);
        expect(writer.length).toBe(0);
      }),
    );
  });

  it("keep 64-bit integers and doubles", () => {
    assert(
      property(maxSafeInteger(), double(), (whole, real) => {
        const reader = new ByteReader(new ByteWriter().u64(Math.abs(whole)).f64(real).take());
        expect(reader.u64()).toBe(Math.abs(whole));
        expect(reader.f64()).toBe(real);
      }),
    );
  });

  it("read signed numbers", () => {
    const reader = new ByteReader(Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xfe, 0x80, 0, 0, 0));
    expect([reader.i24(), reader.i16(), reader.i32()]).toEqual([-1, -2, -0x80000000]);
  });

  it("refuse to read over the end, and say what and where", () => {
    const reader = new ByteReader(new Uint8Array(3), "FLV tag header");
    reader.skip(1);
    expect(() => reader.u32()).toThrow(/FLV tag header: at byte 1 of 3: needs 4 bytes, 2 are left/);
    expect(() => reader.bytes(3)).toThrow(expect.objectContaining({ code: "input.invalid" }));
    expect(() => reader.skip(-1)).toThrow(expect.objectContaining({ code: "input.invalid" }));
    expect(reader.position).toBe(1);
  });

  it("refuse 64-bit numbers that a double cannot hold", () => {
    expect(() => new ByteReader(new Uint8Array(8).fill(255)).u64()).toThrow(expect.objectContaining({ code: "input.invalid" }));
  });

  it("work on a view in the middle of other bytes", () => {
    const reader = new ByteReader(Uint8Array.of(9, 9, 1, 2, 0xc3, 0xa4, 9).subarray(2, 6));
    expect([reader.u16(), reader.text(2), reader.remaining]).toEqual([258, "ä", 0]);
  });
});

describe("concat", () => {
  it("gives the pieces one after the other", () => {
    assert(
      property(array(uint8Array()), (pieces) => {
        expect([...concat(pieces)]).toEqual(pieces.flatMap((piece) => [...piece]));
      }),
    );
  });
});

describe("sameBytes", () => {
  it("tells equal from different", () => {
    expect(sameBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2))).toBe(true);
    expect(sameBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 3))).toBe(false);
    expect(sameBytes(Uint8Array.of(1, 2), Uint8Array.of(1))).toBe(false);
  });
});
