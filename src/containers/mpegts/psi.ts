import { ByteWriter } from "../../base/bytes.ts";
import { crc32 } from "./crc32.ts";
import type { ElementaryStream } from "./elementary-codec.ts";

/** PID of the program association table (ISO/IEC 13818-1 table 2-3). */
export const patPid = 0x0000;
/** PID on which we put the program map table. */
export const pmtPid = 0x1000;

const patTableId = 0x00;
const pmtTableId = 0x02;
/** A program with more streams than this is no honest sender's. */
const maxStreams = 32;

/** A program association section that names one program (ISO/IEC 13818-1 2.4.4.3). */
export function patSection(pmt: number, version: number): Uint8Array {
  return section(
    patTableId,
    1,
    version,
    new ByteWriter(4)
      .u16(1)
      .u16(0xe000 | pmt)
      .take(),
  );
}

/** A program map section of program 1 (ISO/IEC 13818-1 2.4.4.8). */
export function pmtSection(streams: readonly ElementaryStream[], pcrPid: number, version: number): Uint8Array {
  const body = new ByteWriter(64).u16(0xe000 | pcrPid).u16(0xf000);
  for (const stream of streams) {
    body
      .u8(stream.streamType)
      .u16(0xe000 | stream.pid)
      .u16(0xf000 | stream.descriptors.length)
      .bytes(stream.descriptors);
  }
  return section(pmtTableId, 1, version, body.take());
}

/**
 * The PIDs of the program maps that a program association section names. Undefined when it is no such section or its
 * checksum is wrong.
 */
export function parsePat(bytes: Uint8Array): readonly number[] | undefined {
  const body = sectionBody(bytes, patTableId);
  if (!body) return undefined;
  const pids: number[] = [];
  for (let at = 0; at + 4 <= body.length && pids.length < maxStreams; at += 4) {
    const program = (body[at]! << 8) | body[at + 1]!;
    if (program !== 0) pids.push(((body[at + 2]! & 0x1f) << 8) | body[at + 3]!);
  }
  return pids;
}

/** The streams that a program map section lists; undefined when it is none or its checksum or a length is wrong. */
export function parsePmt(bytes: Uint8Array): readonly ElementaryStream[] | undefined {
  const body = sectionBody(bytes, pmtTableId);
  if (!body || body.length < 4) return undefined;
  const streams: ElementaryStream[] = [];
  let at = 4 + (((body[2]! & 0x0f) << 8) | body[3]!);
  while (at + 5 <= body.length && streams.length < maxStreams) {
    const length = ((body[at + 3]! & 0x0f) << 8) | body[at + 4]!;
    if (at + 5 + length > body.length) return undefined;
    const pid = ((body[at + 1]! & 0x1f) << 8) | body[at + 2]!;
    streams.push({ pid, streamType: body[at]!, descriptors: body.slice(at + 5, at + 5 + length) });
    at += 5 + length;
  }
  return streams;
}

/** The body of the first descriptor with this tag, or undefined. */
export function descriptor(descriptors: Uint8Array, tag: number): Uint8Array | undefined {
  for (let at = 0; at + 2 <= descriptors.length; at += 2 + descriptors[at + 1]!) {
    if (descriptors[at] === tag) return descriptors.subarray(at + 2, at + 2 + descriptors[at + 1]!);
  }
  return undefined;
}

function section(tableId: number, id: number, version: number, body: Uint8Array): Uint8Array {
  const out = new ByteWriter(body.length + 12)
    .u8(tableId)
    .u16(0xb000 | (body.length + 9))
    .u16(id)
    // current_next_indicator is set: the table is in force now.
    .u8(0xc1 | ((version & 0x1f) << 1))
    .u16(0)
    .bytes(body)
    .take();
  return new ByteWriter(out.length + 4).bytes(out).u32(crc32(out)).take();
}

/** What stands between a current section's header and its checksum. */
function sectionBody(bytes: Uint8Array, tableId: number): Uint8Array | undefined {
  if (bytes.length < 12 || bytes[0] !== tableId || (bytes[5]! & 1) === 0) return undefined;
  const end = 3 + (((bytes[1]! & 0x0f) << 8) | bytes[2]!);
  if (end > bytes.length || end < 12 || crc32(bytes, 0, end) !== 0) return undefined;
  return bytes.subarray(8, end - 4);
}
