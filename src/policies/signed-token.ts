import { createHash, createHmac, type KeyObject, timingSafeEqual } from "node:crypto";
import { SluiceError } from "../base/errors.ts";
import type { SigningKeys } from "./signed-url.ts";

/** What a signed token says by itself. */
export type SignedClaims = {
  /** Of its record: by it the token is listed and revoked. */
  readonly id: string;
  /** A name, a base with `+`, or a pattern. */
  readonly stream: string;
  /** Unix milliseconds, a whole second; absent: until it is revoked. */
  readonly expiresAt?: number;
  /** The record says more (uses, sessions, addresses, ...) and has to be read; without it no database is asked. */
  readonly limited: boolean;
};

/*
 * A token is at most 100 letters and digits, as it stands in the place of a stream's name: base32 of
 *
 *   version 1 | key 1 | flags 1 | expires 4, Unix seconds, big-endian, 0 for none | id length 1 | id | stream | HMAC-SHA256, its first 16
 *
 * `key` is the first byte of the SHA-256 of the key's name. The HMAC is over all that stands before it.
 */
const version = 1;
const macBytes = 16;
const headBytes = 8;
/** 62 bytes are 100 characters of base32. */
const mostBytes = 62;
const flagLimited = 1;
const letters = "abcdefghijklmnopqrstuvwxyz234567";

/** Signs. Throws "input.invalid" when the stream's name is too long for a token that has to fit where a name stands. */
export function signToken({ id, stream, expiresAt = 0, limited }: SignedClaims, key: string, secret: KeyObject): string {
  const seconds = Math.floor(expiresAt / 1000);
  const [name, label] = [Buffer.from(stream, "utf8"), Buffer.from(id, "utf8")];
  const room = mostBytes - macBytes - headBytes - label.length;
  if (name.length > room) {
    const words = `The stream ${stream} is too long for a signed token: at most ${room} bytes; make a token that is not signed`;
    throw new SluiceError("input.invalid", words);
  }
  if (seconds >= 2 ** 32) throw new SluiceError("input.invalid", "A signed token cannot hold longer than the year 2105");
  const head = Buffer.alloc(headBytes);
  head.set([version, keyByte(key), limited ? flagLimited : 0]);
  head.writeUInt32BE(seconds, 3);
  head.writeUInt8(label.length, 7);
  const said = Buffer.concat([head, label, name]);
  return base32(Buffer.concat([said, mac(said, secret)]));
}

/** Reads a token that one of the keys has signed; undefined for any other text. Its time is not looked at. */
export function readSigned(text: string, keys: SigningKeys): SignedClaims | undefined {
  const bytes = fromBase32(text.toLowerCase());
  if (!bytes || bytes.length < headBytes + macBytes || bytes[0] !== version) return undefined;
  const said = bytes.subarray(0, -macBytes);
  const shown = bytes.subarray(-macBytes);
  const signed = [...keys].some(([name, secret]) => keyByte(name) === said[1] && timingSafeEqual(mac(said, secret), shown));
  const idEnd = headBytes + said.readUInt8(7);
  if (!signed || idEnd > said.length) return undefined;
  const seconds = said.readUInt32BE(3);
  return {
    id: said.toString("utf8", headBytes, idEnd),
    stream: said.toString("utf8", idEnd),
    limited: ((said[2] ?? 0) & flagLimited) !== 0,
    ...(seconds > 0 && { expiresAt: seconds * 1000 }),
  };
}

function keyByte(name: string): number {
  return createHash("sha256").update(name).digest().readUInt8(0);
}

function mac(said: Uint8Array, secret: KeyObject): Buffer {
  return createHmac("sha256", secret).update("view token\n").update(said).digest().subarray(0, macBytes);
}

/** RFC 4648, lower case, without padding: it survives what is done to names of streams. */
function base32(bytes: Uint8Array): string {
  let [text, bits, held] = ["", 0, 0];
  for (const byte of bytes) {
    held = (held << 8) | byte;
    bits += 8;
    for (; bits >= 5; bits -= 5) text += letters[(held >>> (bits - 5)) & 31];
    held &= (1 << bits) - 1;
  }
  return bits === 0 ? text : text + letters[(held << (5 - bits)) & 31];
}

function fromBase32(text: string): Buffer | undefined {
  if (text.length > 100 || !/^[a-z2-7]+$/.test(text)) return undefined;
  const bytes = Buffer.alloc(Math.floor((text.length * 5) / 8));
  let [at, bits, held] = [0, 0, 0];
  for (const letter of text) {
    held = (held << 5) | letters.indexOf(letter);
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes[at++] = (held >>> bits) & 255;
      held &= (1 << bits) - 1;
    }
  }
  // One token has one text: what is left over must be nothing.
  return bits < 5 && held === 0 ? bytes : undefined;
}
