import { parseAddress } from "../../src/base/address.ts";

export type ProxyV2 = {
  readonly version?: number;
  /** 0 LOCAL, 1 PROXY. */
  readonly command?: number;
  /** Address family and transport; TCP over IPv4 or IPv6, as `source` is, if left out. */
  readonly family?: number;
  readonly source?: string;
  readonly port?: number;
  readonly tlvs?: readonly Buffer[];
  /** Addresses and TLVs as they are, instead of those above. */
  readonly body?: Buffer;
};

/** A PROXY header of version 2, right or wrong. */
export function proxyV2({ version = 2, command = 1, source = "192.0.2.1", port = 1, tlvs = [], ...more }: ProxyV2): Buffer {
  const address = parseAddress(source);
  if (!address) throw new Error(`${source} is no address`);
  const bytes = source.includes(":") ? address : address.subarray(12);
  const { family = source.includes(":") ? 0x21 : 0x11, body = Buffer.concat([bytes, bytes, twoBytes(port), twoBytes(80), ...tlvs]) } = more;
  const signature = Buffer.from("0d0a0d0a000d0a515549540a", "hex");
  return Buffer.concat([signature, Buffer.from([(version << 4) | command, family]), twoBytes(body.length), body]);
}

/** Type, length, value. */
export function tlv(type: number, value: string | Buffer): Buffer {
  const bytes = Buffer.from(value as string, "latin1");
  return Buffer.concat([Buffer.from([type]), twoBytes(bytes.length), bytes]);
}

function twoBytes(value: number): Buffer {
  return Buffer.from([value >> 8, value & 255]);
}
