import { describe, expect, it } from "vitest";
import { parseVp8Keyframe, vp8Track } from "./vp8.ts";
import { canonicalVp9Config, isVp9Keyframe, makeVp9Config, parseVp9Keyframe, vp9Track } from "./vp9.ts";

/** Profile 0, colour space 0, 160x90. */
const keyframe = Uint8Array.of(0x82, 0x49, 0x83, 0x42, 0x00, 0x09, 0xf0, 0x05, 0x90);

describe("VP9", () => {
  it("tells size and configuration by its key frame", () => {
    const info = parseVp9Keyframe(keyframe);
    expect(info).toMatchObject({ width: 160, height: 90, profile: 0, bitDepth: 8, chroma: 1 });
    expect(info && vp9Track(1, makeVp9Config(info), info)).toMatchObject({ codecString: "vp09.00.10.08", width: 160, height: 90 });
  });

  it("tells key frames from others", () => {
    expect(isVp9Keyframe(keyframe)).toBe(true);
    expect(isVp9Keyframe(Uint8Array.of(0x86, 0))).toBe(false);
    expect(isVp9Keyframe(Uint8Array.of(0x88, 0))).toBe(false);
    expect(parseVp9Keyframe(Uint8Array.of(0x86, 0))).toBeUndefined();
  });

  it("has one form of record, with or without version and flags of the box", () => {
    const record = Uint8Array.of(0, 31, 0x82, 2, 2, 2, 0, 0);
    expect(canonicalVp9Config(record)).toEqual(record);
    expect(canonicalVp9Config(Uint8Array.of(1, 0, 0, 0, ...record))).toEqual(record);
    expect(() => canonicalVp9Config(Uint8Array.of(1))).toThrow(expect.objectContaining({ code: "input.invalid" }));
  });

  it("refuses a key frame that is none or is cut", () => {
    expect(() => parseVp9Keyframe(keyframe.subarray(0, 6))).toThrow(expect.objectContaining({ code: "input.invalid" }));
    expect(() => parseVp9Keyframe(Uint8Array.of(0x82, 1, 2, 3, 4, 5, 6, 7, 8, 9))).toThrow(/sync code/);
    expect(() => isVp9Keyframe(Uint8Array.of(0))).toThrow(/frame marker/);
  });
});

describe("VP8", () => {
  it("tells its size by its key frame", () => {
    const frame = Uint8Array.of(0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01);
    expect(vp8Track(1, parseVp8Keyframe(frame))).toMatchObject({ codec: "vp8", width: 640, height: 360 });
    expect(parseVp8Keyframe(Uint8Array.of(0x11))).toBeUndefined();
    expect(() => parseVp8Keyframe(Uint8Array.of(0x10, 0))).toThrow(expect.objectContaining({ code: "input.invalid" }));
  });
});
