import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { webSocketFrame, webSocketFrameHeader, webSocketOpcodes } from "./websocket.ts";

describe("webSocketFrame", () => {
  it("writes the examples of RFC 6455 section 5.7", () => {
    expect([...webSocketFrame(new TextEncoder().encode("Hello"), webSocketOpcodes.text)]).toEqual([0x81, 5, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    expect([...webSocketFrameHeader(256)]).toEqual([0x82, 0x7e, 0x01, 0x00]);
    expect([...webSocketFrameHeader(65_536)]).toEqual([0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
  });

  it("uses the shortest length form and keeps the payload", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 70_000 }), (length) => {
        const frame = webSocketFrame(new Uint8Array(length).fill(7));
        const header = length < 126 ? 2 : length < 65_536 ? 4 : 10;
        const view = new DataView(frame.buffer);
        const written = header === 2 ? frame[1] : header === 4 ? view.getUint16(2) : Number(view.getBigUint64(2));
        return frame.length === header + length && written === length && frame.subarray(header).every((byte) => byte === 7);
      }),
      { numRuns: 50 },
    );
  });
});
