import { assert, property, uint8Array } from "fast-check";
import { describe, expect, it } from "vitest";
import { concat } from "../base/bytes.ts";
import { isSluiceError } from "../base/errors.ts";
import {
  canonicalH264,
  canonicalH264Config,
  h264AnnexBHeader,
  h264FromAnnexB,
  h264ToAnnexB,
  h264Track,
  isH264Keyframe,
  makeH264Config,
  parseH264Config,
} from "./h264.ts";
import { toAnnexB, toLengthPrefixed } from "./nal.ts";

const hex = (text: string): Uint8Array => Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));

/** Records that x264 made, with what it was told to encode. */
const recordings = {
  "High 1080p, cropped, 29.97": {
    config: "01640028ffe1001867640028acb403c0113f2e022000007d20001d4c01e3065401000468ee0fcbfdf8f800",
    track: { codecString: "avc1.640028", width: 1920, height: 1080, frameRate: 29.97 },
  },
  "High 576i": {
    config: "0164001effe100186764001eacd940b424d8088000000300800000190f8a14cb01000668fba3cb22c0fdf8f800",
    track: { codecString: "avc1.64001e", width: 720, height: 576, frameRate: 25 },
  },
  "High 4:4:4, 10 bit": {
    config: "01f4000affe1001b67f4000a90d9b28e4f1b1f80880000030008000003019078912cb001000668ebe3c44844fffafa00",
    track: { codecString: "avc1.f4000a", width: 100, height: 50, frameRate: 25 },
  },
  "High 4:2:2 with scaling lists": {
    config: "017a000cffe1001b677a000cbcd941519e222f011000000300100000030140f142996001000768ebe3cb3002c0fef8f800",
    track: { codecString: "avc1.7a000c", width: 322, height: 182, frameRate: 10 },
  },
} as const;

describe("h264Track", () => {
  it.each(Object.entries(recordings))("reads %s", (_, { config, track }) => {
    expect(h264Track(1, hex(config))).toMatchObject({ kind: "video", id: 1, codec: "h264", ...track });
  });

  it("says what is missing in a record without SPS", () => {
    expect(() => h264Track(1, Uint8Array.of(1, 0x64, 0, 0x28, 0xff, 0xe0, 0))).toThrow(/no SPS/);
  });

  it("throws nothing but input errors, whatever bytes come", () => {
    assert(
      property(uint8Array({ maxLength: 60 }), uint8Array({ maxLength: 40 }), (record, sps) => {
        for (const bytes of [record, concat([Uint8Array.of(1, 100, 0, 40, 255, 225, 0, sps.length + 1, 0x67), sps, Uint8Array.of(0)])]) {
          try {
            expect(h264Track(1, bytes).width).toBeGreaterThan(0);
          } catch (error) {
            expect(isSluiceError(error, "input.invalid")).toBe(true);
          }
        }
      }),
    );
  });
});

describe("makeH264Config", () => {
  it.each(Object.entries(recordings))("makes the same record that ffmpeg made: %s", (_, { config }) => {
    const { sps, pps } = parseH264Config(hex(config));
    expect(makeH264Config(sps, pps)).toEqual(hex(config));
  });
});

describe("canonical packets", () => {
  const config = hex(recordings["High 576i"].config);
  const { sps, pps } = parseH264Config(config);
  const idr = Uint8Array.of(0x65, 0x88, 0x80);
  const slice = Uint8Array.of(0x41, 0x9a, 0x80);
  const aud = Uint8Array.of(9, 0x10);

  it("come from Annex B without delimiter and parameter sets", () => {
    const unit = h264FromAnnexB(toAnnexB([aud, ...sps, ...pps, idr]));
    expect(unit).toEqual({ data: toLengthPrefixed([idr]), keyframe: true, sps, pps });
  });

  it("go to Annex B with delimiter, and with parameter sets before keyframes", () => {
    const header = h264AnnexBHeader(config);
    const key = concat(h264ToAnnexB(toLengthPrefixed([idr]), true, header));
    expect(key).toEqual(toAnnexB([Uint8Array.of(9, 0xf0), ...sps, ...pps, idr]));
    expect(concat(h264ToAnnexB(toLengthPrefixed([aud, slice]), false, header))).toEqual(toAnnexB([Uint8Array.of(9, 0xf0), slice]));
    expect(h264FromAnnexB(key).data).toEqual(toLengthPrefixed([idr]));
  });

  it("have the parameter sets once when the encoder sends them in-band", () => {
    const data = toLengthPrefixed([...sps, ...pps, idr]);
    expect(concat(h264ToAnnexB(data, true, h264AnnexBHeader(config)))).toEqual(toAnnexB([Uint8Array.of(9, 0xf0), ...sps, ...pps, idr]));
  });

  it("tell keyframes: IDR and exact recovery points, nothing else", () => {
    const recovery = Uint8Array.of(6, 5, 1, 0xaa, 6, 1, 0xc4, 0x80);
    const laterRecovery = Uint8Array.of(6, 6, 1, 0x24, 0x80);
    expect(isH264Keyframe(toLengthPrefixed([idr]))).toBe(true);
    expect(isH264Keyframe(toLengthPrefixed([recovery, slice]))).toBe(true);
    expect(isH264Keyframe(toLengthPrefixed([laterRecovery, slice]))).toBe(false);
    expect(isH264Keyframe(toLengthPrefixed([slice]))).toBe(false);
  });

  it("get four-byte lengths when the sender used shorter ones", () => {
    const short = config.slice();
    short[4] = 0xfd;
    expect(parseH264Config(short).lengthSize).toBe(2);
    expect(canonicalH264Config(short)).toEqual(config);
    expect(canonicalH264(Uint8Array.of(0, 3, ...idr, 0, 3, ...slice), 2)).toEqual(toLengthPrefixed([idr, slice]));
    const data = toLengthPrefixed([idr]);
    expect(canonicalH264(data, 4)).toBe(data);
  });
});
