import { clock33 } from "./packet-writer.ts";

/** stream_id values (ISO/IEC 13818-1 table 2-22). */
export const streamId = { video: 0xe0, audio: 0xc0, private: 0xbd } as const;

/** 90 kHz ticks of microseconds. */
export function ticksOf(micros: number): number {
  return Math.round((micros * 9) / 100);
}

/** Microseconds of 90 kHz ticks. */
export function microsOf(ticks: number): number {
  return Math.round((ticks * 100) / 9);
}

/** Bytes of the header that `writePesHeader` makes. */
export function pesHeaderSize(pts: number, dts: number): number {
  return pts === dts ? 14 : 19;
}

/**
 * Writes a PES header (ISO/IEC 13818-1 2.4.3.6) for `payload` bytes at `at`. PES_packet_length is 0, which only video
 * may have, when the length does not fit.
 */
export function writePesHeader(buffer: Uint8Array, at: number, id: number, pts: number, dts: number, payload: number): void {
  const stamps = pts === dts ? 5 : 10;
  const length = payload + 3 + stamps;
  buffer[at] = 0;
  buffer[at + 1] = 0;
  buffer[at + 2] = 1;
  buffer[at + 3] = id;
  buffer[at + 4] = length > 0xffff ? 0 : length >> 8;
  buffer[at + 5] = length > 0xffff ? 0 : length;
  // data_alignment_indicator: the payload begins with an access unit.
  buffer[at + 6] = 0x84;
  buffer[at + 7] = stamps === 5 ? 0x80 : 0xc0;
  buffer[at + 8] = stamps;
  writeStamp(buffer, at + 9, stamps === 5 ? 2 : 3, pts);
  if (stamps === 10) writeStamp(buffer, at + 14, 1, dts);
}

/** What a PES header says; times are raw 33-bit ticks. */
export type PesHeader = {
  readonly pts: number | undefined;
  readonly dts: number | undefined;
  /** Where the payload begins. */
  readonly payload: number;
};

/** Reads the header at the start of a PES packet of `length` bytes; undefined when it is none or too short. */
export function readPesHeader(bytes: Uint8Array, length: number): PesHeader | undefined {
  if (length < 9 || bytes[0] !== 0 || bytes[1] !== 0 || bytes[2] !== 1) return undefined;
  const payload = 9 + bytes[8]!;
  if ((bytes[6]! & 0xc0) !== 0x80 || payload > length) return undefined;
  const flags = bytes[7]! >> 6;
  const pts = flags >= 2 && payload >= 14 ? readStamp(bytes, 9) : undefined;
  const dts = flags === 3 && payload >= 19 ? readStamp(bytes, 14) : pts;
  return { pts, dts, payload };
}

function writeStamp(buffer: Uint8Array, at: number, mark: number, ticks: number): void {
  const value = clock33(ticks);
  const top = Math.floor(value / 2 ** 30);
  buffer[at] = (mark << 4) | (top << 1) | 1;
  buffer[at + 1] = value >>> 22;
  buffer[at + 2] = (value >>> 14) | 1;
  buffer[at + 3] = value >>> 7;
  buffer[at + 4] = (value << 1) | 1;
}

function readStamp(bytes: Uint8Array, at: number): number {
  const top = (bytes[at]! >> 1) & 7;
  const low = (bytes[at + 1]! << 22) | ((bytes[at + 2]! >> 1) << 15) | (bytes[at + 3]! << 7) | (bytes[at + 4]! >> 1);
  return top * 2 ** 30 + low;
}
