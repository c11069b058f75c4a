import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { sessionId, sessionMode } from "./identity.ts";
import { defaultSessionSettings, type Identity } from "./session.ts";

const identity: Identity = {
  type: "viewer",
  stream: "live",
  address: "127.0.0.1",
  token: "ida",
  protocol: "FLV",
  url: "http://127.0.0.1:8080/live.flv?tkn=ida",
};

/** Recorded from a MistServer: stream, address, token, connector, session id. */
const recorded = [
  ["live", "127.0.0.1", "ida", "FLV", "b4f9e7eafa2703db46724a7fcef7f11c5469d239b7a020c6903037c56856dcf5"],
  ["live", "127.0.0.2", "ida", "FLV", "c7db28b5c978095028fe330bb822228387d2c42bace9a4a90b66b343c3d22e0b"],
  ["vod", "127.0.0.1", "ida", "FLV", "0425f3b1abc2ce689b0e49c0be4c839ac562cde884152b15b2f8013f33f20c09"],
  ["live", "203.0.113.5", "idk", "FLV", "593dc760d77a044307a86821d4bcc3def9713901f99deb72c1cf4622fe91a04d"],
  ["live", "127.0.0.1", "a\nb\nFAKE", "FLV", "b73b10fe34ed1e61717d7e464803340c8cdcb1f6886bb2f719a91f73eee1ef3a"],
  ["live", "127.0.0.1", "9409012", "HLS", "84856d4c7c993268a56031f635d6c821f37fb368312b29b2025bae19028a119f"],
] as const;

describe("session ids", () => {
  it.each(recorded)("of %s %s %j over %s are MistServer's", (stream, address, token, protocol, id) => {
    expect(sessionId({ ...identity, stream, address, token, protocol }, sessionMode("viewer", defaultSessionSettings))).toBe(id);
  });

  it("take part in all sixteen modes exactly as their bits say", () => {
    const other: Identity = { ...identity, stream: "vod", address: "::1", token: "idb", protocol: "HLS" };
    const bits = [
      [8, "stream"],
      [4, "address"],
      [2, "token"],
      [1, "protocol"],
    ] as const;
    for (let mode = 0; mode < 16; mode++) {
      for (const [bit, part] of bits) {
        const same = sessionId(identity, mode) === sessionId({ ...identity, [part]: other[part] }, mode);
        expect({ mode, part, same }).toEqual({ mode, part, same: (mode & bit) === 0 });
      }
    }
    expect(sessionId(identity, 0)).toBe(createHash("sha256").digest("hex"));
  });

  it("treat both forms of an IPv4 address alike", () => {
    expect(sessionId({ ...identity, address: "::ffff:127.0.0.1" }, 14)).toBe(sessionId(identity, 14));
  });

  it("begin with the letter of their type", () => {
    const first = (type: Identity["type"]): string | undefined =>
      sessionId({ ...identity, type }, sessionMode(type, defaultSessionSettings))[0];
    expect([first("input"), first("output"), first("unspecified")]).toEqual(["I", "O", "U"]);
    expect(sessionId(identity, 14)).toMatch(/^[0-9a-f]{64}$/);
  });
});
