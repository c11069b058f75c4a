import { SluiceError } from "../../../base/errors.ts";

/**
 * The handshake of RTMP as a server (specification 1.0, section 5.2), and its variant with digests that Flash Player,
 * librtmp and others use:
 *
 *     client  C0 (1)  C1 (1536)                       C2 (1536)  chunks ...
 *     server                     S0 S1 S2 (3073)
 */
const part = 1536;
const digestLength = 32;
const version = 3;

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
/** Public constants of the protocol: the two names sign C1 and S1, with the 32 bytes behind them C2 and S2. */
const playerName = ascii("Genuine Adobe Flash Player 001");
const serverName = ascii("Genuine Adobe Flash Media Server 001");
const keyTail = [
  0xf0, 0xee, 0xc2, 0x4a, 0x80, 0x68, 0xbe, 0xe8, 0x2e, 0x00, 0xd0, 0xd1, 0x02, 0x9e, 0x7e, 0x57, 0x6e, 0xec, 0x5d, 0x2d, 0x29, 0x80, 0x6f,
  0xab, 0x93, 0xb8, 0xe6, 0x36, 0xcf, 0xeb, 0x31, 0xae,
];
const serverKey = Uint8Array.from([...serverName, ...keyTail]);

/** Cryptography, handed in because wire code has none. */
export type HandshakeCrypto = {
  /** HMAC with SHA-256: 32 bytes. */
  hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array;
  /** Random bytes; they protect nothing. */
  randomBytes(length: number): Uint8Array;
};

/** Which form the client spoke: digest scheme 0 has the digest block last, scheme 1 first. */
export type HandshakeForm = "simple" | "digest0" | "digest1";

/** What feeding gave: bytes to send, and, once the handshake is over, the bytes behind it (a view of the input). */
export type HandshakeStep = { readonly reply: Uint8Array | undefined; readonly rest: Uint8Array | undefined };

/** The server's side as a state machine: feed what comes, in pieces of any size. */
export class ServerHandshake {
  readonly #crypto: HandshakeCrypto;
  readonly #input = new Uint8Array(1 + part);
  #have = 0;
  #skip = 0;
  #form: HandshakeForm | undefined;

  constructor(crypto: HandshakeCrypto) {
    this.#crypto = crypto;
  }

  /** Known once C1 is whole. */
  get form(): HandshakeForm | undefined {
    return this.#form;
  }

  /** Throws `SluiceError` "input.unsupported" for the encrypted variants and "input.invalid" for what is not RTMP. */
  feed(bytes: Uint8Array): HandshakeStep {
    let at = 0;
    let reply: Uint8Array | undefined;
    if (this.#form === undefined) {
      if (this.#have === 0 && bytes.length > 0) checkVersion(bytes[0] ?? 0);
      at = Math.min(bytes.length, this.#input.length - this.#have);
      this.#input.set(bytes.subarray(0, at), this.#have);
      this.#have += at;
      if (this.#have < this.#input.length) return { reply: undefined, rest: undefined };
      reply = this.#answer(this.#input.subarray(1));
      this.#skip = part;
    }
    // C2 says nothing that a server needs, and several encoders fill it with anything.
    const skipped = Math.min(this.#skip, bytes.length - at);
    this.#skip -= skipped;
    return { reply, rest: this.#skip === 0 ? bytes.subarray(at + skipped) : undefined };
  }

  /** S0, S1 and S2 in one piece. */
  #answer(c1: Uint8Array): Uint8Array {
    const { randomBytes, hmacSha256 } = this.#crypto;
    const reply = new Uint8Array(1 + 2 * part);
    reply[0] = version;
    const s1 = reply.subarray(1, 1 + part);
    const s2 = reply.subarray(1 + part);
    s1.set(randomBytes(part - 8), 8);
    const scheme = findDigest(c1, hmacSha256);
    this.#form = scheme === undefined ? "simple" : scheme === 0 ? "digest0" : "digest1";
    if (scheme === undefined) {
      s2.set(c1);
      return reply;
    }
    s1.set([4, 5, 0, 1], 4); // any version but zero tells the client that digests follow
    const s1Digest = digestOffset(s1, scheme);
    s1.set(hmacSha256(serverName, without(s1, s1Digest)), s1Digest);
    const c1Digest = digestOffset(c1, scheme);
    s2.set(randomBytes(part - digestLength));
    const key = hmacSha256(serverKey, c1.subarray(c1Digest, c1Digest + digestLength));
    s2.set(hmacSha256(key, s2.subarray(0, part - digestLength)), part - digestLength);
    return reply;
  }
}

function checkVersion(c0: number): void {
  if (c0 === version) return;
  if (c0 === 6 || c0 === 8 || c0 === 9)
    throw new SluiceError(
      "input.unsupported",
      "RTMPE (encrypted handshake) is not supported: use rtmp://, or rtmps:// in front of a TLS proxy",
    );
  throw new SluiceError("input.invalid", `not RTMP: the first byte is 0x${c0.toString(16).padStart(2, "0")}, RTMP begins with 0x03`);
}

/** The scheme whose digest in C1 is right, or undefined: then the client speaks the simple form. */
function findDigest(c1: Uint8Array, hmac: HandshakeCrypto["hmacSha256"]): 0 | 1 | undefined {
  if (c1[4] === 0 && c1[5] === 0 && c1[6] === 0 && c1[7] === 0) return undefined;
  for (const scheme of [0, 1] as const) {
    const at = digestOffset(c1, scheme);
    const expected = hmac(playerName, without(c1, at));
    if (expected.every((byte, index) => byte === c1[at + index])) return scheme;
  }
  return undefined;
}

/**
 * Where the digest is. After time and version come two blocks of 764 bytes, one with a key and one with the digest;
 * the digest block begins with four bytes whose sum says where in its other 728 the digest begins.
 */
function digestOffset(c1: Uint8Array, scheme: 0 | 1): number {
  const block = scheme === 0 ? 772 : 8;
  const sum = (c1[block] ?? 0) + (c1[block + 1] ?? 0) + (c1[block + 2] ?? 0) + (c1[block + 3] ?? 0);
  return block + 4 + (sum % 728);
}

function without(bytes: Uint8Array, digestAt: number): Uint8Array {
  const out = new Uint8Array(part - digestLength);
  out.set(bytes.subarray(0, digestAt));
  out.set(bytes.subarray(digestAt + digestLength), digestAt);
  return out;
}
