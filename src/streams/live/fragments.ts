import { SluiceError } from "../../base/errors.ts";
import { Ring } from "../../base/ring.ts";
import type { Micros } from "../../base/time.ts";
import type { Packet } from "../../media/packet.ts";
import type { Track } from "../../media/track.ts";
import type { PacketRing } from "./packet-ring.ts";
import type { Fragment } from "../stream.ts";

/** A fragment whose packets lie in the ring. */
class RingFragment implements Fragment {
  readonly sequence: number;
  readonly start: Micros;
  readonly duration: Micros;
  readonly discontinuity: boolean;
  readonly wallClock: number;
  readonly tracks: readonly Track[];
  readonly #ring: PacketRing;
  readonly from: number;
  readonly #to: number;

  constructor(ring: PacketRing, sequence: number, open: OpenFragment, end: Micros, to: number) {
    this.#ring = ring;
    this.sequence = sequence;
    this.start = open.start;
    this.duration = end - open.start;
    this.discontinuity = open.discontinuity;
    this.wallClock = open.wallClock;
    this.tracks = open.tracks;
    this.from = open.from;
    this.#to = to;
  }

  packets(): Promise<readonly Packet[]> {
    if (this.from < this.#ring.first)
      return Promise.reject(
        new SluiceError(
          "access.ended",
          `fragment ${this.sequence} is no longer kept; the oldest kept media is at ${this.#ring.oldestTime / 1e6} s`,
        ),
      );
    const packets: Packet[] = [];
    for (let at = this.from; at < this.#to; at++) {
      const packet = this.#ring.get(at);
      if (packet) packets.push(packet);
    }
    return Promise.resolve(packets.sort((a, b) => a.dts - b.dts));
  }
}

type OpenFragment = {
  readonly from: number;
  readonly start: Micros;
  discontinuity: boolean;
  readonly wallClock: number;
  tracks: readonly Track[];
};

/** Joins groups of pictures to fragments as packets come in. Only complete fragments are listed. */
export class Fragments {
  readonly #ring: PacketRing;
  readonly #complete = new Ring<RingFragment>(32);
  #open: OpenFragment | undefined;
  #interrupted = false;

  constructor(ring: PacketRing) {
    this.#ring = ring;
  }

  /** Complete fragments that are kept, oldest first. */
  list(): readonly Fragment[] {
    const list: Fragment[] = [];
    for (let at = this.#complete.first; at < this.#complete.end; at++) {
      const fragment = this.#complete.get(at);
      if (fragment) list.push(fragment);
    }
    return list;
  }

  /** How many complete fragments are kept. */
  get count(): number {
    return this.#complete.length;
  }

  /** First packet that the newest `count` complete fragments and the open one need. */
  neededFrom(count: number): number {
    const oldest = this.#complete.get(Math.max(this.#complete.first, this.#complete.end - count));
    return oldest?.from ?? this.#open?.from ?? this.#ring.end;
  }

  /** The next fragment begins at the next group whatever the length of the open one, and is marked as a discontinuity. */
  interrupt(): void {
    if (this.#open || this.#complete.end > 0) this.#interrupted = true;
  }

  /** A track was added in the middle of the very first fragment, as encoders that describe their tracks one by one make it. */
  extend(tracks: readonly Track[]): boolean {
    if (!this.#open || this.#complete.end > 0) return false;
    this.#open.tracks = tracks;
    return true;
  }

  /** A group begins at packet `sequence`. Gives true when that has completed a fragment. */
  group(sequence: number, start: Micros, leastMicros: Micros, wallClock: number, tracks: readonly Track[]): boolean {
    const open = this.#open;
    if (open && !this.#interrupted && start - open.start < leastMicros) return false;
    if (open) this.#finish(open, start, sequence);
    this.#open = { from: sequence, start, discontinuity: this.#interrupted, wallClock, tracks };
    this.#interrupted = false;
    return open !== undefined;
  }

  /** No more packets will continue the open fragment: it ends here. Gives true if there was one. */
  close(end: Micros): boolean {
    const open = this.#open;
    if (!open || end <= open.start) return false;
    this.#finish(open, end, this.#ring.end);
    this.#open = undefined;
    this.#interrupted = true;
    return true;
  }

  /** Forgets fragments whose packets have left the ring. */
  trim(): void {
    while ((this.#complete.get(this.#complete.first)?.from ?? this.#ring.first) < this.#ring.first) this.#complete.drop();
  }

  #finish(open: OpenFragment, end: Micros, to: number): void {
    this.#complete.push(new RingFragment(this.#ring, this.#complete.end, open, Math.max(end, open.start + 1), to));
  }
}
