import { describe, expect, it } from "vitest";
import { aacTrack, makeAacConfig } from "./aac.ts";
import { opusDuration, opusTrack, makeOpusHead } from "./opus.ts";
import { makeSilence } from "./silence.ts";

describe("silence", () => {
  it("keeps the configuration of what it stands in for, so that a decoder goes on", () => {
    for (const [rate, channels] of [
      [44_100, 2],
      [48_000, 1],
      [22_050, 6],
    ] as const) {
      const like = aacTrack(7, makeAacConfig(2, rate, channels));
      const silence = makeSilence(2, like);
      expect(silence?.track).toEqual({ ...like, id: 2 });
      expect(silence?.duration).toBe(Math.round(1_024_000_000 / rate));
      expect(silence?.data.length).toBeGreaterThan(5);
    }
    const opus = opusTrack(3, makeOpusHead(2));
    const silence = makeSilence(3, opus);
    expect(silence?.track).toEqual(opus);
    expect(silence?.duration).toBe(opusDuration(silence?.data ?? new Uint8Array(0)));
  });

  it("is plain AAC-LC for HE-AAC, stereo for nothing, and not made of other codecs", () => {
    // HE-AAC, 24 kHz core, 48 kHz of sound.
    const he = aacTrack(2, Uint8Array.of(0x2b, 0x11, 0x88, 0x00));
    expect(makeSilence(2, he)?.track).toMatchObject({ codecString: "mp4a.40.2", sampleRate: he.sampleRate, channels: he.channels });
    expect(makeSilence(5, undefined)?.track).toMatchObject({ id: 5, codec: "aac", sampleRate: 48_000, channels: 2 });
    const { config: _config, ...rest } = aacTrack(2, makeAacConfig(2, 48_000, 2));
    expect(makeSilence(2, { ...rest, codec: "mp3", config: new Uint8Array(0) })).toBeUndefined();
    expect(makeSilence(2, aacTrack(2, makeAacConfig(2, 48_000, 7)))).toBeUndefined();
  });
});
