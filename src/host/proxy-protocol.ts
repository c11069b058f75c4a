import { formatAddress, parseAddress } from "../base/address.ts";
import { SluiceError } from "../base/errors.ts";
import type { TlsDetails } from "../base/tls-details.ts";

/** What a proxy says of the connection that it forwards. */
export type ProxyHeader = {
  /** Who connected to the proxy; undefined when the proxy speaks for itself or does not say (LOCAL, UNKNOWN, AF_UNSPEC, AF_UNIX). */
  readonly source: { readonly address: string; readonly port: number } | undefined;
  /** Set when the client spoke TLS with the proxy (`send-proxy-v2-ssl`). */
  readonly tls: TlsDetails | undefined;
};

/** How a connection begins: with a header or without, and the bytes that are the client's own. */
export type Beginning = { readonly header: ProxyHeader | undefined; readonly rest: Uint8Array };

const signatureV1 = Buffer.from("PROXY ", "latin1");
const signatureV2 = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
/** Section 2.1: the longest line of version 1, with its line end. */
const longestLine = 107;
/** Signature, version and command, family, length. */
const fixedPart = 16;
/** Addresses and TLVs of version 2; a proxy that passes on a client's certificate needs about a kilobyte. */
const longestBody = 4096;

/**
 * Reads the PROXY header, version 1 or 2, at the beginning of a connection (HAProxy, "The PROXY protocol", sections 2.1
 * and 2.2), fed in pieces of any size. No client of RTMP, HTTP or TLS begins with one of the two signatures, so a
 * connection without a header is known by its first bytes.
 */
export class BeginningReader {
  #bytes: Buffer = Buffer.alloc(0);

  /** Bytes that wait for more; 0 while nothing has come. */
  get pending(): number {
    return this.#bytes.length;
  }

  /** Undefined while more is needed. Throws "input.invalid" or "input.oversized" for a header that is wrong. */
  feed(bytes: Uint8Array): Beginning | undefined {
    const all = this.#bytes.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#bytes, bytes]);
    this.#bytes = all;
    if (beginsLike(all, signatureV2)) return all.length < fixedPart ? undefined : readV2(all);
    if (beginsLike(all, signatureV1)) return all.length < signatureV1.length ? undefined : readV1(all);
    return { header: undefined, rest: all };
  }
}

/** True as far as can be seen. */
function beginsLike(bytes: Buffer, signature: Buffer): boolean {
  const length = Math.min(bytes.length, signature.length);
  return bytes.subarray(0, length).equals(signature.subarray(0, length));
}

function readV1(bytes: Buffer): Beginning | undefined {
  const head = bytes.subarray(0, longestLine);
  const end = head.indexOf("\r\n", 0, "latin1");
  if (end < 0) {
    if (bytes.length < longestLine) return undefined;
    throw new SluiceError("input.oversized", `PROXY header: a line of version 1 has at most ${longestLine} bytes`);
  }
  const [family, source = "", destination = "", sourcePort = "", destinationPort = "", ...more] = head
    .toString("latin1", signatureV1.length, end)
    .split(" ");
  const rest = bytes.subarray(end + 2);
  // "UNKNOWN" may be followed by anything.
  if (family === "UNKNOWN") return { header: { source: undefined, tls: undefined }, rest };
  if (family !== "TCP4" && family !== "TCP6") throw wrong("the family must be TCP4, TCP6 or UNKNOWN");
  if (more.length > 0) throw wrong("there is more than two addresses and two ports");
  const address = addressOf(source, family);
  addressOf(destination, family);
  const port = portOf(sourcePort);
  portOf(destinationPort);
  return { header: { source: { address, port }, tls: undefined }, rest };
}

function addressOf(text: string, family: "TCP4" | "TCP6"): string {
  const address = /^[0-9a-fA-F:.]+$/.test(text) && text.includes(":") === (family === "TCP6") ? parseAddress(text) : undefined;
  if (!address) throw wrong(`an address of ${family} was expected`);
  return formatAddress(address);
}

function portOf(text: string): number {
  if (!/^(?:0|[1-9]\d{0,4})$/.test(text) || Number(text) > 65_535) throw wrong("a port from 0 to 65535 was expected");
  return Number(text);
}

/** Bytes of both addresses and ports, by address family (AF_UNSPEC, AF_INET, AF_INET6, AF_UNIX). */
const addressBytes: readonly number[] = [0, 12, 36, 216];

/**
 * ```
 * signature(12) | version 2 (4 bits), command (4) | family (4), transport (4) | length(2) | addresses | TLVs
 * ```
 */
function readV2(bytes: Buffer): Beginning | undefined {
  const [version, command] = nibbles(bytes[12]!);
  const [family] = nibbles(bytes[13]!);
  if (version !== 2) throw wrong(`the version is ${version}, must be 2`);
  if (command > 1) throw wrong(`the command is ${command}, must be 0 (LOCAL) or 1 (PROXY)`);
  const length = bytes.readUInt16BE(14);
  if (length > longestBody) throw new SluiceError("input.oversized", `PROXY header: ${length} bytes, at most ${longestBody} are read`);
  if (bytes.length < fixedPart + length) return undefined;
  const body = bytes.subarray(fixedPart, fixedPart + length);
  const rest = bytes.subarray(fixedPart + length);
  // LOCAL is the proxy's own connection, a health check mostly: what follows means nothing.
  if (command === 0) return { header: { source: undefined, tls: undefined }, rest };
  const needed = addressBytes[family];
  if (needed === undefined) throw wrong(`the address family is ${family}, must be 0 to 3`);
  if (length < needed) throw wrong(`${length} bytes, addresses of family ${family} have ${needed}`);
  const values = readTlvs(body.subarray(needed));
  return { header: { source: sourceOf(body, family), tls: tlsOf(values) }, rest };
}

function sourceOf(body: Buffer, family: number): ProxyHeader["source"] {
  if (family === 1) return { address: body.subarray(0, 4).join("."), port: body.readUInt16BE(8) };
  if (family === 2) return { address: formatAddress(body.subarray(0, 16)), port: body.readUInt16BE(32) };
  return undefined;
}

/** Section 2.2: types that are looked at. */
const tlv = { alpn: 0x01, authority: 0x02, ssl: 0x20, sslVersion: 0x21, sslCipher: 0x23 } as const;
/** In the first byte of the SSL TLV: the client connected over TLS. */
const clientTls = 0x01;
/** Before the TLVs inside of the SSL TLV: flags, and the result of verifying a client's certificate. */
const sslFixed = 5;

function readTlvs(bytes: Buffer): ReadonlyMap<number, Buffer> {
  const values = new Map<number, Buffer>();
  for (let at = 0; at < bytes.length; ) {
    const end = at + 3 + (at + 3 <= bytes.length ? bytes.readUInt16BE(at + 1) : 0);
    if (end > bytes.length) throw wrong("a TLV is longer than what is left");
    values.set(bytes[at]!, bytes.subarray(at + 3, end));
    at = end;
  }
  return values;
}

function tlsOf(values: ReadonlyMap<number, Buffer>): TlsDetails | undefined {
  const ssl = values.get(tlv.ssl);
  if (!ssl) return undefined;
  if (ssl.length < sslFixed) throw wrong(`the TLV about TLS has ${ssl.length} bytes, at least ${sslFixed} were expected`);
  if ((ssl[0]! & clientTls) === 0) return undefined;
  const inner = readTlvs(ssl.subarray(sslFixed));
  const servername = textOf(values.get(tlv.authority));
  const alpn = textOf(values.get(tlv.alpn));
  return {
    protocol: textOf(inner.get(tlv.sslVersion)),
    cipher: textOf(inner.get(tlv.sslCipher)),
    ...(servername !== "" && { servername }),
    ...(alpn !== "" && { alpn }),
  };
}

/** Readable characters only: this goes to handlers and logs. */
function textOf(bytes: Buffer | undefined): string {
  return (bytes?.toString("latin1") ?? "").replace(/[^\x20-\x7e]/g, "").slice(0, 255);
}

function nibbles(byte: number): [high: number, low: number] {
  return [byte >> 4, byte & 15];
}

function wrong(text: string): SluiceError {
  return new SluiceError("input.invalid", `PROXY header: ${text}`);
}
