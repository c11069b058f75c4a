import { createHmac } from "node:crypto";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isSluiceError } from "../../../base/errors.ts";
import { type HandshakeCrypto, ServerHandshake } from "./handshake.ts";

const crypto: HandshakeCrypto = {
  hmacSha256: (key, data) => createHmac("sha256", key).update(data).digest(),
  randomBytes: (length) => new Uint8Array(length).map((_, index) => (index * 7 + 3) & 0xff),
};

const playerName = new TextEncoder().encode("Genuine Adobe Flash Player 001");
const serverName = new TextEncoder().encode("Genuine Adobe Flash Media Server 001");

function offsetOf(bytes: Uint8Array, scheme: 0 | 1): number {
  const block = scheme === 0 ? 772 : 8;
  return block + 4 + (bytes.subarray(block, block + 4).reduce((sum, byte) => sum + byte, 0) % 728);
}

function digestOf(part: Uint8Array, at: number, name: Uint8Array): Uint8Array {
  return crypto.hmacSha256(name, Buffer.concat([part.subarray(0, at), part.subarray(at + 32)]));
}

/** C0 and C1 as Flash Player makes them. */
function digestHello(scheme: 0 | 1, random: Uint8Array): Uint8Array {
  const c1 = new Uint8Array(1536);
  c1.set(random);
  c1.set([0, 0, 0, 9, 9, 0, 124, 2]);
  const at = offsetOf(c1, scheme);
  c1.set(digestOf(c1, at, playerName), at);
  return Uint8Array.of(3, ...c1);
}

/** Feeds in pieces that end at the given positions. */
function feed(handshake: ServerHandshake, bytes: Uint8Array, cuts: readonly number[]): { reply: Uint8Array; rest: Uint8Array | undefined } {
  const ends = [...new Set([...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])].sort((a, b) => a - b);
  const replies: Uint8Array[] = [];
  const rests: Uint8Array[] = [];
  let over = false;
  let from = 0;
  for (const end of ends) {
    const piece = bytes.subarray(from, end);
    from = end;
    if (over) {
      rests.push(piece);
      continue;
    }
    const step = handshake.feed(piece);
    if (step.reply) replies.push(step.reply);
    if (step.rest) rests.push(step.rest);
    over = step.rest !== undefined;
  }
  return { reply: Buffer.concat(replies), rest: over ? Buffer.concat(rests) : undefined };
}

describe("server handshake", () => {
  it("answers the simple form with the client's own bytes, and hands on what follows, in pieces of any size", () => {
    fc.assert(
      fc.property(fc.array(fc.nat()), fc.uint8Array({ minLength: 1528, maxLength: 1528 }), (cuts, random) => {
        const handshake = new ServerHandshake(crypto);
        const c1 = Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 0, ...random);
        const input = Uint8Array.of(3, ...c1, ...c1, 1, 2, 3);
        const { reply, rest } = feed(handshake, input, cuts);
        expect(handshake.form).toBe("simple");
        expect(reply.length).toBe(3073);
        expect(reply[0]).toBe(3);
        expect(Buffer.compare(reply.subarray(1537), c1)).toBe(0);
        expect([...(rest ?? [])]).toEqual([1, 2, 3]);
      }),
      { numRuns: 30 },
    );
  });

  it("takes one byte at a time", () => {
    const handshake = new ServerHandshake(crypto);
    const input = Uint8Array.of(3, ...new Uint8Array(3072), 77);
    const { reply, rest } = feed(handshake, input, Array.from(input.keys()));
    expect(reply.length).toBe(3073);
    expect([...(rest ?? [])]).toEqual([77]);
  });

  it.each([0, 1] as const)("answers digest scheme %i with digests that a client accepts", (scheme) => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1536, maxLength: 1536 }), (random) => {
        const hello = digestHello(scheme, random);
        const handshake = new ServerHandshake(crypto);
        const { reply } = handshake.feed(hello);
        expect(handshake.form).toBe(`digest${scheme}`);
        if (!reply) throw new Error("no reply");
        const s1 = reply.subarray(1, 1537);
        const at = offsetOf(s1, scheme);
        expect(Buffer.compare(s1.subarray(at, at + 32), digestOf(s1, at, serverName))).toBe(0);
        const c1 = hello.subarray(1);
        const c1At = offsetOf(c1, scheme);
        const fullKey = Buffer.concat([serverName, Buffer.from("f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae", "hex")]);
        const key = crypto.hmacSha256(fullKey, c1.subarray(c1At, c1At + 32));
        const s2 = reply.subarray(1537);
        expect(Buffer.compare(s2.subarray(1504), crypto.hmacSha256(key, s2.subarray(0, 1504)))).toBe(0);
      }),
      { numRuns: 30 },
    );
  });

  it("falls back to the simple form when the digest is wrong", () => {
    const hello = digestHello(0, new Uint8Array(1536));
    hello[400] = (hello[400] ?? 0) ^ 1;
    const handshake = new ServerHandshake(crypto);
    handshake.feed(hello);
    expect(handshake.form).toBe("simple");
  });

  it("refuses RTMPE and what is not RTMP with the first byte", () => {
    expect(() => new ServerHandshake(crypto).feed(Uint8Array.of(6))).toThrow(/RTMPE/);
    expect(() => new ServerHandshake(crypto).feed(new TextEncoder().encode("GET / HTTP/1.1"))).toThrow(/not RTMP/);
  });

  it("takes or refuses any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 4000, size: "max" }), fc.boolean(), (bytes, honest) => {
        if (honest && bytes.length > 0) bytes[0] = 3;
        try {
          new ServerHandshake(crypto).feed(bytes);
        } catch (error) {
          if (!isSluiceError(error)) throw error;
        }
      }),
    );
  });
});
