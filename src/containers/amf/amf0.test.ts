import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isSluiceError } from "../../base/errors.ts";
import { decodeAmf0, EcmaArray, encodeAmf0 } from "./amf0.ts";
import { decodeAmf3 } from "./amf3.ts";

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

/** A decoder may refuse bytes only with an "input.*" error. */
function decodesOrRefuses(decode: () => unknown): void {
  try {
    decode();
  } catch (error) {
    if (!isSluiceError(error) || !error.code.startsWith("input.")) throw error;
  }
}

const amfValue = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    fc.double(),
    fc.boolean(),
    fc.string({ unit: "grapheme" }),
    fc.constant(null),
    fc.constant(undefined),
    fc.date({ noInvalidDate: true }),
    fc.array(tie("value"), { maxLength: 5 }),
    fc.dictionary(fc.string({ minLength: 1 }), tie("value"), { maxKeys: 5 }),
  ),
})).value;

describe("AMF0", () => {
  it("gives back every value that it wrote", () => {
    fc.assert(
      fc.property(fc.array(amfValue, { maxLength: 6 }), (values) => {
        expect(decodeAmf0(encodeAmf0(values))).toEqual(values);
      }),
    );
  });

  it("writes the bytes of the specification", () => {
    expect(encodeAmf0(["a", 1, true, null])).toEqual(bytes(2, 0, 1, 97, 0, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 1, 1, 5));
    expect(encodeAmf0([new EcmaArray({ a: undefined })])).toEqual(bytes(8, 0, 0, 0, 1, 0, 1, 97, 6, 0, 0, 9));
    const long = "x".repeat(70_000);
    expect(encodeAmf0([long]).subarray(0, 5)).toEqual(bytes(0x0c, 0, 1, 0x11, 0x70));
    expect(decodeAmf0(encodeAmf0([long]))).toEqual([long]);
  });

  it("reads typed objects, XML, unsupported, and ECMA arrays that end with the message", () => {
    expect(decodeAmf0(bytes(0x10, 0, 1, 67, 0, 1, 97, 5, 0, 0, 9))).toEqual([{ a: null }]);
    expect(decodeAmf0(bytes(0x0f, 0, 0, 0, 2, 60, 62, 0x0d))).toEqual(["<>", undefined]);
    expect(decodeAmf0(bytes(8, 0, 0, 0, 0, 0, 1, 97, 1, 1))).toEqual([{ a: true }]);
  });

  it("resolves references, and makes no cycle", () => {
    expect(decodeAmf0(bytes(3, 0, 1, 97, 1, 1, 0, 0, 9, 7, 0, 0))).toEqual([{ a: true }, { a: true }]);
    expect(decodeAmf0(bytes(3, 0, 1, 97, 7, 0, 0, 0, 0, 9))).toEqual([{ a: undefined }]);
    expect(() => decodeAmf0(bytes(7, 0, 3))).toThrow(/points at nothing/);
  });

  it("keeps a hostile property name harmless", () => {
    const [record] = decodeAmf0(encodeAmf0([JSON.parse('{"__proto__":{"admin":true}}')])) as [Record<string, unknown>];
    expect(record.admin).toBeUndefined();
  });

  it("follows the switch to AMF3 for one value", () => {
    expect(decodeAmf0(bytes(0x11, 6, 3, 97, 2, 0, 1, 98))).toEqual(["a", "b"]);
  });

  it("refuses depth, announced sizes and repeated references beyond reason", () => {
    const deep = new Uint8Array(40_000).fill(0).map((_, index) => [3, 0, 1, 97][index % 4] ?? 0);
    expect(() => decodeAmf0(deep)).toThrow(/nested deeper/);
    expect(() => decodeAmf0(bytes(0x0a, 0xff, 0xff, 0xff, 0xff))).toThrow(/does not fit/);
    // Each of 40 arrays repeats the one before it ten times: 10^40 values if nobody counted.
    const laughs: number[] = [0x0a, 0, 0, 0, 0];
    for (let index = 0; index < 40; index += 1) {
      laughs.push(0x0a, 0, 0, 0, 10);
      for (let item = 0; item < 10; item += 1) laughs.push(7, 0, index);
    }
    expect(() => decodeAmf0(Uint8Array.from(laughs))).toThrow(/more than/);
    expect(() => encodeAmf0([() => 1])).toThrow(/no form/);
  });

  it("reads or refuses any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (input) => decodesOrRefuses(() => decodeAmf0(input))),
      { numRuns: 1000 },
    );
    const honest = encodeAmf0(["connect", 1, { app: "live", list: [1, "x", { a: new Date(0) }] }, new EcmaArray({ width: 640 })]);
    fc.assert(
      fc.property(fc.nat(honest.length - 1), fc.nat(255), fc.nat(honest.length), (at, value, end) => {
        const broken = honest.slice();
        broken[at] = value;
        decodesOrRefuses(() => decodeAmf0(broken.subarray(0, end)));
      }),
      { numRuns: 1000 },
    );
  });
});

describe("AMF3", () => {
  it("reads scalars", () => {
    expect(decodeAmf3(bytes(0, 1, 2, 3))).toEqual([undefined, null, false, true]);
    expect(decodeAmf3(bytes(4, 5, 4, 0x81, 0x00, 4, 0xff, 0xff, 0xff, 0xff))).toEqual([5, 128, -1]);
    expect(decodeAmf3(bytes(5, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0))).toEqual([1.5]);
    expect(decodeAmf3(bytes(8, 1, 0, 0, 0, 0, 0, 0, 0, 0))).toEqual([new Date(0)]);
    expect(decodeAmf3(bytes(0x0c, 5, 7, 8))).toEqual([bytes(7, 8)]);
    expect(decodeAmf3(bytes(0x0b, 3, 60))).toEqual(["<"]);
  });

  it("reads strings and objects by reference", () => {
    expect(decodeAmf3(bytes(6, 3, 97, 6, 0))).toEqual(["a", "a"]);
    // dynamic anonymous object {a: 5}, then its traits again with {a: 6}, then the first object by reference
    expect(decodeAmf3(bytes(0x0a, 0x0b, 1, 3, 97, 4, 5, 1, 0x0a, 1, 0, 4, 6, 1, 0x0a, 0))).toEqual([{ a: 5 }, { a: 6 }, { a: 5 }]);
    // sealed class "C" with the member "a"
    expect(decodeAmf3(bytes(0x0a, 0x13, 3, 67, 3, 97, 3))).toEqual([{ a: true }]);
  });

  it("reads arrays, vectors and dictionaries", () => {
    expect(decodeAmf3(bytes(9, 5, 1, 4, 1, 4, 2))).toEqual([[1, 2]]);
    expect(decodeAmf3(bytes(9, 3, 3, 97, 3, 1, 4, 9))).toEqual([{ a: true, 0: 9 }]);
    expect(decodeAmf3(bytes(0x0d, 3, 0, 0xff, 0xff, 0xff, 0xff))).toEqual([[-1]]);
    expect(decodeAmf3(bytes(0x0e, 3, 0, 0, 0, 0, 7))).toEqual([[7]]);
    expect(decodeAmf3(bytes(0x0f, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0))).toEqual([[0]]);
    expect(decodeAmf3(bytes(0x10, 3, 0, 1, 3))).toEqual([[true]]);
    expect(decodeAmf3(bytes(0x11, 3, 0, 6, 3, 97, 4, 1))).toEqual([{ a: 1 }]);
  });

  it("opens Flex collections and refuses other externalizable classes", () => {
    const name = new TextEncoder().encode("flex.messaging.io.ArrayCollection");
    expect(decodeAmf3(bytes(0x0a, 7, name.length * 2 + 1, ...name, 9, 3, 1, 4, 1))).toEqual([[1]]);
    expect(() => decodeAmf3(bytes(0x0a, 7, 3, 88, 0))).toThrow(/externalizable/);
  });

  it("reads or refuses any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (input) => decodesOrRefuses(() => decodeAmf3(input))),
      { numRuns: 2000 },
    );
    expect(() => decodeAmf3(bytes(9, 0xff, 0xff, 0xff, 0xff, 1))).toThrow(/does not fit/);
    const deep = new Uint8Array(3000).map((_, index) => [9, 3, 1][index % 3] ?? 0);
    expect(() => decodeAmf3(deep)).toThrow(/nested deeper/);
  });
});
