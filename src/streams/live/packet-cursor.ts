import type { Cursor } from "../../base/cursor.ts";
import type { Packet } from "../../media/packet.ts";
import type { PacketRing } from "./packet-ring.ts";
import { type Readers, Waiting } from "./readers.ts";
import type { StartAt } from "../stream.ts";

/** What a packet cursor needs of its stream. */
export type PacketSource = {
  readonly packetRing: PacketRing;
  readonly packetReaders: Readers;
  /** True when no packet will be appended any more. */
  readonly over: boolean;
  /** Runs soon, but not now. */
  readonly microtask: (run: () => void) => void;
};

/** A reader of the packets as they came in; begins at a keyframe. */
export class PacketCursor implements Cursor<Packet> {
  readonly #source: PacketSource;
  readonly #waiting = new Waiting();
  #at: number;
  #skips = 0;
  #closed = false;

  constructor(source: PacketSource, start: StartAt) {
    this.#source = source;
    this.#at = start === "oldest" ? source.packetRing.oldestGroup : source.packetRing.newestGroup;
  }

  get skips(): number {
    return this.#skips;
  }

  get ended(): boolean {
    return this.#closed || (this.#source.over && !this.#readable());
  }

  next(): Packet | undefined {
    if (this.#closed) return undefined;
    const ring = this.#source.packetRing;
    if (this.#at < ring.first) {
      const group = ring.newestGroup;
      if (this.#at >= 0) this.#skips++;
      this.#at = group;
      if (group < 0) return undefined;
    }
    const packet = ring.get(this.#at);
    if (packet) this.#at++;
    return packet;
  }

  onReadable(run: () => void): Disposable {
    if (this.#readable() || this.ended) {
      this.#waiting.run = run;
      this.#source.microtask(() => {
        const wake = this.#waiting.run;
        this.#waiting.run = undefined;
        wake?.();
      });
    } else {
      this.#source.packetReaders.wait(this.#waiting, run);
    }
    return this.#waiting;
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#waiting.run = undefined;
  }

  #readable(): boolean {
    const ring = this.#source.packetRing;
    return this.#at < ring.first ? ring.newestGroup >= 0 : this.#at < ring.end;
  }
}
