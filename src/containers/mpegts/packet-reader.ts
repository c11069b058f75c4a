import { concat } from "../../base/bytes.ts";
import { SluiceError } from "../../base/errors.ts";
import { packetSize } from "./packet-writer.ts";

const syncByte = 0x47;
/** Packets in a row that have to begin with the sync byte before a place is believed. */
const confirmations = 3;
/** Bytes without transport packets after which the input is something else. */
const maxNoise = 256 * 1024;

/**
 * Finds transport packets in bytes that come in pieces of any size, and finds them again after noise.
 * What it gives does not depend on how the bytes are cut.
 */
export class PacketReader {
  #rest: Uint8Array = new Uint8Array(0);
  #synced = false;
  #noise = 0;
  readonly #run: (bytes: Uint8Array, at: number) => void;

  /** `run` gets the buffer and the offset of each packet; both are valid only during the call. */
  constructor(run: (bytes: Uint8Array, at: number) => void) {
    this.#run = run;
  }

  /** Throws "input.invalid" after much input without packets. */
  feed(bytes: Uint8Array): void {
    let from = 0;
    if (this.#rest.length > 0) {
      // While in step, a packet that was cut in two is the only thing to copy.
      const wanted = this.#synced ? packetSize - this.#rest.length : bytes.length;
      const joined = concat([this.#rest, bytes.subarray(0, wanted)]);
      from = Math.min(wanted, bytes.length);
      this.#rest = new Uint8Array(0);
      this.#scan(joined, false);
      if (from === bytes.length) return;
    }
    if (this.#rest.length > 0) this.#scan(concat([this.#rest, bytes.subarray(from)]), false);
    else this.#scan(from === 0 ? bytes : bytes.subarray(from), false);
  }

  /** The end of the input: what is left is taken for what it looks like. */
  flush(): void {
    const rest = this.#rest;
    this.#rest = new Uint8Array(0);
    this.#scan(rest, true);
  }

  #scan(bytes: Uint8Array, last: boolean): void {
    let at = 0;
    while (at + packetSize <= bytes.length) {
      if (this.#synced && bytes[at] === syncByte) {
        this.#run(bytes, at);
        at += packetSize;
        continue;
      }
      this.#synced = false;
      const found = this.#find(bytes, at, last);
      this.#noise += found - at;
      if (this.#noise > maxNoise)
        throw new SluiceError("input.invalid", `MPEG-TS: ${maxNoise} bytes without transport packets (188 bytes that begin with 0x47)`);
      at = found;
      if (!this.#synced) break;
      this.#noise = 0;
    }
    this.#rest = last ? new Uint8Array(0) : bytes.slice(at);
  }

  /** The next place where packets begin, or the first one that more bytes could prove to be one. */
  #find(bytes: Uint8Array, from: number, last: boolean): number {
    for (let at = bytes.indexOf(syncByte, from); at >= 0; at = bytes.indexOf(syncByte, at + 1)) {
      let next = at + packetSize;
      let left = confirmations - 1;
      while (left > 0 && next < bytes.length && bytes[next] === syncByte) {
        next += packetSize;
        left--;
      }
      if (left > 0 && next < bytes.length) continue;
      this.#synced = left === 0 || last;
      return at;
    }
    return bytes.length;
  }
}
