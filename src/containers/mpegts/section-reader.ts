/** Longest section that the header can say (12 bits of length). */
const maxSection = 4098;

/** Puts the sections of one PID together (ISO/IEC 13818-1 2.4.4). */
export class SectionReader {
  readonly #bytes = new Uint8Array(maxSection);
  #length = 0;
  #open = false;
  readonly #run: (section: Uint8Array) => void;

  /** `run` gets each whole section; it is valid only during the call. */
  constructor(run: (section: Uint8Array) => void) {
    this.#run = run;
  }

  /** The payload of one transport packet; `start` is its payload_unit_start_indicator. */
  feed(payload: Uint8Array, start: boolean): void {
    if (!start) return this.#append(payload);
    const pointer = 1 + (payload[0] ?? 0);
    this.#append(payload.subarray(1, pointer));
    let at = pointer;
    // Several sections may follow each other; 0xff is stuffing.
    while (at + 3 <= payload.length && payload[at] !== 0xff) {
      this.#open = true;
      this.#length = 0;
      const size = sizeAt(payload, at);
      this.#append(payload.subarray(at, at + size));
      at += size;
    }
  }

  #append(part: Uint8Array): void {
    if (!this.#open || part.length === 0) return;
    const taken = part.subarray(0, maxSection - this.#length);
    this.#bytes.set(taken, this.#length);
    this.#length += taken.length;
    const size = this.#length < 3 ? maxSection : sizeAt(this.#bytes, 0);
    if (this.#length < size) return;
    this.#open = false;
    this.#run(this.#bytes.subarray(0, size));
  }
}

function sizeAt(bytes: Uint8Array, at: number): number {
  return 3 + (((bytes[at + 1]! & 0x0f) << 8) | bytes[at + 2]!);
}
