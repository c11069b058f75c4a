import { describe, expect, it } from "vitest";
import { ac3Track } from "./ac3.ts";
import { canonicalFlacConfig, flacTrack } from "./flac.ts";
import { mp3Track, parseMp3Header } from "./mp3.ts";
import { makeOpusHead, opusDuration, opusTrack, parseOpusHead } from "./opus.ts";

describe("Opus", () => {
  it("makes and reads OpusHead", () => {
    const head = makeOpusHead(2, 312, 44_100);
    expect(parseOpusHead(head)).toEqual({ channels: 2, preSkip: 312, inputSampleRate: 44_100, outputGain: 0, mappingFamily: 0 });
    expect(opusTrack(2, head)).toMatchObject({ codec: "opus", codecString: "opus", sampleRate: 48_000, channels: 2 });
  });

  it("refuses what is no OpusHead", () => {
    expect(() => parseOpusHead(new Uint8Array(19))).toThrow(/OpusHead/);
    expect(() => parseOpusHead(makeOpusHead(2).subarray(0, 12))).toThrow(expect.objectContaining({ code: "input.invalid" }));
    expect(() => parseOpusHead(makeOpusHead(3))).toThrow(/mapping family 0/);
  });

  it.each([
    { packet: [0x00], micros: 10_000 },
    { packet: [0x18], micros: 60_000 },
    { packet: [0x60], micros: 10_000 },
    { packet: [0x80], micros: 2500 },
    { packet: [0xfc], micros: 20_000 },
    { packet: [0xfd], micros: 40_000 },
    { packet: [0xff, 0x03], micros: 60_000 },
    { packet: [0xff, 0x3f], micros: 120_000 },
    { packet: [], micros: 0 },
  ])("a packet that starts with $packet lasts $micros microseconds", ({ packet, micros }) => {
    expect(opusDuration(Uint8Array.from(packet))).toBe(micros);
  });
});

describe("MP3", () => {
  it.each([
    {
      name: "MPEG-1 layer III",
      bytes: [0xff, 0xfb, 0x54, 0xc4],
      expected: { layer: 3, sampleRate: 48_000, channels: 1, frameLength: 192, samples: 1152 },
    },
    {
      name: "MPEG-1 with padding",
      bytes: [0xff, 0xfb, 0x92, 0x00],
      expected: { layer: 3, sampleRate: 44_100, channels: 2, frameLength: 418, samples: 1152 },
    },
    {
      name: "MPEG-2 layer III",
      bytes: [0xff, 0xf3, 0x84, 0x00],
      expected: { layer: 3, sampleRate: 24_000, channels: 2, frameLength: 192, samples: 576 },
    },
    {
      name: "MPEG-2.5 layer III",
      bytes: [0xff, 0xe3, 0x48, 0xc0],
      expected: { layer: 3, sampleRate: 8000, channels: 1, frameLength: 288, samples: 576 },
    },
    {
      name: "MPEG-1 layer II",
      bytes: [0xff, 0xfd, 0xa4, 0x00],
      expected: { layer: 2, sampleRate: 48_000, channels: 2, frameLength: 576, samples: 1152 },
    },
  ])("frame header is read: $name", ({ bytes, expected }) => {
    expect(parseMp3Header(Uint8Array.from(bytes))).toEqual(expected);
  });

  it("has no header where there is none", () => {
    expect(parseMp3Header(Uint8Array.of(0xff, 0xfb, 0xf4, 0))).toBeUndefined();
    expect(parseMp3Header(new Uint8Array(4))).toBeUndefined();
    expect(() => mp3Track(2, new Uint8Array(4))).toThrow(expect.objectContaining({ code: "input.invalid" }));
  });
});

describe("FLAC and AC-3", () => {
  it("FLAC has one form of record, with or without mark", () => {
    const info = Uint8Array.from("1200120000043e00051d0bb802f000017700e0cb469356ac5f26bec3e2d900000000".match(/../g) ?? [], (pair) =>
      Number.parseInt(pair, 16),
    );
    expect(flacTrack(2, canonicalFlacConfig(info))).toMatchObject({ codec: "flac", sampleRate: 48_000, channels: 2 });
    expect(canonicalFlacConfig(Uint8Array.of(0x66, 0x4c, 0x61, 0x43, 0x80, 0, 0, 34, ...info))).toEqual(info);
  });

  it("AC-3 tells rate and channels by its first frame", () => {
    expect(ac3Track(2, Uint8Array.of(0x0b, 0x77, 0, 0, 0x14, 0x40, 0xeb, 0))).toMatchObject({ sampleRate: 48_000, channels: 6 });
    expect(() => ac3Track(2, new Uint8Array(8))).toThrow(/sync word/);
  });
});
