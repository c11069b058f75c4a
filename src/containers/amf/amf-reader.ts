import { ByteReader } from "../../base/bytes.ts";
import { SluiceError } from "../../base/errors.ts";

/** Levels of arrays and objects inside each other: honest senders need four. */
const maxDepth = 32;
/** Values in one message, those that references repeat included: honest senders need a hundred. */
const maxValues = 20_000;

/**
 * A reader over the bytes of one AMF message that also counts values and depth, shared by AMF0 and AMF3 so that
 * switching between them cannot get around the limits.
 */
export class AmfReader extends ByteReader {
  #depth = 0;
  #values = 0;

  constructor(bytes: Uint8Array) {
    super(bytes, "AMF message");
  }

  /** How many values have been counted; differences give the size of a part. */
  get values(): number {
    return this.#values;
  }

  /** Counts values that are about to be made; throws "input.oversized" past the limit. */
  count(values = 1): void {
    this.#values += values;
    if (this.#values > maxValues) throw new SluiceError("input.oversized", `AMF message holds more than ${maxValues} values`);
  }

  /** Throws when an announced number of items, each of at least `least` bytes, cannot be in what is left. */
  expect(items: number, least: number): void {
    if (items * least > this.remaining)
      throw new SluiceError("input.invalid", `AMF array of ${items} items does not fit into ${this.remaining} bytes`);
  }

  /** Runs `read` one level deeper; throws "input.oversized" past the limit. */
  nested<T>(read: () => T): T {
    if (this.#depth >= maxDepth) throw new SluiceError("input.oversized", `AMF values are nested deeper than ${maxDepth} levels`);
    this.#depth += 1;
    const value = read();
    this.#depth -= 1;
    return value;
  }
}

/** What objects of AMF become: no prototype, so that a hostile key such as `__proto__` is only a key. */
export function emptyRecord(): Record<string, unknown> {
  return Object.create(null) as Record<string, unknown>;
}

/**
 * The reference table of a message. A reference to something that is still being read (a cycle) gives undefined,
 * and each use counts the whole size of what it repeats, so that few bytes cannot stand for a huge value.
 */
export class AmfReferences {
  readonly #reader: AmfReader;
  readonly #entries: { value: unknown; size: number; done: boolean }[] = [];

  constructor(reader: AmfReader) {
    this.#reader = reader;
  }

  /** Reads a complex value: enters it into the table before its parts, as the numbering of references demands. */
  define<T>(value: T, fill: (value: T) => void): T {
    const entry = { value: value as unknown, size: 0, done: false };
    this.#entries.push(entry);
    const before = this.#reader.values;
    this.#reader.nested(() => fill(value));
    entry.size = this.#reader.values - before + 1;
    entry.done = true;
    return value;
  }

  /** The value with this number; throws "input.invalid" if there is none. */
  resolve(index: number): unknown {
    const entry = this.#entries[index];
    if (!entry) throw new SluiceError("input.invalid", `AMF reference ${index} points at nothing (${this.#entries.length} known)`);
    if (!entry.done) return undefined;
    this.#reader.count(entry.size);
    return entry.value;
  }
}
