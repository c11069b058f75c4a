/**
 * Items under rising sequence numbers in power-of-two slots: push at the end, drop at the front, look up anywhere between.
 *
 *     first          end
 *       v             v
 *     [ 17 18 19 20 21 .. ]     get(19) is a mask and a load
 *
 * It grows by doubling and never shrinks; who fills it bounds it by dropping.
 */
export class Ring<T> {
  #slots: (T | undefined)[];
  #mask: number;
  #first = 0;
  #end = 0;

  /** `capacity` is a first guess; it is rounded up to a power of two. */
  constructor(capacity = 64) {
    const size = powerOfTwo(capacity);
    this.#slots = Array.from<T | undefined>({ length: size });
    this.#mask = size - 1;
  }

  /** Sequence number of the oldest item; equal to `end` when the ring is empty. */
  get first(): number {
    return this.#first;
  }

  /** Sequence number that the next item will get. */
  get end(): number {
    return this.#end;
  }

  get length(): number {
    return this.#end - this.#first;
  }

  /** The item of a sequence number, or undefined when it has been dropped or has not come yet. */
  get(sequence: number): T | undefined {
    if (sequence < this.#first || sequence >= this.#end) return undefined;
    return this.#slots[sequence & this.#mask];
  }

  /** Appends an item and gives its sequence number. */
  push(item: T): number {
    if (this.#end - this.#first > this.#mask) this.#grow();
    this.#slots[this.#end & this.#mask] = item;
    return this.#end++;
  }

  /** Removes and gives the oldest item, or undefined when there is none. */
  drop(): T | undefined {
    if (this.#first === this.#end) return undefined;
    const slot = this.#first++ & this.#mask;
    const item = this.#slots[slot];
    this.#slots[slot] = undefined;
    return item;
  }

  #grow(): void {
    const size = (this.#mask + 1) * 2;
    const slots = Array.from<T | undefined>({ length: size });
    for (let sequence = this.#first; sequence < this.#end; sequence++) slots[sequence & (size - 1)] = this.#slots[sequence & this.#mask];
    this.#slots = slots;
    this.#mask = size - 1;
  }
}

function powerOfTwo(least: number): number {
  let size = 2;
  while (size < least) size *= 2;
  return size;
}
