import type { Micros } from "../../base/time.ts";
import type { Packet } from "../../media/packet.ts";

/** Tracks of honest files lie no further apart than this. */
const window: Micros = 1_000_000;
const maxBytes = 64 * 1024 * 1024;

/** Puts packets of several tracks into the order of their decode times, holding back about a second. */
export class Interleaver {
  #held: Packet[] = [];
  #bytes = 0;

  /** Takes packets in file order and gives those whose turn has come. */
  push(packet: Packet): Packet[] {
    let at = this.#held.length;
    while (at > 0 && this.#held[at - 1]!.dts > packet.dts) at--;
    this.#held.splice(at, 0, packet);
    this.#bytes += packet.data.length;
    const newest = this.#held.at(-1)!.dts;
    let ready = 0;
    while (ready < this.#held.length - 1 && (newest - this.#held[ready]!.dts >= window || this.#bytes > maxBytes))
      this.#bytes -= this.#held[ready++]!.data.length;
    return ready === 0 ? [] : this.#held.splice(0, ready);
  }

  /** Gives the rest. */
  flush(): Packet[] {
    const rest = this.#held;
    this.#held = [];
    this.#bytes = 0;
    return rest;
  }
}
