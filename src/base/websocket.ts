/** WebSocket opcodes (RFC 6455 section 5.2) that carry data. */
export const webSocketOpcodes = { text: 1, binary: 2 } as const;

const fin = 0x80;

/** The 2, 4 or 10 bytes before a payload of `length` bytes in a whole, unmasked server frame (RFC 6455 section 5.2). */
export function webSocketFrameHeader(length: number, opcode: number = webSocketOpcodes.binary): Uint8Array {
  if (length < 126) return Uint8Array.of(fin | opcode, length);
  if (length < 0x1_0000) return Uint8Array.of(fin | opcode, 126, length >> 8, length & 0xff);
  const header = new Uint8Array(10);
  header[0] = fin | opcode;
  header[1] = 127;
  new DataView(header.buffer).setBigUint64(2, BigInt(length));
  return header;
}

/** A whole frame with a copy of `payload`: made once, it can be sent to any number of peers. */
export function webSocketFrame(payload: Uint8Array, opcode: number = webSocketOpcodes.binary): Uint8Array {
  const header = webSocketFrameHeader(payload.length, opcode);
  const frame = new Uint8Array(header.length + payload.length);
  frame.set(header);
  frame.set(payload, header.length);
  return frame;
}
