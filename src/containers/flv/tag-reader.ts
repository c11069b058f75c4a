import { SluiceError } from "../../base/errors.ts";
import { type FlvTag, type TagType, tagHeaderLength, tagTrailerLength, tagType } from "./tag.ts";

/** Script data in AMF 3 is an RTMP message type that some recorders copied into files; it is passed over. */
const amf3Script = 15;
const maxFileHeader = 1024;

/**
 * Cuts an FLV byte stream into tags, whatever the chunking. Holds at most one tag (16 MB by the format), and memory for it
 * only as its bytes come.
 *
 *     [ F L V 1 flags offset ] [ 0 ] [ type size time stream | body ] [ size ] [ type ...
 */
export class FlvTagReader {
  #held = new Uint8Array(0);
  #length = 0;
  #headerRead = false;

  /**
   * All tags that are complete now. A body is a view of `bytes` or of the reader's memory: copy what you keep before you call
   * again. Throws `SluiceError` "input.invalid" or "input.unsupported"; the reader is of no use afterwards.
   */
  read(bytes: Uint8Array): FlvTag[] {
    const tags: FlvTag[] = [];
    let at = 0;
    if (this.#length > 0) at = this.#finishHeld(bytes, tags);
    for (;;) {
      const need = this.#need(bytes, at, bytes.length);
      if (need > bytes.length - at) break;
      this.#take(bytes, at, need, tags);
      at += need;
    }
    this.#hold(bytes.subarray(at));
    return tags;
  }

  /** Completes the unit of which the first bytes are held; gives how many of `bytes` that took. */
  #finishHeld(bytes: Uint8Array, tags: FlvTag[]): number {
    let used = 0;
    for (;;) {
      const need = this.#need(this.#held, 0, this.#length);
      const missing = need - this.#length;
      if (missing <= 0) {
        const whole = this.#held;
        this.#held = new Uint8Array(0);
        this.#length = 0;
        this.#take(whole, 0, need, tags);
        return used;
      }
      if (used === bytes.length) return used;
      const part = bytes.subarray(used, used + missing);
      this.#hold(part);
      used += part.length;
    }
  }

  /** How many bytes from `at` the next unit has, as far as the bytes up to `end` tell: at first only its head. */
  #need(bytes: Uint8Array, at: number, end: number): number {
    const have = end - at;
    if (!this.#headerRead) {
      if (have < 9) return 9;
      const offset = u32(bytes, at + 5);
      if (bytes[at] !== 0x46 || bytes[at + 1] !== 0x4c || bytes[at + 2] !== 0x56)
        throw new SluiceError("input.invalid", "FLV: the stream does not start with the mark FLV");
      if (offset < 9 || offset > maxFileHeader)
        throw new SluiceError("input.invalid", `FLV: file header of ${offset} bytes; 9 to ${maxFileHeader} were expected`);
      return offset + tagTrailerLength;
    }
    if (have < tagHeaderLength) return tagHeaderLength;
    return tagHeaderLength + ((bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) + tagTrailerLength;
  }

  #take(bytes: Uint8Array, at: number, size: number, tags: FlvTag[]): void {
    if (!this.#headerRead) {
      this.#headerRead = true;
      return;
    }
    const type = bytes[at]!;
    if (type === amf3Script) return;
    if (type & 0x20) throw new SluiceError("input.unsupported", "FLV: the tags are encrypted; plain tags were expected");
    if (!isTagType(type))
      throw new SluiceError("input.invalid", `FLV: tag of type ${type}; 8 (audio), 9 (video) or 18 (script) was expected`);
    const timestampMs = (bytes[at + 7]! << 24) | (bytes[at + 4]! << 16) | (bytes[at + 5]! << 8) | bytes[at + 6]!;
    tags.push({ type, timestampMs, body: bytes.subarray(at + tagHeaderLength, at + size - tagTrailerLength) });
  }

  #hold(bytes: Uint8Array): void {
    const length = this.#length + bytes.length;
    if (length > this.#held.length) {
      const larger = new Uint8Array(Math.max(length, Math.min(this.#held.length * 2, 2 ** 25), 64));
      larger.set(this.#held.subarray(0, this.#length));
      this.#held = larger;
    }
    this.#held.set(bytes, this.#length);
    this.#length = length;
  }
}

function isTagType(type: number): type is TagType {
  return type === tagType.audio || type === tagType.video || type === tagType.script;
}

function u32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}
