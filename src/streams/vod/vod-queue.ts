import type { Clock, Micros } from "../../base/time.ts";
import type { Packet } from "../../media/packet.ts";
import type { VodSource } from "../stream.ts";

/** A viewer gets this much at once, so that its player starts; the rest comes in real time. */
const burst: Micros = 1_500_000;
/** A viewer that was slow catches up with at most this much. */
const maxLag: Micros = 3_000_000;
/** Reading stops above this many packets or bytes, and goes on below half of them. */
const maxPackets = 256;
const maxBytes = 2 * 1024 * 1024;

export type QueueEvents = {
  /** The queue was empty and is not any more, or the file has ended. */
  readonly onArrival: () => void;
  /** The file could not be read on, and what was read before has been taken. */
  readonly onBroken: (error: unknown) => void;
};

/** One viewer's reading of a file: a short queue that is filled ahead of time, and the pace at which it may be emptied. */
export class VodQueue implements Disposable {
  readonly #clock: Clock;
  readonly #events: QueueEvents;
  #packets: Packet[] = [];
  #head = 0;
  #bytes = 0;
  #over = false;
  #broken: { readonly error: unknown } | undefined;
  #disposed = false;
  #resume: (() => void) | undefined;
  #origin: { time: Micros; atMs: number } | undefined;

  /** Starts reading at once. */
  constructor(source: VodSource, clock: Clock, events: QueueEvents) {
    this.#clock = clock;
    this.#events = events;
    void this.#read(source);
  }

  /** True when the file has ended and the queue is empty. */
  get ended(): boolean {
    return this.#disposed || (this.#over && this.#head === this.#packets.length);
  }

  /** The next packet if it is its time. */
  take(): Packet | undefined {
    const packet = this.#packets[this.#head];
    if (!packet || this.#dueIn(packet) > 0) return undefined;
    this.#head++;
    this.#bytes -= packet.data.length;
    if (this.#head > 64 && this.#head * 2 > this.#packets.length) {
      this.#packets = this.#packets.slice(this.#head);
      this.#head = 0;
    }
    if (this.#length < maxPackets / 2 && this.#bytes < maxBytes / 2) {
      this.#resume?.();
      this.#resume = undefined;
    }
    this.#tellBroken();
    return packet;
  }

  /** Milliseconds until `take` gives something; undefined when the file has to be read first, or has ended. */
  dueInMs(): number | undefined {
    const packet = this.#packets[this.#head];
    return packet && Math.max(0, Math.ceil(this.#dueIn(packet) / 1000));
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#packets = [];
    this.#head = 0;
    this.#resume?.();
  }

  #tellBroken(): void {
    const broken = this.#broken;
    if (!broken || this.#disposed || this.#length > 0) return;
    this.#broken = undefined;
    this.#events.onBroken(broken.error);
  }

  get #length(): number {
    return this.#packets.length - this.#head;
  }

  #dueIn(packet: Packet): Micros {
    const now = this.#clock.monotonic();
    this.#origin ??= { time: packet.dts, atMs: now };
    const due = packet.dts - this.#origin.time - burst - (now - this.#origin.atMs) * 1000;
    if (due < -maxLag) this.#origin = { time: packet.dts - burst + maxLag, atMs: now };
    return due;
  }

  async #read(source: VodSource): Promise<void> {
    try {
      for await (const packet of source.read(0)) {
        if (this.#disposed) return;
        this.#packets.push(packet);
        this.#bytes += packet.data.length;
        if (this.#length === 1) this.#events.onArrival();
        if (this.#length >= maxPackets || this.#bytes >= maxBytes)
          await new Promise<void>((resolve) => {
            this.#resume = resolve;
          });
        if (this.#disposed) return;
      }
      this.#over = true;
    } catch (error) {
      this.#over = true;
      this.#broken = { error };
      this.#tellBroken();
    }
    if (!this.#disposed) this.#events.onArrival();
  }
}
