import { readFile } from "node:fs/promises";
import { array, assert, integer, property, record, uint8Array } from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { flvTags } from "../../../test/support/flv-bytes.ts";
import { sampleMedia } from "../../../test/support/media.ts";
import { concat } from "../../base/bytes.ts";
import { isSluiceError } from "../../base/errors.ts";
import { type DemuxerOutput, isTrackList } from "../../media/format.ts";
import type { Packet } from "../../media/packet.ts";
import type { Track } from "../../media/track.ts";
import { flvDemuxer } from "./demuxer.ts";
import { flvFormat } from "./muxer.ts";

let recording: Uint8Array;
let whole: DemuxerOutput[];

beforeAll(async () => {
  const path = await sampleMedia({ video: "h264", audio: "aac", container: "flv", seconds: 1, gop: 10, bframes: 2 });
  recording = new Uint8Array(await readFile(path));
  whole = demux([recording]);
}, 60_000);

function demux(pieces: readonly Uint8Array[]): DemuxerOutput[] {
  const demuxer = flvDemuxer();
  return [...pieces.flatMap((piece) => [...demuxer.feed(piece)]), ...demuxer.flush()];
}

function split(outputs: readonly DemuxerOutput[]): { tracks: readonly Track[]; packets: Packet[] } {
  return {
    tracks: outputs.findLast(isTrackList)?.tracks ?? [],
    packets: outputs.flatMap((output) => (isTrackList(output) ? [] : [output])),
  };
}

describe("flvDemuxer", () => {
  it("gives the tracks and packets of a recording", () => {
    const { tracks, packets } = split(whole);
    expect(tracks).toMatchObject([
      { id: 1, codec: "h264", width: 160, height: 90, frameRate: 25 },
      { id: 2, codec: "aac", sampleRate: 48_000, channels: 2 },
    ]);
    const video = packets.filter(({ trackId }) => trackId === 1);
    expect(video).toHaveLength(25);
    expect(video.flatMap(({ keyframe }, i) => (keyframe ? [i] : []))).toEqual([0, 10, 20]);
    expect(video.every(({ dts, pts }, i) => dts === i * 40_000 && pts >= dts)).toBe(true);
  });

  it("gives the same for any chunking of the same bytes", () => {
    const cuts = array(integer({ min: 0, max: recording.length }), { maxLength: 40 });
    assert(
      property(cuts, (points) => {
        const at = [0, ...points.toSorted((a, b) => a - b), recording.length];
        expect(demux(at.slice(1).map((end, i) => recording.subarray(at[i], end)))).toEqual(whole);
      }),
      { numRuns: 25 },
    );
    expect(demux(Array.from(recording, (byte) => Uint8Array.of(byte)))).toEqual(whole);
  });

  it("keeps nothing of the bytes that it was fed", () => {
    const lent = recording.slice();
    const outputs = demux([lent.subarray(0, 3000), lent.subarray(3000)]);
    lent.fill(0);
    expect(outputs).toEqual(whole);
  });

  it("leaves out the tag that is cut at the end", () => {
    expect(split(demux([recording.subarray(0, recording.length - 30)])).packets.length).toBeGreaterThan(60);
  });

  it("continues over the wrap of the 32-bit clock", () => {
    const audio = (time: number): number[] => [
      8,
      0,
      0,
      3,
      (time >> 16) & 255,
      (time >> 8) & 255,
      time & 255,
      time >>> 24,
      0,
      0,
      0,
      0xaf,
      1,
      0,
      0,
      0,
      0,
      14,
    ];
    const header = [0x46, 0x4c, 0x56, 1, 4, 0, 0, 0, 9, 0, 0, 0, 0];
    const config = [8, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0xaf, 0, 0x11, 0x90, 0, 0, 0, 15];
    const { packets } = split(demux([Uint8Array.of(...header, ...config, ...audio(-40), ...audio(-20), ...audio(0), ...audio(20))]));
    expect(packets.map(({ dts }) => dts)).toEqual([-40_000, -20_000, 0, 20_000]);
  });

  it("says what is wrong with bytes that are no FLV", () => {
    expect(() => demux([new Uint8Array(20)])).toThrow(/mark FLV/);
    expect(() => demux([recording.subarray(0, 13), new Uint8Array(40)])).toThrow(/tag of type 0; 8 \(audio\), 9 \(video\) or 18/);
  });

  it("does not reserve memory for what a header only promises", () => {
    const demuxer = flvDemuxer();
    expect([...demuxer.feed(concat([recording.subarray(0, 13), Uint8Array.of(9, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0)]))]).toEqual([]);
    expect([...demuxer.feed(new Uint8Array(1000))]).toEqual([]);
  });

  it("throws nothing but input errors, whatever is done to a recording", () => {
    const mutation = record({ at: integer({ min: 0, max: recording.length - 1 }), bytes: uint8Array({ minLength: 1, maxLength: 6 }) });
    assert(
      property(array(mutation, { minLength: 1, maxLength: 6 }), integer({ min: 1, max: 5000 }), (mutations, size) => {
        const hurt = recording.slice();
        for (const { at, bytes } of mutations) hurt.set(bytes.subarray(0, hurt.length - at), at);
        const demuxer = flvDemuxer();
        let given = 0;
        try {
          for (let at = 0; at < hurt.length; at += size)
            for (const output of demuxer.feed(hurt.subarray(at, at + size))) if (!isTrackList(output)) given += output.data.length;
        } catch (error) {
          expect(isSluiceError(error) && error.code.startsWith("input.")).toBe(true);
        }
        expect(given).toBeLessThanOrEqual(2 * hurt.length);
      }),
      { numRuns: 300 },
    );
  });

  it("throws nothing but input errors for random tags", () => {
    const header = recording.subarray(0, 13);
    const tag = record({ type: integer({ min: 8, max: 9 }), body: uint8Array({ maxLength: 60 }) }).map(({ type, body }) =>
      Uint8Array.of(type, 0, 0, body.length, 0, 0, 0, 0, 0, 0, 0, ...body, 0, 0, 0, 0),
    );
    assert(
      property(array(tag), (tags) => {
        try {
          expect(demux([header, ...tags]).length).toBeLessThanOrEqual(60 * tags.length);
        } catch (error) {
          expect(isSluiceError(error) && error.code.startsWith("input.")).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("flvFormat", () => {
  it("makes what the demuxer reads back as the same tracks and packets", () => {
    const { tracks, packets } = split(whole);
    const muxer = flvFormat.createMuxer(tracks);
    const bytes = concat([muxer.header, ...packets.flatMap((packet) => muxer.add(packet)), ...muxer.end()]);
    expect(split(demux([bytes]))).toEqual({ tracks, packets });
  });

  it("hands packet data on without a copy", () => {
    const { tracks, packets } = split(whole);
    const muxer = flvFormat.createMuxer(tracks);
    expect(packets.every((packet) => muxer.add(packet).includes(packet.data))).toBe(true);
  });

  it("takes the first video and the first audio track, and leaves packets of others out", () => {
    const { tracks, packets } = split(whole);
    const [video, audio] = tracks;
    const muxer = flvFormat.createMuxer([video!, { ...video!, id: 3 } as Track, audio!]);
    expect(muxer.add({ ...packets[0]!, trackId: 3 })).toEqual([]);
    expect(split(demux([muxer.header])).tracks).toEqual(tracks);
    expect(flvFormat.createMuxer([audio!]).header[4]).toBe(4);
  });

  it("tells new tracks in-band, with the time of the last packet, and in the header from then on", () => {
    const { tracks, packets } = split(whole);
    const muxer = flvFormat.createMuxer(tracks);
    const before = muxer.header;
    const last = packets.at(-1)!;
    muxer.add(last);
    const changed = tracks.map((track) =>
      track.kind === "audio" ? { ...track, config: Uint8Array.of(0x12, 0x10), sampleRate: 44_100 } : track,
    );
    const inBand = concat([...muxer.retrack(changed)]);
    expect((inBand[4]! << 16) | (inBand[5]! << 8) | inBand[6]!).toBe(Math.round(last.dts / 1000));
    expect(split(demux([before, inBand])).tracks).toEqual(changed);
    expect(split(demux([muxer.header])).tracks).toEqual(changed);
  });

  it("ends the sequence before pictures of another configuration, between the last and the next one, with no keyframe", () => {
    const { tracks, packets } = split(whole);
    const muxer = flvFormat.createMuxer(tracks);
    const key = { ...packets.find(({ trackId, keyframe }) => trackId === 1 && keyframe)!, dts: 10_000_000, pts: 10_000_000 };
    const before = concat([muxer.header, ...muxer.add(key)]);
    const changed = tracks.map((track) => (track.kind === "video" ? { ...track, config: Uint8Array.of(...track.config, 0) } : track));
    const next = { ...key, dts: 10_016_000, pts: 10_016_000 };
    const after = concat([...muxer.retrack(changed, next.dts), ...muxer.add(next)]);
    const video = flvTags(concat([before, after])).filter(({ kind }) => kind.startsWith("video"));
    expect(video.map(({ kind, timestampMs }) => [kind, timestampMs])).toEqual([
      ["video config", 0],
      ["video key", 10_000],
      ["video", 10_014],
      ["video", 10_015],
      ["video config", 10_000],
      ["video key", 10_016],
    ]);
    // One NAL unit "end of sequence".
    expect([...(video[2]?.body.subarray(5) ?? [])]).toEqual([0, 0, 0, 1, 10]);
    // Nothing of the kind where the pictures stay as they are.
    const sound = changed.map((track) => (track.kind === "audio" ? { ...track, language: "deu" } : track));
    expect(flvTags(concat([muxer.header, ...muxer.retrack(sound, 11_000_000)])).some(({ kind }) => kind === "video")).toBe(false);
  });

  it("writes timestamps of more than 24 bits", () => {
    const { tracks, packets } = split(whole);
    const muxer = flvFormat.createMuxer(tracks);
    const late = { ...packets[0]!, dts: 0x1234_5678_000, pts: 0x1234_5678_000 };
    const expected = Math.round(late.dts / 1000) % 2 ** 32;
    const head = muxer.add(late)[0]!;
    expect(((head[7]! << 24) | (head[4]! << 16) | (head[5]! << 8) | head[6]!) >>> 0).toBe(expected);
  });
});
