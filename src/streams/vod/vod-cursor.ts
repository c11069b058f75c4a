import type { Cursor } from "../../base/cursor.ts";
import { messageOf } from "../../base/errors.ts";
import type { Chunk, Format, Muxer } from "../../media/format.ts";
import type { Packet } from "../../media/packet.ts";
import type { Track } from "../../media/track.ts";
import type { HubContext } from "../live/hub-context.ts";
import type { VodSource } from "../stream.ts";
import { VodQueue } from "./vod-queue.ts";

/** Makes items of the packets whose time has come. */
export interface Producer<T> {
  next(queue: VodQueue): T | undefined;
  /** True when the queue has ended and everything was given. */
  finished(queue: VodQueue): boolean;
}

export type VodCursorOptions = {
  /** After an item the next ones are collected for this long. */
  readonly leastWaitMs: number;
  /** The file could not be read. */
  readonly onBroken: (error: unknown) => void;
  readonly onClose: () => void;
};

/** One viewer of a file: plays it from its start in real time. Reads no further ahead than its queue holds. */
export class VodCursor<T> implements Cursor<T> {
  /** A file is never skipped over: who is slow gets it later. */
  readonly skips = 0;
  readonly #queue: VodQueue;
  readonly #producer: Producer<T>;
  readonly #context: HubContext;
  readonly #leastWaitMs: number;
  readonly #onClose: () => void;
  #run: (() => void) | undefined;
  #timer: Disposable | undefined;
  #closed = false;
  readonly #subscription: Disposable = { [Symbol.dispose]: () => this.#forget() };

  constructor(source: VodSource, producer: Producer<T>, context: HubContext, { leastWaitMs, onBroken, onClose }: VodCursorOptions) {
    this.#producer = producer;
    this.#context = context;
    this.#leastWaitMs = leastWaitMs;
    this.#onClose = onClose;
    const onArrival = (): void => {
      if (this.#run) this.#arm(0);
    };
    this.#queue = new VodQueue(source, context.clock, { onArrival, onBroken });
  }

  get ended(): boolean {
    return this.#closed || this.#producer.finished(this.#queue);
  }

  next(): T | undefined {
    return this.#closed ? undefined : this.#producer.next(this.#queue);
  }

  onReadable(run: () => void): Disposable {
    this.#forget();
    this.#run = run;
    if (this.ended) this.#arm(0);
    else this.#arm(this.#leastWaitMs);
    return this.#subscription;
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#forget();
    this.#queue[Symbol.dispose]();
    this.#onClose();
  }

  /** Ends the cursor from outside: its reader is told. */
  end(): void {
    const run = this.#run;
    this[Symbol.dispose]();
    if (run) this.#call(run);
  }

  /** Sets the timer for the next packet's time, but not before `leastMs`. Without a packet the queue's arrival does it. */
  #arm(leastMs: number): void {
    const due = this.ended ? 0 : this.#queue.dueInMs();
    if (due === undefined) return;
    this.#timer?.[Symbol.dispose]();
    this.#timer = this.#context.clock.after(Math.max(due, leastMs), () => {
      this.#timer = undefined;
      const run = this.#run;
      this.#run = undefined;
      if (run) this.#call(run);
    });
  }

  #call(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#context.log.write("ERROR", `a viewer's output failed: ${messageOf(error)}`);
    }
  }

  #forget(): void {
    this.#run = undefined;
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }
}

/** Gives packets as they are. */
export class PacketProducer implements Producer<Packet> {
  next(queue: VodQueue): Packet | undefined {
    return queue.take();
  }
  finished(queue: VodQueue): boolean {
    return queue.ended;
  }
}

/** Gives the header, then one chunk of all packets whose time has come, then the format's end. */
export class ChunkProducer implements Producer<Chunk> {
  readonly #muxer: Muxer;
  #begun = false;
  #done = false;
  #told = false;
  readonly #onError: (error: unknown) => void;

  /** `onError` gets what the muxer throws first. */
  constructor(format: Format, tracks: readonly Track[], onError: (error: unknown) => void) {
    this.#onError = onError;
    this.#muxer = format.createMuxer(tracks);
  }

  next(queue: VodQueue): Chunk | undefined {
    if (!this.#begun) {
      this.#begun = true;
      return { bytes: this.#muxer.header, keyframe: false, dts: 0 };
    }
    const pieces: Uint8Array[] = [];
    let first: Packet | undefined;
    for (let packet = queue.take(); packet; packet = queue.take()) {
      first ??= packet;
      try {
        pieces.push(...this.#muxer.add(packet));
      } catch (error) {
        if (!this.#told) this.#onError(error); // a packet that the format cannot carry is left out
        this.#told = true;
      }
    }
    if (queue.ended && !this.#done) {
      this.#done = true;
      pieces.push(...this.#muxer.end());
    }
    if (pieces.length === 0) return undefined;
    return { bytes: joined(pieces), keyframe: first?.keyframe ?? false, dts: first?.dts ?? 0 };
  }

  finished(queue: VodQueue): boolean {
    return queue.ended && this.#done;
  }
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
