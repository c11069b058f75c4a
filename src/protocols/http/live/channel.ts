import type { Sink } from "../../../base/sink.ts";
import type { Clock } from "../../../base/time.ts";
import { deltaEvents, type Edition, listEvent } from "./edition.ts";

/** Changes that a reader who was busy can still be told one by one; after more it gets the whole list. */
const keptChanges = 16;
/** Readers that are written to at once, so that ten thousand of them stop nobody's picture. */
const sliceSize = 250;
/** Milliseconds between two signs of life, and how many a reader may miss. */
const aliveMs = 15_000;
const mostMissed = 2;

const alive = Buffer.from(": alive\n\n");

type Reader = {
  readonly sink: Sink;
  /** The number of the edition that it has. */
  at: number;
  /** The number of the last sign of life that it got, or the one in force when it came. */
  beat: number;
  draining: Disposable | undefined;
};

/**
 * All readers that follow the list with one filter. What they get is made once for all of them; each is a place in the
 * editions and no queue. A reader that takes nothing is skipped, and cut off after half a minute.
 */
export class Channel implements Disposable {
  readonly #clock: Clock;
  readonly #readers = new Set<Reader>();
  readonly #beating: Disposable;
  #edition: Edition;
  #number = 0;
  #beat = 0;
  /** The bytes that lead to each of the last editions. */
  readonly #changes: { readonly number: number; readonly bytes: Uint8Array }[] = [];
  #whole: Uint8Array | undefined;
  #round: { again: boolean } | undefined;

  constructor(edition: Edition, clock: Clock) {
    this.#edition = edition;
    this.#clock = clock;
    this.#beating = clock.every(aliveMs, () => this.#keepAlive());
  }

  get size(): number {
    return this.#readers.size;
  }

  /** Puts another edition out. */
  publish(edition: Edition): void {
    if (edition.mark === this.#edition.mark) return;
    this.#changes.push({ number: ++this.#number, bytes: deltaEvents(this.#edition, edition) });
    if (this.#changes.length > keptChanges) this.#changes.shift();
    this.#edition = edition;
    this.#whole = undefined;
    this.#serveAll();
  }

  /** Adds a reader; `known` is the mark of the edition that it has. `left` is called once when it has gone. */
  add(sink: Sink, known: string | undefined, left: () => void): void {
    if (sink.signal.aborted) return left();
    const reader: Reader = { sink, at: this.#number, beat: this.#beat, draining: undefined };
    this.#readers.add(reader);
    sink.signal.addEventListener(
      "abort",
      () => {
        reader.draining?.[Symbol.dispose]();
        this.#readers.delete(reader);
        left();
      },
      { once: true },
    );
    sink.write(known === this.#edition.mark ? alive : this.#wholeList());
  }

  [Symbol.dispose](): void {
    this.#beating[Symbol.dispose]();
    for (const { sink } of [...this.#readers]) sink.end();
  }

  #wholeList(): Uint8Array {
    this.#whole ??= listEvent(this.#edition);
    return this.#whole;
  }

  #keepAlive(): void {
    this.#beat++;
    for (const { sink, beat } of [...this.#readers]) if (this.#beat - beat > mostMissed) sink.end();
    this.#serveAll();
  }

  /** Goes round all readers, a part at a time; what comes up meanwhile makes another round. */
  #serveAll(): void {
    if (this.#round) {
      this.#round.again = true;
      return;
    }
    const round = { again: false };
    this.#round = round;
    const readers = [...this.#readers];
    const slice = (from: number): void => {
      for (const reader of readers.slice(from, from + sliceSize)) this.#serve(reader);
      if (from + sliceSize < readers.length) return void this.#clock.after(1, () => slice(from + sliceSize));
      this.#round = undefined;
      if (round.again) this.#serveAll();
    };
    slice(0);
  }

  #serve(reader: Reader): void {
    const { sink } = reader;
    if (sink.signal.aborted || reader.draining) return;
    if (sink.congested) {
      reader.draining = sink.onDrained(() => {
        reader.draining = undefined;
        this.#serve(reader);
      });
      return;
    }
    if (reader.at < this.#number) {
      const missed = this.#changes.filter(({ number }) => number > reader.at);
      if (missed.length < this.#number - reader.at) sink.write(this.#wholeList());
      else for (const { bytes } of missed) sink.write(bytes);
      reader.at = this.#number;
    } else if (reader.beat < this.#beat) sink.write(alive);
    reader.beat = this.#beat;
  }
}
