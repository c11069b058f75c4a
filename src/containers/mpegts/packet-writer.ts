/** Bytes of a transport packet (ISO/IEC 13818-1 2.4.3.2). */
export const packetSize = 188;

/** What goes into the adaptation field of the first packet of a PES packet. */
export type PacketMarks = {
  /** Program clock reference in 90 kHz ticks, on the PID that carries the clock. */
  readonly pcr?: number | undefined;
  /** random_access_indicator: a decoder may start with this packet. */
  readonly randomAccess?: boolean;
};

/** Marks of a PES packet that has none. */
const noMarks: PacketMarks = {};

/**
 * Cuts PES packets and sections into transport packets and counts each PID's continuity counter.
 * The bytes go into one growing buffer that `take` hands over; nothing is allocated for a single transport packet.
 */
export class PacketWriter {
  #buffer: Uint8Array = new Uint8Array(0);
  #length = 0;
  readonly #counters = new Map<number, number>();

  /** Makes room for `bytes` at once, for a caller that knows about how much will come. */
  reserve(bytes: number): void {
    this.#grow(bytes);
  }

  /** What was written since the last call, in memory that belongs to the caller. */
  take(): Uint8Array {
    const out = this.#buffer.subarray(0, this.#length);
    this.#buffer = new Uint8Array(0);
    this.#length = 0;
    return out;
  }

  /** The next continuity counter of a PID. */
  counter(pid: number): number {
    return this.#counters.get(pid) ?? 0;
  }

  setCounter(pid: number, value: number): void {
    this.#counters.set(pid, value & 15);
  }

  /** Goes on with the counters of another writer. */
  continueFrom(other: PacketWriter): void {
    for (const [pid, value] of other.#counters) this.#counters.set(pid, value);
  }

  /** One PSI section, in packets of its own (ISO/IEC 13818-1 2.4.4). */
  section(pid: number, section: Uint8Array): void {
    const room = packetSize - 4;
    // pointer_field stands before the section.
    const count = Math.ceil((section.length + 1) / room);
    let at = this.#grow(count * packetSize);
    const buffer = this.#buffer;
    for (let from = -1; from < section.length; from += room, at += packetSize) {
      this.#header(at, pid, from < 0, false);
      const part = section.subarray(Math.max(0, from), from + room);
      const begin = from < 0 ? at + 5 : at + 4;
      if (from < 0) buffer[at + 4] = 0;
      buffer.set(part, begin);
      buffer.fill(0xff, begin + part.length, at + packetSize);
    }
    this.#length += count * packetSize;
  }

  /**
   * One PES packet of `size` bytes, which `fill` writes into the buffer at the offset it gets. With `align` the packet
   * is spread over so many transport packets that the PID's continuity counter is 0 again behind it.
   */
  pes(pid: number, size: number, marks: PacketMarks, fill: (buffer: Uint8Array, at: number) => void, align = false): void {
    const first = marks.pcr !== undefined ? 8 : marks.randomAccess ? 2 : 0;
    let count = Math.max(1, Math.ceil((size + first) / (packetSize - 4)));
    if (align) {
      const short = (16 - ((this.counter(pid) + count) & 15)) & 15;
      // Each transport packet has to carry at least one byte.
      if (count + short <= size) count += short;
    }
    const start = this.#grow(count * packetSize);
    const buffer = this.#buffer;
    // The payload is put at the end of its room and moved forward packet by packet: the headers never overtake it.
    let from = start + count * packetSize - size;
    fill(buffer, from);
    let left = size;
    for (let index = 0, at = start; index < count; index++, at += packetSize) {
      const field = index === 0 ? first : 0;
      const payload = Math.min(packetSize - 4 - field, left - (count - 1 - index));
      const adaptation = packetSize - 4 - payload;
      buffer.copyWithin(at + 4 + adaptation, from, from + payload);
      this.#header(at, pid, index === 0, adaptation > 0);
      if (adaptation > 0) this.#adaptation(at + 4, adaptation, index === 0 ? marks : noMarks);
      from += payload;
      left -= payload;
    }
    this.#length += count * packetSize;
  }

  #header(at: number, pid: number, start: boolean, adaptation: boolean): void {
    const counter = this.counter(pid);
    const buffer = this.#buffer;
    buffer[at] = 0x47;
    buffer[at + 1] = (start ? 0x40 : 0) | (pid >> 8);
    buffer[at + 2] = pid & 0xff;
    buffer[at + 3] = (adaptation ? 0x30 : 0x10) | counter;
    this.#counters.set(pid, (counter + 1) & 15);
  }

  /** An adaptation field of exactly `size` bytes, its length byte included (2.4.3.4); what is not used is stuffing. */
  #adaptation(at: number, size: number, marks: PacketMarks): void {
    const buffer = this.#buffer;
    buffer[at] = size - 1;
    if (size === 1) return;
    buffer[at + 1] = (marks.randomAccess ? 0x40 : 0) | (marks.pcr !== undefined ? 0x10 : 0);
    let next = at + 2;
    if (marks.pcr !== undefined) {
      const base = clock33(marks.pcr);
      const low = base % 2;
      const high = (base - low) / 2;
      buffer[next] = high >>> 24;
      buffer[next + 1] = high >>> 16;
      buffer[next + 2] = high >>> 8;
      buffer[next + 3] = high;
      buffer[next + 4] = (low << 7) | 0x7e;
      buffer[next + 5] = 0;
      next += 6;
    }
    buffer.fill(0xff, next, at + size);
  }

  /** Makes sure that `bytes` more fit and gives the offset at which they go. */
  #grow(bytes: number): number {
    const need = this.#length + bytes;
    if (need > this.#buffer.length) {
      const larger = new Uint8Array(this.#length === 0 ? bytes : Math.max(need, this.#buffer.length * 2));
      larger.set(this.#buffer.subarray(0, this.#length));
      this.#buffer = larger;
    }
    return this.#length;
  }
}

/** A clock value on the 33-bit circle of 90 kHz ticks. */
export function clock33(ticks: number): number {
  return ((ticks % 2 ** 33) + 2 ** 33) % 2 ** 33;
}
