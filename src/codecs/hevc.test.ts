import { assert, property, uint8Array } from "fast-check";
import { describe, expect, it } from "vitest";
import { concat } from "../base/bytes.ts";
import { isSluiceError } from "../base/errors.ts";
import { hevcAnnexBHeader, hevcFromAnnexB, hevcToAnnexB, hevcTrack, isHevcKeyframe, makeHevcConfig, parseHevcConfig } from "./hevc.ts";
import { toAnnexB, toLengthPrefixed } from "./nal.ts";

const hex = (text: string): Uint8Array => Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));

/** Parameter sets that x265 made, with the head of the hvcC that ffmpeg made of them. */
const recordings = {
  "Main 1080p": {
    vps: "40010c01ffff016000000300900000030000030078959409",
    sps: "420101016000000300900000030000030078a003c0801107cb965654a4c2f0168080000003008000000c0422",
    pps: "4401c073c18927",
    head: "01016000000090000000000078f000fcfdf8f800000f",
    track: { codecString: "hvc1.1.6.L120.90", width: 1920, height: 1080, frameRate: 24 },
  },
  "Range extensions 4:2:2, 10 bit, two temporal layers, cropped, scaling lists": {
    vps: "40010c02ffff0408000003009d0800000300003c00009598acc048210001004042",
    sps: "4201020408000003009d0800000300003c0000b0112049c96d965662b349272bc05a0200000300020000030064c02930dc001e848003d0970007a12000f42440",
    pps: "4401c172b46240",
    head: "0104080000009d08000000003cf000fcfefafa000013",
    track: { codecString: "hvc1.4.10.L60.9D.8", width: 130, height: 70, frameRate: 50 },
  },
} as const;

const sets = (name: keyof typeof recordings) => ({
  vps: [hex(recordings[name].vps)],
  sps: [hex(recordings[name].sps)],
  pps: [hex(recordings[name].pps)],
});

describe.each(Object.keys(recordings) as (keyof typeof recordings)[])("%s", (name) => {
  const { vps, sps, pps } = sets(name);
  const config = makeHevcConfig(vps, sps, pps);

  it("becomes an hvcC as ffmpeg makes it, and is read back", () => {
    expect(config.subarray(0, 22)).toEqual(hex(recordings[name].head));
    expect(parseHevcConfig(config)).toEqual({ lengthSize: 4, vps, sps, pps });
  });

  it("gives size, frame rate and codec string", () => {
    expect(hevcTrack(3, config)).toMatchObject({ kind: "video", id: 3, codec: "hevc", ...recordings[name].track });
  });
});

describe("canonical packets", () => {
  const { vps, sps, pps } = sets("Main 1080p");
  const idr = Uint8Array.of(0x28, 1, 0xaf, 0x80);
  const slice = Uint8Array.of(0x02, 1, 0xd0, 0x80);

  it("go to Annex B with delimiter and parameter sets, and come back", () => {
    const header = hevcAnnexBHeader(makeHevcConfig(vps, sps, pps));
    const key = concat(hevcToAnnexB(toLengthPrefixed([idr]), true, header));
    expect(key).toEqual(toAnnexB([Uint8Array.of(0x46, 1, 0x50), ...vps, ...sps, ...pps, idr]));
    expect(hevcFromAnnexB(key)).toEqual({ data: toLengthPrefixed([idr]), keyframe: true, vps, sps, pps });
    expect(hevcFromAnnexB(concat(hevcToAnnexB(toLengthPrefixed([slice]), false, header)))).toMatchObject({ keyframe: false, sps: [] });
  });

  it("tell keyframes", () => {
    expect(isHevcKeyframe(toLengthPrefixed([idr]))).toBe(true);
    expect(isHevcKeyframe(toLengthPrefixed([slice]))).toBe(false);
  });
});

it("throws nothing but input errors, whatever bytes come", () => {
  assert(
    property(uint8Array({ maxLength: 80 }), (bytes) => {
      const record = concat([Uint8Array.of(1), new Uint8Array(21), Uint8Array.of(1, 33, 0, 1, 0, bytes.length + 3, 0x42, 1, 1), bytes]);
      for (const config of [bytes, record]) {
        try {
          expect(hevcTrack(1, config).width).toBeGreaterThan(0);
        } catch (error) {
          expect(isSluiceError(error, "input.invalid")).toBe(true);
        }
      }
    }),
  );
});
