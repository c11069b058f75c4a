import { describe, expect, it } from "vitest";
import { ascii, concat } from "../../base/bytes.ts";
import { makeHevcConfig } from "../../codecs/hevc.ts";
import { toLengthPrefixed } from "../../codecs/nal.ts";
import { makeOpusHead } from "../../codecs/opus.ts";
import { type DemuxerOutput, isTrackList } from "../../media/format.ts";
import type { Packet } from "../../media/packet.ts";
import { encodeAmf0 } from "../amf/amf0.ts";
import { createTagDemuxer } from "./tag-demuxer.ts";

const hex = (text: string): Uint8Array => Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
const avcC = hex("0164001effe100186764001eacd940b424d8088000000300800000190f8a14cb01000668fba3cb22c0fdf8f800");
const av1C = hex("81014c000a0b0000000cc4ff6700be1010");
const idr = toLengthPrefixed([Uint8Array.of(0x65, 0x88, 0x80)]);
const vp9Keyframe = Uint8Array.of(0x82, 0x49, 0x83, 0x42, 0x00, 0x09, 0xf0, 0x05, 0x90);

const trackIds = (outputs: readonly DemuxerOutput[]): number[][] =>
  outputs.filter(isTrackList).map(({ tracks }) => tracks.map(({ id }) => id));
const packets = (outputs: readonly DemuxerOutput[]): Packet[] => outputs.flatMap((output) => (isTrackList(output) ? [] : [output]));
const body = (...pieces: (Uint8Array | string | number)[]): Uint8Array =>
  concat(pieces.map((piece) => (typeof piece === "string" ? ascii(piece) : typeof piece === "number" ? Uint8Array.of(piece) : piece)));
const sized = (data: Uint8Array): Uint8Array => body(0, 0, data.length, data);

describe("createTagDemuxer", () => {
  it("gives tracks, then packets with composition time, from legacy tags", () => {
    const demuxer = createTagDemuxer();
    expect(demuxer.tag(9, 0, body(0x17, 0, hex("000000"), avcC))).toMatchObject([{ tracks: [{ id: 1, codec: "h264", width: 720 }] }]);
    expect(trackIds(demuxer.tag(8, 0, hex("af001190")))).toEqual([[1, 2]]);
    expect(demuxer.tag(9, 40, body(0x17, 1, hex("000050"), idr))).toEqual([
      { trackId: 1, dts: 40_000, pts: 120_000, keyframe: true, data: idr },
    ]);
    expect(demuxer.tag(9, 80, body(0x27, 1, hex("fffff6"), idr))).toEqual([
      { trackId: 1, dts: 80_000, pts: 70_000, keyframe: false, data: idr },
    ]);
    expect(demuxer.tag(8, 2 ** 33, hex("af012100"))).toEqual([
      { trackId: 2, dts: 2 ** 33 * 1000, pts: 2 ** 33 * 1000, keyframe: true, data: hex("2100") },
    ]);
    expect(demuxer.tag(9, 120, hex("1702000000"))).toEqual([]);
  });

  it("drops packets that come before their configuration, commands and empty tags", () => {
    const demuxer = createTagDemuxer();
    for (const [type, bytes] of [
      [9, body(0x17, 1, hex("000000"), idr)],
      [8, hex("af012100")],
      [9, hex("5000")],
      [9, hex("")],
      [8, hex("")],
      [8, hex("af")],
    ] as const)
      expect(demuxer.tag(type, 0, bytes)).toEqual([]);
  });

  it("says nothing new when a configuration is repeated, and everything when it changes", () => {
    const demuxer = createTagDemuxer();
    expect(trackIds(demuxer.tag(8, 0, hex("af001190")))).toEqual([[2]]);
    expect(demuxer.tag(8, 10, hex("af001190"))).toEqual([]);
    expect(demuxer.tag(8, 20, hex("af001210"))).toMatchObject([{ tracks: [{ id: 2, sampleRate: 44_100 }] }]);
  });

  it("keeps a good track when a broken configuration comes, and refuses the broken one each time", () => {
    const demuxer = createTagDemuxer();
    demuxer.tag(9, 0, body(0x17, 0, hex("000000"), avcC));
    const broken = body(0x17, 0, hex("000000"), avcC.subarray(0, 12));
    for (let i = 0; i < 2; i++) expect(() => demuxer.tag(9, 0, broken)).toThrow(expect.objectContaining({ code: "input.invalid" }));
    expect(packets(demuxer.tag(9, 40, body(0x17, 1, hex("000000"), idr)))).toHaveLength(1);
  });

  it("copies bodies that it does not own, and only those", () => {
    for (const ownsBodies of [false, true]) {
      const demuxer = createTagDemuxer({ ownsBodies });
      demuxer.tag(8, 0, hex("af001190"));
      const bytes = hex("af01deadbeef");
      const [packet] = packets(demuxer.tag(8, 0, bytes));
      bytes.fill(0);
      expect(packet?.data).toEqual(ownsBodies ? hex("00000000") : hex("deadbeef"));
    }
  });

  it("reads H.265 under codec id 12, as Chinese networks send it", () => {
    const demuxer = createTagDemuxer();
    const hvcC = makeHevcConfig(
      [hex("40010c01ffff016000000300900000030000030078959409")],
      [hex("420101016000000300900000030000030078a003c0801107cb965654a4c2f0168080000003008000000c0422")],
      [hex("4401c073c18927")],
    );
    expect(demuxer.tag(9, 0, body(0x1c, 0, hex("000000"), hvcC))).toMatchObject([
      { tracks: [{ codec: "hevc", config: hvcC, width: 1920, height: 1080, frameRate: 24 }] },
    ]);
    const picture = toLengthPrefixed([hex("2801af80")]);
    expect(demuxer.tag(9, 40, body(0x1c, 1, hex("000028"), picture))).toMatchObject([{ dts: 40_000, pts: 80_000, data: picture }]);
  });

  it("makes four-byte lengths of shorter ones", () => {
    const demuxer = createTagDemuxer();
    const short = avcC.slice();
    short[4] = 0xfd;
    expect(demuxer.tag(9, 0, body(0x17, 0, hex("000000"), short))).toMatchObject([{ tracks: [{ config: avcC }] }]);
    expect(packets(demuxer.tag(9, 0, body(0x17, 1, hex("000000"), hex("0003658880"))))).toMatchObject([{ data: idr }]);
  });

  it("refuses NAL units that point over the end, and codecs that it does not have", () => {
    const demuxer = createTagDemuxer();
    demuxer.tag(9, 0, body(0x17, 0, hex("000000"), avcC));
    expect(() => demuxer.tag(9, 0, body(0x17, 1, hex("000000"), hex("0000000965")))).toThrow(/length-prefixed NAL units/);
    expect(() => demuxer.tag(9, 0, hex("1200"))).toThrow(/codec id 2; 7 \(H.264\), 12 \(H.265\)/);
    expect(() => demuxer.tag(8, 0, hex("b200"))).toThrow(/sound format 11/);
    expect(() => demuxer.tag(9, 0, body(0x90, "xxxx"))).toThrow(/FourCC "xxxx"; one of avc1, hvc1, av01, vp09/);
  });

  it("takes the frame rate of onMetaData where the bitstream has none, whenever it comes", () => {
    const metadata = encodeAmf0(["onMetaData", { framerate: 29.97, width: 1 }]);
    const after = createTagDemuxer();
    after.tag(9, 0, body(0x90, "av01", av1C));
    expect(after.tag(18, 0, metadata)).toMatchObject([{ tracks: [{ frameRate: 29.97, width: 640 }] }]);
    expect(after.tag(18, 0, metadata)).toEqual([]);
    const before = createTagDemuxer();
    expect(before.tag(18, 0, encodeAmf0(["@setDataFrame", "onMetaData", { framerate: 30 }]))).toEqual([]);
    expect(before.tag(9, 0, body(0x90, "av01", av1C))).toMatchObject([{ tracks: [{ frameRate: 30 }] }]);
    expect(before.tag(18, 0, hex("02ffff"))).toEqual([]);
  });

  it("knows MP3 by its first frame, in both legacy forms and as FourCC, also after another codec", () => {
    const frame = hex("fffb54c4aabb");
    for (const head of ["2f", "ef"]) {
      const demuxer = createTagDemuxer();
      expect(demuxer.tag(8, 5, concat([hex(head), frame]))).toMatchObject([
        { tracks: [{ codec: "mp3", sampleRate: 48_000 }] },
        { data: frame, dts: 5000 },
      ]);
      expect(demuxer.tag(8, 29, concat([hex(head), frame]))).toHaveLength(1);
    }
    const demuxer = createTagDemuxer();
    demuxer.tag(8, 0, hex("af001190"));
    expect(demuxer.tag(8, 5, body(0x91, ".mp3", frame))).toMatchObject([{ tracks: [{ codec: "mp3" }] }, { data: frame }]);
    expect(demuxer.tag(8, 6, hex("af012100"))).toEqual([]);
  });
});

describe("Enhanced RTMP", () => {
  it("CodedFrames have a composition time for avc1 and hvc1, CodedFramesX have none", () => {
    const demuxer = createTagDemuxer();
    expect(trackIds(demuxer.tag(9, 0, body(0x90, "avc1", avcC)))).toEqual([[1]]);
    expect(demuxer.tag(9, 40, body(0x91, "avc1", hex("000028"), idr))).toMatchObject([
      { dts: 40_000, pts: 80_000, keyframe: true, data: idr },
    ]);
    expect(demuxer.tag(9, 80, body(0xa3, "avc1", idr))).toMatchObject([{ dts: 80_000, pts: 80_000, keyframe: false, data: idr }]);
    expect(demuxer.tag(9, 80, body(0x92, "avc1"))).toEqual([]);
    expect(demuxer.tag(9, 80, body(0x94, encodeAmf0(["colorInfo", {}])))).toEqual([]);
    expect(demuxer.tag(9, 80, body(0x95, "av01", 1, 2, 3))).toEqual([]);
    expect(demuxer.tag(9, 80, hex("d000"))).toEqual([]);
  });

  it("VP9 and AV1 without sequence header become tracks with their first keyframe", () => {
    const demuxer = createTagDemuxer();
    expect(demuxer.tag(9, 0, body(0x90, "vp09", hex("01000000000a820202020000")))).toEqual([]);
    expect(demuxer.tag(9, 0, body(0xa1, "vp09", hex("8600")))).toEqual([]);
    expect(demuxer.tag(9, 0, body(0x91, "vp09", vp9Keyframe))).toMatchObject([
      { tracks: [{ codec: "vp9", codecString: "vp09.00.10.08", width: 160, height: 90 }] },
      { data: vp9Keyframe },
    ]);
    expect(demuxer.tag(9, 40, body(0xa1, "vp09", hex("8600")))).toHaveLength(1);
    const av1 = createTagDemuxer();
    expect(av1.tag(9, 0, body(0x90, "av01", av1C.subarray(0, 4)))).toEqual([]);
    const keyframe = concat([av1C.subarray(4), hex("3203100102")]);
    expect(av1.tag(9, 0, body(0x91, "av01", hex("1200"), keyframe))).toMatchObject([
      { tracks: [{ config: av1C, width: 640 }] },
      { data: keyframe },
    ]);
  });

  it("audio: mp4a, Opus and FLAC", () => {
    const demuxer = createTagDemuxer();
    expect(demuxer.tag(8, 0, body(0x90, "mp4a", hex("1190")))).toMatchObject([{ tracks: [{ codec: "aac" }] }]);
    expect(packets(demuxer.tag(8, 20, body(0x91, "mp4a", hex("2100"))))).toMatchObject([{ trackId: 2, data: hex("2100") }]);
    expect(demuxer.tag(8, 20, body(0x90, "Opus", makeOpusHead(2)))).toMatchObject([{ tracks: [{ id: 2, codec: "opus" }] }]);
    expect(demuxer.tag(8, 40, body(0x91, "Opus", hex("fc01")))).toMatchObject([{ trackId: 2, data: hex("fc01"), keyframe: true }]);
    expect(demuxer.tag(8, 40, body(0x94, "Opus", hex("0102")))).toEqual([]);
    expect(demuxer.tag(8, 60, body(0x92, "Opus"))).toEqual([]);
  });

  it("ModEx: nanoseconds are added, other modifiers are passed over", () => {
    const demuxer = createTagDemuxer();
    demuxer.tag(8, 0, body(0x90, "Opus", makeOpusHead(2)));
    const longModifier = concat([hex("ff0100"), new Uint8Array(257), hex("f1")]);
    expect(demuxer.tag(8, 20, body(0x97, hex("0207a12001"), "Opus", hex("fc")))).toMatchObject([{ dts: 20_500, pts: 20_500 }]);
    expect(demuxer.tag(8, 20, body(0x97, hex("00aa17"), hex("0207a12001"), "Opus", hex("fc")))).toMatchObject([{ dts: 20_500 }]);
    expect(demuxer.tag(8, 20, body(0x97, longModifier, "Opus", hex("fc")))).toMatchObject([{ dts: 20_000 }]);
  });

  it("multitrack: one track, many tracks, many tracks of many codecs", () => {
    const demuxer = createTagDemuxer();
    const one = body(0x96, 0x00, "avc1", 0, avcC);
    const many = body(0x96, 0x10, "avc1", 1, sized(avcC), 3, sized(avcC));
    const mixed = body(0x96, 0x20, "av01", 0, sized(av1C), "avc1", 1, sized(avcC));
    expect(trackIds(demuxer.tag(9, 0, one))).toEqual([[1]]);
    expect(trackIds(demuxer.tag(9, 0, many))).toEqual([
      [1, 3],
      [1, 3, 7],
    ]);
    expect(demuxer.tag(9, 0, mixed)).toMatchObject([{ tracks: [{ id: 1, codec: "av1" }, { id: 3, codec: "h264" }, { id: 7 }] }]);
    const frames = body(0x96, 0x11, "avc1", 1, sized(body(hex("000028"), idr)), 3, sized(body(hex("000000"), idr)));
    expect(demuxer.tag(9, 40, frames)).toMatchObject([
      { trackId: 3, dts: 40_000, pts: 80_000, data: idr },
      { trackId: 7, pts: 40_000, data: idr },
    ]);
    expect(trackIds(demuxer.tag(8, 0, body(0x95, 0x10, "mp4a", 0, sized(hex("1190")), 2, sized(hex("1210")))))).toEqual([
      [1, 2, 3, 7],
      [1, 2, 3, 6, 7],
    ]);
    expect(() => demuxer.tag(9, 0, body(0x96, 0x11, "avc1", 1, hex("00ffff"), idr))).toThrow(
      expect.objectContaining({ code: "input.invalid" }),
    );
  });
});
