import { readFile } from "node:fs/promises";
import * as fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { probeMedia, type SampleOptions, sampleMedia } from "../../../test/support/media.ts";
import { concat } from "../../base/bytes.ts";
import { isSluiceError } from "../../base/errors.ts";
import { type DemuxerOutput, isTrackList } from "../../media/format.ts";
import type { Packet } from "../../media/packet.ts";
import type { Track } from "../../media/track.ts";
import { mpegtsDemuxer } from "./demuxer.ts";

const samples: readonly SampleOptions[] = [
  { video: "h264", audio: "aac", bframes: 2, seconds: 3 },
  { video: "hevc", audio: "mp3", bframes: 2 },
  { video: "h264", audio: "opus" },
  { audio: "aac", sampleRate: 44_100, channels: 1 },
  { video: "h264", audio: "aac", extra: ["-mpegts_flags", "latm"] },
];

const readSample = async (options: SampleOptions): Promise<{ bytes: Uint8Array; path: string }> => {
  const path = await sampleMedia({ ...options, container: "mpegts" });
  return { bytes: await readFile(path), path };
};

function demux(...pieces: readonly Uint8Array[]): DemuxerOutput[] {
  const demuxer = mpegtsDemuxer();
  return [...pieces.flatMap((piece) => [...demuxer.feed(piece)]), ...demuxer.flush()];
}

const packetsOf = (outputs: readonly DemuxerOutput[]): Packet[] => outputs.flatMap((output) => (isTrackList(output) ? [] : [output]));
const listsOf = (outputs: readonly DemuxerOutput[]): (readonly Track[])[] =>
  outputs.flatMap((output) => (isTrackList(output) ? [output.tracks] : []));

/** `bytes` cut at random places. */
function cut(bytes: Uint8Array, at: readonly number[]): Uint8Array[] {
  const places = [0, ...at.map((place) => place % bytes.length).sort((a, b) => a - b), bytes.length];
  return places.slice(1).map((place, index) => bytes.slice(places[index], place));
}

describe("the demuxer", () => {
  it.each(samples)("reads what ffmpeg wrote: $video $audio", async (options) => {
    const { bytes, path } = await readSample(options);
    const outputs = demux(bytes);
    const probed = await probeMedia(path);
    expect(listsOf(outputs).length).toBe(1);
    expect(isTrackList(outputs[0]!)).toBe(true);
    const [tracks] = listsOf(outputs);
    expect(tracks!.map((track) => track.codec)).toEqual(probed.streams.map((stream) => stream.codec_name.replace("_latm", "")));
    for (const track of tracks!) {
      const seen = packetsOf(outputs).filter((packet) => packet.trackId === track.id);
      const wanted = probed.packets.filter((packet) => packet.codec_type === track.kind);
      expect(seen.length).toBe(wanted.length);
      seen.forEach((packet, index) => {
        const other = wanted[index]!;
        // ffprobe rounds the times of joined audio frames to 90 kHz.
        expect(Math.abs(packet.dts - Number(other.dts_time) * 1e6)).toBeLessThan(20);
        expect(Math.abs(packet.pts - Number(other.pts_time) * 1e6)).toBeLessThan(20);
        expect(packet.keyframe).toBe(other.flags.startsWith("K"));
      });
      const stream = probed.streams.find((one) => one.codec_type === track.kind)!;
      if (track.kind === "video") expect(track).toMatchObject({ width: stream.width, height: stream.height, frameRate: 25 });
      if (track.kind === "audio") expect(track).toMatchObject({ sampleRate: Number(stream.sample_rate), channels: stream.channels });
    }
  });

  it("reads the same AAC from LATM as from ADTS", async () => {
    const [latm, adts] = await Promise.all(
      [["-mpegts_flags", "latm"], []].map(async (extra) => packetsOf(demux((await readSample({ audio: "aac", extra })).bytes))),
    );
    expect(latm!.map((packet) => packet.data)).toEqual(adts!.map((packet) => packet.data));
  });

  it("gives the same whatever way the bytes are cut", async () => {
    const { bytes } = await readSample(samples[0]!);
    const whole = demux(bytes);
    expect(demux(...Array.from(bytes, (byte) => Uint8Array.of(byte)))).toEqual(whole);
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 40 }), (places) => {
        expect(demux(...cut(bytes, places))).toEqual(whole);
      }),
      { numRuns: 30 },
    );
  });

  it("copies: the caller may use its buffer again", async () => {
    const { bytes } = await readSample(samples[0]!);
    const demuxer = mpegtsDemuxer();
    const buffer = new Uint8Array(1000);
    const outputs: DemuxerOutput[] = [];
    for (let at = 0; at < bytes.length; at += buffer.length) {
      const part = bytes.subarray(at, at + buffer.length);
      buffer.set(part);
      outputs.push(...demuxer.feed(buffer.subarray(0, part.length)));
      buffer.fill(0x47);
    }
    expect([...outputs, ...demuxer.flush()]).toEqual(demux(bytes));
  });

  it("finds its way back after noise, and drops what a lost packet has damaged", async () => {
    const { bytes } = await readSample(samples[0]!);
    const clean = packetsOf(demux(bytes));
    const middle = 188 * 60;
    const noise = Uint8Array.from({ length: 1000 }, (_, index) => (index * 7) & 0xff);
    const joined = packetsOf(demux(concat([noise, bytes.subarray(0, middle), noise, bytes.subarray(middle)])));
    expect(joined).toEqual(clean);
    const lossy = packetsOf(demux(concat([bytes.subarray(0, middle), bytes.subarray(middle + 188)])));
    expect(lossy.length).toBeLessThan(clean.length);
    expect(lossy.length).toBeGreaterThan(clean.length - 20);
    const known = new Set(clean.map((packet) => Buffer.from(packet.data).toString("base64")));
    for (const packet of lossy) expect(known.has(Buffer.from(packet.data).toString("base64"))).toBe(true);
  });

  it("ignores a transport packet that comes twice", async () => {
    const { bytes } = await readSample(samples[0]!);
    const twice: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; at += 188) twice.push(bytes.subarray(at, at + 188), bytes.subarray(at, at + 188));
    expect(packetsOf(demux(...twice))).toEqual(packetsOf(demux(bytes)));
  });

  it("says that other input is no MPEG-TS", () => {
    const demuxer = mpegtsDemuxer();
    const feed = (): void => {
      for (let i = 0; i < 100; i++) demuxer.feed(new Uint8Array(10_000));
    };
    expect(feed).toThrow(/MPEG-TS: .* without transport packets/);
  });

  it("bounds a PES packet that never ends", async () => {
    const { bytes } = await readSample(samples[0]!);
    const demuxer = mpegtsDemuxer();
    demuxer.feed(bytes);
    const endless = new Uint8Array(188 * 1000);
    const start = new Uint8Array(188).fill(0xff);
    // The video PID that ffmpeg uses is 0x100.
    start.set([0x47, 0x41, 0x00, 0x30, 1, 0x80, 0, 0, 1, 0xe0, 0, 0, 0x80, 0x80, 5]);
    const feed = (): void => {
      demuxer.feed(start);
      for (let i = 0, counter = 1; i < 100; i++) {
        for (let at = 0; at < endless.length; at += 188) endless.set([0x47, 0x01, 0x00, 0x10 | (counter++ & 15)], at);
        demuxer.feed(endless);
      }
    };
    expect(feed).toThrow(/longer than 16777216 bytes/);
  });
});

describe("hostile bytes", () => {
  let recordings: readonly Uint8Array[];

  beforeAll(async () => {
    recordings = await Promise.all(samples.map(async (options) => (await readSample(options)).bytes.subarray(0, 188 * 300)));
  });

  /** Runs to its end, with nothing or with an error that names the input; whatever it gives is well formed. */
  function survives(...pieces: readonly Uint8Array[]): void {
    try {
      for (const packet of packetsOf(demux(...pieces))) {
        expect(Number.isSafeInteger(packet.dts) && Number.isSafeInteger(packet.pts)).toBe(true);
        expect(packet.data.length).toBeGreaterThan(0);
      }
    } catch (error) {
      if (!isSluiceError(error) || !error.code.startsWith("input.")) throw error;
    }
  }

  it("are survived: random", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 2000 }), { maxLength: 8 }), (pieces) => survives(...pieces)),
      { numRuns: 200 },
    );
  });

  it("are survived: random payloads in transport packets that belong to a program", () => {
    const packet = fc.record({
      pid: fc.constantFrom(0, 0x100, 0x101, 0x1000),
      flags: fc.constantFrom(0, 0x40),
      control: fc.nat(0xff),
      body: fc.uint8Array({ minLength: 184, maxLength: 184 }),
    });
    fc.assert(
      fc.property(fc.nat(samples.length - 1), fc.array(packet, { maxLength: 60 }), (which, packets) => {
        const bytes = packets.map(({ pid, flags, control, body }) =>
          concat([Uint8Array.of(0x47, flags | (pid >> 8), pid & 0xff, control), body]),
        );
        survives(recordings[which]!.subarray(0, 188 * 20), ...bytes);
      }),
      { numRuns: 100 },
    );
  });

  it("are survived: recordings with bytes changed, taken out and put in", () => {
    const change = fc.record({
      at: fc.nat(),
      kind: fc.constantFrom("set", "delete", "insert"),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 12 }),
    });
    fc.assert(
      fc.property(fc.nat(samples.length - 1), fc.array(change, { minLength: 1, maxLength: 30 }), (which, changes) => {
        let bytes: Uint8Array = recordings[which]!.slice();
        for (const { at, kind, bytes: more } of changes) {
          const place = at % bytes.length;
          if (kind === "set") bytes.set(more.subarray(0, bytes.length - place), place);
          else if (kind === "delete") bytes = concat([bytes.subarray(0, place), bytes.subarray(place + more.length)]);
          else bytes = concat([bytes.subarray(0, place), more, bytes.subarray(place)]);
        }
        survives(bytes);
      }),
      { numRuns: 100 },
    );
  });
});
