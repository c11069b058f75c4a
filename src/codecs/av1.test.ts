import { assert, property, uint8Array } from "fast-check";
import { describe, expect, it } from "vitest";
import { concat } from "../base/bytes.ts";
import { isSluiceError } from "../base/errors.ts";
import { av1SequenceObu, av1Track, av1TrackWithKeyframe, canonicalAv1, isAv1Keyframe, makeAv1Config, obus } from "./av1.ts";

/** What SVT-AV1 made of 640x360 in 10 bits: av1C with its sequence header. */
const config = Uint8Array.of(0x81, 1, 0x4c, 0, 0x0a, 0x0b, 0, 0, 0, 0x0c, 0xc4, 0xff, 0x67, 0, 0xbe, 0x10, 0x10);
const sequence = config.subarray(4);
const delimiter = Uint8Array.of(0x12, 0);
const keyFrame = Uint8Array.of(0x32, 3, 0x10, 1, 2);
const interFrame = Uint8Array.of(0x32, 3, 0x30, 1, 2);

describe("av1Track", () => {
  it("reads av1C with a sequence header", () => {
    expect(av1Track(1, config)).toMatchObject({ codec: "av1", codecString: "av01.0.01M.10", width: 640, height: 360 });
  });

  it("leaves the size open without a sequence header, and a keyframe tells it", () => {
    expect(av1Track(1, config.subarray(0, 4))).toMatchObject({ codecString: "av01.0.01M.10", width: 0, height: 0 });
    expect(av1TrackWithKeyframe(1, concat([sequence, keyFrame]))).toEqual(av1Track(1, config));
    expect(av1TrackWithKeyframe(1, interFrame)).toBeUndefined();
  });

  it("makes the same av1C that ffmpeg made", () => {
    const obu = av1SequenceObu(concat([delimiter, sequence, keyFrame]));
    expect(obu && makeAv1Config(obu)).toEqual(config);
  });
});

describe("canonicalAv1", () => {
  it("takes delimiters out and gives the last OBU its size", () => {
    const open = Uint8Array.of(0x30, 0x10, 1, 2);
    expect(canonicalAv1(concat([delimiter, sequence, open]))).toEqual(concat([sequence, keyFrame]));
    const canonical = concat([sequence, keyFrame]);
    expect(canonicalAv1(canonical)).toBe(canonical);
  });

  it("writes sizes over 127 in two bytes", () => {
    const open = concat([Uint8Array.of(0x30), new Uint8Array(300)]);
    expect(obus(canonicalAv1(open))[0]?.payload).toEqual(new Uint8Array(300));
  });
});

describe("isAv1Keyframe", () => {
  it("wants a sequence header and a shown key frame", () => {
    expect(isAv1Keyframe(concat([sequence, keyFrame]))).toBe(true);
    expect(isAv1Keyframe(keyFrame)).toBe(false);
    expect(isAv1Keyframe(concat([sequence, interFrame]))).toBe(false);
    expect(isAv1Keyframe(new Uint8Array(0))).toBe(false);
  });
});

it("throws nothing but input errors, whatever bytes come", () => {
  assert(
    property(uint8Array({ maxLength: 60 }), (bytes) => {
      for (const run of [
        () => canonicalAv1(bytes).length,
        () => isAv1Keyframe(bytes),
        () => av1Track(1, concat([config.subarray(0, 4), Uint8Array.of(0x0a, bytes.length), bytes])).width,
      ]) {
        try {
          expect(run()).toBeDefined();
        } catch (error) {
          expect(isSluiceError(error, "input.invalid")).toBe(true);
        }
      }
    }),
  );
});
