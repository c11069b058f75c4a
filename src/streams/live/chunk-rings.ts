import type { Clock } from "../../base/time.ts";
import type { Format } from "../../media/format.ts";
import type { StartAt } from "../stream.ts";
import { ChunkRing, type MuxSource } from "./chunk-ring.ts";

/** A format that nobody watches is dropped after this. */
const unusedMs = 5_000;

/** The muxed forms of a stream, each made once however many watch it, and only while somebody does. */
export class ChunkRings {
  readonly #rings = new Map<string, { readonly ring: ChunkRing; unusedSince: number }>();
  readonly #source: MuxSource;
  readonly #clock: Clock;
  readonly #onError: (error: unknown) => void;

  constructor(source: MuxSource, clock: Clock, onError: (error: unknown) => void) {
    this.#source = source;
    this.#clock = clock;
    this.#onError = onError;
  }

  /** How many formats are in use or were a moment ago. */
  get size(): number {
    return this.#rings.size;
  }

  /** True while somebody reads. */
  get watched(): boolean {
    return [...this.#rings.values()].some(({ ring }) => ring.cursors > 0);
  }

  /** The ring of this format; a new one begins at the group that `start` means. */
  of(format: Format, start: StartAt): ChunkRing {
    let entry = this.#rings.get(format.name);
    if (!entry) {
      const { packetRing } = this.#source;
      const from = start === "oldest" ? packetRing.oldestGroup : packetRing.newestGroup;
      entry = { ring: new ChunkRing(format, this.#source, from, this.#onError), unusedSince: this.#clock.monotonic() };
      this.#rings.set(format.name, entry);
    }
    return entry.ring;
  }

  /** Forgets what nobody watches any more. */
  tick(): void {
    const now = this.#clock.monotonic();
    for (const [name, entry] of this.#rings) {
      if (entry.ring.cursors > 0) entry.unusedSince = now;
      else if (now - entry.unusedSince >= unusedMs) this.#rings.delete(name);
    }
  }

  /** Muxes what has come, and wakes who waits for it. Sockets are written to inside it. */
  flush(): void {
    for (const { ring } of this.#rings.values()) {
      if (ring.cursors === 0) continue;
      const end = ring.end;
      ring.flush();
      if (ring.end !== end) ring.readers.wake();
    }
  }

  /** Muxes the rest and the end of each format; `wake` follows when the stream says that it is over. */
  finish(): void {
    for (const { ring } of this.#rings.values()) ring.finish();
  }

  wake(): void {
    for (const { ring } of this.#rings.values()) ring.readers.wake();
  }
}
