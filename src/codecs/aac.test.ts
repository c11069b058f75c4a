import { assert, constantFrom, integer, property, uint8Array } from "fast-check";
import { describe, expect, it } from "vitest";
import { concat } from "../base/bytes.ts";
import { isSluiceError } from "../base/errors.ts";
import { aacTrack, adtsHeader, makeAacConfig, parseAacConfig, parseAdtsHeader } from "./aac.ts";

describe("AudioSpecificConfig", () => {
  it.each([
    { name: "AAC-LC", bytes: [0x11, 0x90], expected: { codecString: "mp4a.40.2", sampleRate: 48_000, channels: 2 } },
    {
      name: "AAC-LC as ffmpeg writes it",
      bytes: [0x12, 0x10, 0x56, 0xe5, 0],
      expected: { codecString: "mp4a.40.2", sampleRate: 44_100, channels: 2 },
    },
    { name: "AAC-LC 5.1", bytes: [0x12, 0x30], expected: { codecString: "mp4a.40.2", sampleRate: 44_100, channels: 6 } },
    { name: "HE-AAC", bytes: [0x2b, 0x11, 0x88, 0], expected: { codecString: "mp4a.40.5", sampleRate: 48_000, channels: 2 } },
    { name: "HE-AAC v2", bytes: [0xeb, 0x09, 0x88, 0], expected: { codecString: "mp4a.40.29", sampleRate: 48_000, channels: 2 } },
    {
      name: "AAC-LC with SBR behind it",
      bytes: [0x13, 0x10, 0x56, 0xe5, 0x98],
      expected: { codecString: "mp4a.40.2", sampleRate: 48_000, channels: 2 },
    },
    {
      name: "AAC-LC with SBR and PS behind it",
      bytes: [0x13, 0x08, 0x56, 0xe5, 0x9d, 0x48, 0x80],
      expected: { codecString: "mp4a.40.2", sampleRate: 48_000, channels: 2 },
    },
    {
      name: "a rate that is in no table",
      bytes: [0x17, 0x80, 0x17, 0x70, 0x10],
      expected: { codecString: "mp4a.40.2", sampleRate: 12_000, channels: 2 },
    },
  ])("is read: $name", ({ bytes, expected }) => {
    expect(aacTrack(2, Uint8Array.from(bytes))).toMatchObject({ kind: "audio", id: 2, codec: "aac", ...expected });
  });

  it("tells the samples of a packet at the rate of the decoded sound", () => {
    expect(parseAacConfig(Uint8Array.of(0x11, 0x90)).samplesPerPacket).toBe(1024);
    expect(parseAacConfig(Uint8Array.of(0x2b, 0x11, 0x88, 0)).samplesPerPacket).toBe(2048);
  });

  it("is made and read back", () => {
    assert(
      property(constantFrom(96_000, 48_000, 44_100, 8000, 7350, 12_345), integer({ min: 1, max: 6 }), (rate, channels) => {
        expect(parseAacConfig(makeAacConfig(2, rate, channels))).toMatchObject({ coreObjectType: 2, coreSampleRate: rate, channels });
      }),
    );
  });

  it("throws nothing but input errors, whatever bytes come", () => {
    assert(
      property(uint8Array({ maxLength: 12 }), (bytes) => {
        try {
          const { channels, sampleRate } = parseAacConfig(bytes);
          expect(channels).toBeGreaterThan(0);
          expect(sampleRate).toBeGreaterThan(0);
        } catch (error) {
          expect(isSluiceError(error)).toBe(true);
        }
      }),
    );
  });
});

describe("ADTS", () => {
  it("headers are written and read back", () => {
    assert(
      property(constantFrom(48_000, 44_100, 22_050), constantFrom(1, 2, 6), integer({ min: 0, max: 8184 }), (rate, channels, length) => {
        const config = makeAacConfig(2, rate, channels);
        const header = parseAdtsHeader(adtsHeader(parseAacConfig(config), length));
        expect(header).toEqual({ config, sampleRate: rate, headerLength: 7, frameLength: length + 7, samples: 1024 });
      }),
    );
  });

  it("is not found where it is not", () => {
    expect(parseAdtsHeader(new Uint8Array(7))).toBeUndefined();
    expect(parseAdtsHeader(Uint8Array.of(0xff, 0xf1))).toBeUndefined();
    expect(parseAdtsHeader(concat([Uint8Array.of(0xff, 0xf1), new Uint8Array(5)]))).toBeUndefined();
  });

  it("refuses packets that its length cannot tell", () => {
    expect(() => adtsHeader(parseAacConfig(Uint8Array.of(0x11, 0x90)), 8185)).toThrow(
      expect.objectContaining({ code: "input.unsupported" }),
    );
  });
});
