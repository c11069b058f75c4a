import { SluiceError } from "../../base/errors.ts";
import { unwrapper } from "../../base/time.ts";
import { flvDemuxer } from "../../containers/flv/demuxer.ts";
import type { FileWindow } from "./file-window.ts";
import { IndexBuilder, type Layout } from "./layout.ts";

/** Length of a tag's header, and of the size that follows each tag (Adobe FLV 10.1, Annex E.4). */
const headerLength = 11;
const trailerLength = 4;
const video = 9;
const audio = 8;

/** FLV files: an index of tags. */
export const flvLayout: Layout = {
  input: "FLV",
  createDemuxer: flvDemuxer,
  async index(window, headLength, tracks) {
    const builder = new IndexBuilder(tracks);
    const unwrap = unwrapper(32);
    const head = await window.at(0, 9);
    let offset = head ? new DataView(head.buffer, head.byteOffset).getUint32(5) + trailerLength : window.size;
    let headEnd = window.size;
    while (offset + headerLength + 2 <= window.size) {
      const tag = window.peek(offset, headerLength + 2) ?? (await window.at(offset, headerLength + 2));
      if (!tag) break;
      if (offset >= headLength && headEnd === window.size) headEnd = offset;
      const type = tag[0]! & 0x1f;
      const length = (tag[1]! << 16) | (tag[2]! << 8) | tag[3]!;
      const time = unwrap(timestamp(tag)) * 1000;
      if (type === video && length >= 2 && isKeyframe(tag[headerLength]!, tag[headerLength + 1]!)) builder.keyframe(time, offset);
      else if (type === audio && length >= 2) builder.audio(time, offset);
      offset += headerLength + length + trailerLength;
    }
    return { entries: builder.entries, headEnd };
  },
  async lastTime(window) {
    const end = await window.at(window.size - trailerLength, trailerLength);
    if (!end) return undefined;
    const length = new DataView(end.buffer, end.byteOffset).getUint32(0);
    const tag = length < window.size ? await window.at(window.size - trailerLength - length, headerLength) : undefined;
    const type = (tag?.[0] ?? 0) & 0x1f;
    if (tag && (type === audio || type === video || type === 18)) return timestamp(tag) * 1000;
    return lastOfAll(window);
  },
};

/** The end was cut off: all tags have to be passed. */
async function lastOfAll(window: FileWindow): Promise<number> {
  const head = await window.at(0, 9);
  if (head?.[0] !== 0x46) throw new SluiceError("input.invalid", "FLV: the file does not begin with FLV");
  let offset = 9 + trailerLength;
  let last = 0;
  for (;;) {
    const tag = window.peek(offset, headerLength) ?? (await window.at(offset, headerLength));
    if (!tag) return last * 1000;
    last = timestamp(tag);
    offset += headerLength + ((tag[1]! << 16) | (tag[2]! << 8) | tag[3]!) + trailerLength;
  }
}

function timestamp(tag: Uint8Array): number {
  return ((tag[7]! << 24) | (tag[4]! << 16) | (tag[5]! << 8) | tag[6]!) >>> 0;
}

/** Frame type 1 with data in it; the enhanced form has packet types 0 and 2 for configuration and end. */
function isKeyframe(first: number, second: number): boolean {
  if (((first >> 4) & 7) !== 1) return false;
  if (first & 0x80) return (first & 15) !== 0 && (first & 15) !== 2 && (first & 15) !== 4;
  return second === 1;
}
