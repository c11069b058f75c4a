import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isSluiceError } from "../../../base/errors.ts";
import { ChunkReader } from "./chunk-reader.ts";
import { writeMessage } from "./chunk-writer.ts";
import { setChunkSize } from "./control.ts";
import type { RtmpMessage } from "./message.ts";

const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));
const shown = (messages: readonly RtmpMessage[]): unknown[] =>
  messages.map((message) => ({ ...message, payload: Buffer.from(message.payload).toString("hex") }));
const written = (message: RtmpMessage, chunkSize = 128): Buffer => Buffer.concat(writeMessage(message, [message.payload], chunkSize));

/** Feeds in pieces that end at the given positions. */
function readInPieces(bytes: Uint8Array, cuts: readonly number[]): RtmpMessage[] {
  const reader = new ChunkReader();
  const ends = [...new Set([...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])].sort((a, b) => a - b);
  let from = 0;
  return ends.flatMap((end) => {
    const piece = bytes.slice(from, end);
    from = end;
    const messages = reader.feed(piece);
    piece.fill(0xee); // the socket's buffer is used again
    return messages;
  });
}

const message = fc.record({
  chunkStreamId: fc.oneof(fc.integer({ min: 2, max: 12 }), fc.constantFrom(63, 64, 319, 320, 65_599)),
  type: fc.constantFrom(8, 9, 18, 20),
  timestamp: fc.oneof(fc.nat(0xffffffff), fc.constantFrom(0, 0xfffffe, 0xffffff, 0x1000000, 0xffffffff)),
  streamId: fc.nat(3),
  payload: fc.uint8Array({ maxLength: 700, size: "max" }),
});

describe("chunk reader", () => {
  it("gives back what was written, at any chunk size and in pieces of any size", () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 8 }), fc.integer({ min: 1, max: 900 }), fc.array(fc.nat()), (messages, size, cuts) => {
        const change = setChunkSize(size);
        const bytes = Buffer.concat([written(change), ...messages.map((one) => written(one, size))]);
        expect(shown(readInPieces(bytes, cuts))).toEqual(shown([change, ...messages]));
      }),
    );
  });

  it("takes one byte at a time", () => {
    const sent = { chunkStreamId: 6, type: 9, timestamp: 0x1234567, streamId: 1, payload: new Uint8Array(1000).fill(5) };
    const bytes = written(sent);
    expect(shown(readInPieces(bytes, Array.from(bytes.keys())))).toEqual(shown([sent]));
  });

  it("joins messages whose chunks are interleaved", () => {
    const video = { chunkStreamId: 6, type: 9, timestamp: 10, streamId: 1, payload: new Uint8Array(300).fill(1) };
    const audio = { chunkStreamId: 4, type: 8, timestamp: 11, streamId: 1, payload: new Uint8Array(40).fill(2) };
    const pieces = writeMessage(video, [video.payload], 128);
    const head = Buffer.concat(pieces.slice(0, 2));
    const tail = Buffer.concat(pieces.slice(2));
    expect(shown(readInPieces(Buffer.concat([head, written(audio), tail]), []))).toEqual(shown([audio, video]));
  });

  it("fills in shorter headers from the one before", () => {
    const bytes = bytesOf(
      [
        "04 0003e8 000002 08 01000000 aabb", // type 0: at 1000
        "44 000014 000001 09 cc", // type 1: +20, other length and type
        "84 000028 dd", // type 2: +40
        "c4 ee", // type 3: +40 again
      ].join(""),
    );
    expect(readInPieces(bytes, []).map(({ timestamp, type, payload, streamId }) => [timestamp, type, payload.length, streamId])).toEqual([
      [1000, 8, 2, 1],
      [1020, 9, 1, 1],
      [1060, 9, 1, 1],
      [1100, 9, 1, 1],
    ]);
  });

  it("repeats an absolute time as difference in a type 3 header, as FFmpeg sends it", () => {
    const bytes = bytesOf("04 000017 000001 08 01000000 aa c4 bb");
    expect(readInPieces(bytes, []).map(({ timestamp }) => timestamp)).toEqual([23, 46]);
  });

  it("wraps differences at 32 bits", () => {
    const bytes = bytesOf("04 ffffff 000001 08 01000000 fffffff0 aa 84 000020 bb");
    expect(readInPieces(bytes, []).map(({ timestamp }) => timestamp)).toEqual([0xfffffff0, 0x10]);
  });

  it.each([
    ["repeated", "01000005"],
    ["left out", ""],
  ])("reads an extended timestamp that is %s in the second chunk", (_, repeated) => {
    const bytes = bytesOf(`04 ffffff 000082 08 01000000 01000005 ${"11".repeat(128)} c4 ${repeated} 2233`);
    const expected = { chunkStreamId: 4, type: 8, timestamp: 0x1000005, streamId: 1, payload: bytesOf(`${"11".repeat(128)}2233`) };
    expect(shown(readInPieces(bytes, []))).toEqual(shown([expected]));
    expect(shown(readInPieces(bytes, Array.from(bytes.keys())))).toEqual(shown([expected]));
  });

  it("takes a left-out extended timestamp also when message bytes begin like it, and goes on with the next message", () => {
    const next = "05 000001 000001 08 01000000 44";
    const bytes = bytesOf(`04 ffffff 000082 08 01000000 01000005 ${"11".repeat(128)} c4 0100 ${next}`);
    for (const cuts of [[], Array.from(bytes.keys())]) {
      const messages = readInPieces(bytes, cuts);
      expect(messages.map(({ payload }) => Buffer.from(payload.subarray(-2)).toString("hex"))).toEqual(["0100", "44"]);
    }
  });

  it("takes the absolute time behind type 3 headers of an extended difference", () => {
    const bytes = bytesOf(
      `04 000010 000082 08 01000000 ${"00".repeat(128)} c4 0000 84 ffffff 01000000 ${"00".repeat(128)} c4 01000010 0000`,
    );
    expect(readInPieces(bytes, []).map(({ timestamp, payload }) => [timestamp, payload.length])).toEqual([
      [16, 130],
      [0x1000010, 130],
    ]);
  });

  it("drops an unfinished message on Abort, and begins anew on a whole header", () => {
    const half = `04 000001 000102 08 01000000 ${"11".repeat(128)}`;
    const abort = "02 000000 000004 02 00000000 00000004";
    const whole = "04 000002 000001 08 01000000 22";
    expect(readInPieces(bytesOf(half + abort + whole), []).map(({ type, timestamp }) => [type, timestamp])).toEqual([
      [2, 0],
      [8, 2],
    ]);
    expect(readInPieces(bytesOf(half + whole), []).map(({ timestamp }) => timestamp)).toEqual([2]);
  });

  it("follows a chunk size of one byte and of 16 MiB", () => {
    const sent = { chunkStreamId: 6, type: 9, timestamp: 3, streamId: 1, payload: new Uint8Array(3_000_000).fill(9) };
    for (const size of [1, 16 * 1024 * 1024]) {
      const small = size === 1 ? { ...sent, payload: sent.payload.subarray(0, 500) } : sent;
      const [, message] = readInPieces(Buffer.concat([written(setChunkSize(size)), written(small, size)]), [70_000]);
      expect(Buffer.compare(message?.payload ?? new Uint8Array(0), small.payload)).toBe(0);
    }
  });

  it("refuses what no honest client sends", () => {
    const refusal = (hex: string): string | undefined => {
      try {
        new ChunkReader().feed(bytesOf(hex));
      } catch (error) {
        return isSluiceError(error) ? error.code : String(error);
      }
      return undefined;
    };
    expect(refusal("c4")).toBe("input.invalid"); // refers to nothing
    expect(refusal("02 000000 000004 01 00000000 00000000")).toBe("input.invalid"); // chunk size 0
    expect(refusal("02 000000 000004 01 00000000 80000000")).toBe("input.invalid");
    expect(refusal("02 000000 000002 02 00000000 0000")).toBe("input.invalid");
    const begun = (id: number): string => `${id.toString(16).padStart(2, "0")} 000000 f00000 09 01000000 ${"00".repeat(128)}`;
    expect(refusal(begun(3))).toBeUndefined();
    expect(refusal(begun(3) + begun(4))).toBe("input.oversized"); // 30 MiB announced
    const ids = Array.from({ length: 65 }, (_, index) => `00 ${index.toString(16).padStart(2, "0")} 000000 000000 08 01000000`);
    expect(refusal(ids.join(""))).toBe("input.oversized");
  });

  it("reads or refuses any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600, size: "max" }), fc.array(fc.nat(), { maxLength: 5 }), (bytes, cuts) => {
        try {
          readInPieces(bytes, cuts);
        } catch (error) {
          if (!isSluiceError(error)) throw error;
        }
      }),
      { numRuns: 500 },
    );
  });
});
