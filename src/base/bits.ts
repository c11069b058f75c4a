import { SluiceError } from "./errors.ts";

/** Reads bits, most significant first, from bytes that others own. Reading over the end throws `SluiceError("input.invalid")`. */
export class BitReader {
  readonly #bytes: Uint8Array;
  readonly #what: string;
  #at = 0;

  /** `what` is the name of the structure in error messages, such as "H.264 SPS". */
  constructor(bytes: Uint8Array, what = "data") {
    this.#bytes = bytes;
    this.#what = what;
  }

  /** Bits read so far. */
  get position(): number {
    return this.#at;
  }

  /** Bits left. */
  get remaining(): number {
    return this.#bytes.length * 8 - this.#at;
  }

  /** An unsigned number of 0 to 32 bits. */
  u(count: number): number {
    this.#need(count);
    let value = 0;
    let left = count;
    while (left > 0) {
      const free = 8 - (this.#at & 7);
      const take = Math.min(free, left);
      const byte = this.#bytes[this.#at >> 3] ?? 0;
      value = value * 2 ** take + ((byte >> (free - take)) & ((1 << take) - 1));
      this.#at += take;
      left -= take;
    }
    return value;
  }

  flag(): boolean {
    return this.u(1) === 1;
  }

  skip(count: number): void {
    this.#need(count);
    this.#at += count;
  }

  /** Unsigned Exp-Golomb code, ue(v) of ISO/IEC 14496-10 clause 9.1; at most 32 leading zeros. */
  ue(): number {
    let zeros = 0;
    while (!this.flag()) {
      if (++zeros > 32)
        throw new SluiceError("input.invalid", `${this.#what}: Exp-Golomb code with more than 32 leading zeros at bit ${this.#at}`);
    }
    return 2 ** zeros - 1 + this.u(zeros);
  }

  /** Signed Exp-Golomb code, se(v) of ISO/IEC 14496-10 clause 9.1.1. */
  se(): number {
    const code = this.ue();
    return code % 2 === 1 ? (code + 1) / 2 : code === 0 ? 0 : -(code / 2);
  }

  #need(count: number): void {
    if (count < 0 || count > this.remaining)
      throw new SluiceError("input.invalid", `${this.#what}: needs ${count} bits at bit ${this.#at}, ${this.remaining} are left`);
  }
}

/** Writes bits, most significant first, into memory of its own. */
export class BitWriter {
  readonly #bytes: number[] = [];
  #free = 0;

  /** Appends the lowest `count` (0 to 32) bits of `value`. */
  u(count: number, value: number): this {
    for (let bit = count - 1; bit >= 0; bit--) {
      if (this.#free === 0) {
        this.#bytes.push(0);
        this.#free = 8;
      }
      this.#free--;
      if (Math.floor(value / 2 ** bit) % 2 === 1) this.#bytes[this.#bytes.length - 1]! |= 1 << this.#free;
    }
    return this;
  }

  /** What was written, the last byte filled with zeros. */
  take(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }
}
