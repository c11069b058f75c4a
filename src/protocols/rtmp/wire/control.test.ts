import { describe, expect, it } from "vitest";
import { splitAggregate } from "./aggregate.ts";
import { ReceivedBytes, readNumber, readUserControl, setPeerBandwidth, userControl, userEvent } from "./control.ts";
import { messageType } from "./message.ts";

describe("control messages", () => {
  it("have the bytes of the specification", () => {
    expect([...userControl(userEvent.pingRequest, 0x01020304).payload]).toEqual([0, 6, 1, 2, 3, 4]);
    expect([...setPeerBandwidth(2_500_000).payload]).toEqual([0, 0x26, 0x25, 0xa0, 2]);
    expect(readUserControl(userControl(userEvent.streamEof, 1))).toEqual({ event: 1, value: 1 });
  });

  it("refuse to be cut off", () => {
    const cut = { ...userControl(0, 0), payload: Uint8Array.of(0) };
    expect(() => readUserControl(cut)).toThrow(/User Control/);
    expect(() => readNumber(cut)).toThrow(/control message/);
  });

  it("acknowledge each window, and not every byte of a tiny one", () => {
    const received = new ReceivedBytes();
    expect(received.add(2_499_999)).toBeUndefined();
    const first = received.add(1);
    expect(first && readNumber(first)).toBe(2_500_000);
    expect(received.add(10)).toBeUndefined();
    received.setWindow(1);
    expect(received.add(4000)).toBeUndefined();
    const second = received.add(86);
    expect(second && readNumber(second)).toBe(2_504_096);
  });

  it("count on after 4 GiB", () => {
    const received = new ReceivedBytes();
    const due = received.add(2 ** 32 + 5);
    expect(due && readNumber(due)).toBe(5);
  });
});

describe("aggregate message", () => {
  const part = (type: number, time: number, payload: readonly number[]): number[] => [
    ...[type, 0, 0, payload.length, (time >> 16) & 0xff, (time >> 8) & 0xff, time & 0xff, time >>> 24, 0, 0, 0],
    ...payload,
    ...[0, 0, 0, payload.length + 11],
  ];
  const aggregate = (timestamp: number, bytes: readonly number[]) => ({
    chunkStreamId: 4,
    type: messageType.aggregate,
    timestamp,
    streamId: 1,
    payload: Uint8Array.from(bytes),
  });

  it("gives its parts, moved to its own time", () => {
    const parts = splitAggregate(aggregate(5000, [...part(8, 100, [1]), ...part(9, 140, [2, 3])]));
    expect(parts.map(({ type, timestamp, payload }) => [type, timestamp, [...payload]])).toEqual([
      [8, 5000, [1]],
      [9, 5040, [2, 3]],
    ]);
  });

  it("keeps times that wrap, and does without the last back pointer", () => {
    const parts = splitAggregate(
      aggregate(
        0xfffffff0,
        part(8, 0, [1])
          .concat(part(8, 0x20, [2]))
          .slice(0, -4),
      ),
    );
    expect(parts.map(({ timestamp }) => timestamp)).toEqual([0xfffffff0, 0x10]);
  });

  it("refuses parts that are cut off", () => {
    expect(() => splitAggregate(aggregate(0, part(8, 0, [1, 2, 3]).slice(0, 12)))).toThrow(/Aggregate/);
  });
});
