import type { Cursor } from "../../base/cursor.ts";
import type { Packet } from "../../media/packet.ts";
import type { Track } from "../../media/track.ts";
import type { Stream, StreamWriter } from "../stream.ts";

/** A stream that tells of each packet in the moment in which it was appended. */
type Tapped = { tap(run: () => void): Disposable };

/**
 * Copies one stream into another, from its newest keyframe on; packets are shared, not copied. From a live stream they
 * are taken in the moment in which they come, so that whoever watches the copy is not later than who watches the stream.
 */
export class Relay implements Disposable {
  readonly #source: Stream;
  readonly #writer: StreamWriter;
  readonly #cursor: Cursor<Packet>;
  readonly #onEnd: () => void;
  readonly #tap: Disposable | undefined;
  #tracks: readonly Track[] | undefined;
  #waiting: Disposable | undefined;
  #closed = false;
  #running = false;

  /** `onEnd` is called once, when the source has ended; not after it was disposed. */
  constructor(source: Stream, writer: StreamWriter, onEnd: () => void) {
    this.#source = source;
    this.#writer = writer;
    this.#onEnd = onEnd;
    this.#cursor = source.packets("live");
    this.#tap = isTapped(source) ? source.tap(() => this.#run()) : undefined;
    this.#run();
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#tap?.[Symbol.dispose]();
    this.#waiting?.[Symbol.dispose]();
    this.#cursor[Symbol.dispose]();
  }

  readonly #run = (): void => {
    // A tap may call while the writer's own flush is running.
    if (this.#running || this.#closed) return;
    this.#running = true;
    for (let packet = this.#cursor.next(); packet && !this.#closed; packet = this.#cursor.next()) {
      const { tracks } = this.#source;
      if (tracks !== this.#tracks && tracks.length > 0) {
        this.#tracks = tracks;
        this.#writer.describe(tracks);
      }
      this.#writer.write(packet);
    }
    this.#running = false;
    if (this.#closed) return;
    if (!this.#cursor.ended) {
      this.#waiting = this.#cursor.onReadable(this.#run);
      return;
    }
    this[Symbol.dispose]();
    this.#onEnd();
  };
}

function isTapped(source: Stream): source is Stream & Tapped {
  return "tap" in source && typeof source.tap === "function";
}
