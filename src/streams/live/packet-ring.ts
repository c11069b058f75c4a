import { Ring } from "../../base/ring.ts";
import type { Micros } from "../../base/time.ts";
import type { Packet } from "../../media/packet.ts";

/** How much media a stream keeps. Bytes are of packet data, times of media. */
export type PacketRingBounds = {
  /** Dropped from the front, whole groups at a time, beyond this. */
  readonly maxBytes: number;
  /** Kept at least if bytes allow. */
  readonly bufferMicros: Micros;
};

/** Where in the ring a decoder can start. */
type Group = { readonly sequence: number; readonly dts: Micros };

/** Packets that one stream may hold whatever their size: hostile senders can make them tiny. */
const maxPackets = 1 << 18;

/**
 * The packets of a live stream in arrival order, in groups that begin where a decoder can start.
 *
 *     groups:   |K . . . . . |K . . . . . . |K . .        K: keyframe of the leading video track,
 *     packets:   17                              end         or any packet of a stream without video
 *
 * The newest group always stays, unless it alone is more than twice `maxBytes`: then its front goes,
 * and who starts has to wait for the next keyframe. Sequence numbers are never used twice.
 */
export class PacketRing {
  readonly #packets = new Ring<Packet>(1024);
  readonly #groups = new Ring<Group>(32);
  #bounds: PacketRingBounds;
  #bytes = 0;
  #newest: Micros = 0;

  constructor(bounds: PacketRingBounds) {
    this.#bounds = bounds;
  }

  /** Sequence number of the oldest packet. */
  get first(): number {
    return this.#packets.first;
  }
  /** Sequence number of the next packet. */
  get end(): number {
    return this.#packets.end;
  }
  /** Bytes of packet data that are held. */
  get bytes(): number {
    return this.#bytes;
  }
  /** Greatest decode time ever appended; 0 before the first packet. */
  get newestTime(): Micros {
    return this.#newest;
  }
  /** Decode time of the oldest packet; 0 when there is none. */
  get oldestTime(): Micros {
    return this.#packets.get(this.#packets.first)?.dts ?? 0;
  }
  /** Sequence number of the newest group's start, or -1 when there is nothing to start with. */
  get newestGroup(): number {
    return this.#groups.get(this.#groups.end - 1)?.sequence ?? -1;
  }
  /** Sequence number of the oldest group's start, or -1. */
  get oldestGroup(): number {
    return this.#groups.get(this.#groups.first)?.sequence ?? -1;
  }

  get(sequence: number): Packet | undefined {
    return this.#packets.get(sequence);
  }

  /** True if a group begins with this packet. Walks back from the newest group: callers are near the end. */
  isGroup(sequence: number): boolean {
    for (let at = this.#groups.end - 1; at >= this.#groups.first; at--) {
      const start = this.#groups.get(at)?.sequence ?? -1;
      if (start <= sequence) return start === sequence;
    }
    return false;
  }

  /** True while more bytes are held than the bound. */
  get crowded(): boolean {
    return this.#bytes > this.#bounds.maxBytes || this.#packets.length > maxPackets;
  }

  /** Other bounds from the next packet on. */
  rebound(bounds: PacketRingBounds): void {
    this.#bounds = bounds;
  }

  /** Appends a packet and gives its sequence number. `startsGroup`: a decoder can start here. */
  push(packet: Packet, startsGroup: boolean): number {
    const sequence = this.#packets.push(packet);
    this.#bytes += packet.data.length;
    if (packet.dts > this.#newest) this.#newest = packet.dts;
    if (startsGroup) this.#groups.push({ sequence, dts: packet.dts });
    return sequence;
  }

  /** Drops what is beyond the bounds, but no packet from `keepFrom` on as long as bytes allow. */
  trim(keepFrom: number): void {
    for (;;) {
      const second = this.#groups.get(this.#groups.first + 1);
      if (!second) {
        if (this.#bytes > 2 * this.#bounds.maxBytes || this.#packets.length > maxPackets) this.#dropTo(this.#packets.first + 1);
        else return;
      } else if (this.crowded || (this.#newest - second.dts >= this.#bounds.bufferMicros && second.sequence <= keepFrom)) {
        this.#dropTo(second.sequence);
      } else {
        return;
      }
    }
  }

  #dropTo(sequence: number): void {
    while (this.#packets.first < sequence) this.#bytes -= this.#packets.drop()?.data.length ?? 0;
    while ((this.#groups.get(this.#groups.first)?.sequence ?? sequence) < sequence) this.#groups.drop();
  }
}

/** However long it is to be: a stream of 100 Mbit/s must not take the machine's memory. */
const mostBytes = 64 * 1024 * 1024;

/** The bounds of a stream that keeps `bufferMs` of media; a second at least. */
export function ringBounds(bufferMs: number): { readonly maxBytes: number; readonly bufferMicros: Micros } {
  return { maxBytes: mostBytes, bufferMicros: Math.max(bufferMs, 1_000) * 1000 };
}
