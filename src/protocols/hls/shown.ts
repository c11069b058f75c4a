import type { Clock } from "../../base/time.ts";
import type { Stream } from "../../streams/stream.ts";

/** Milliseconds after a playlist in which its stream is still the one that was shown under the name. */
const keptMs = 60_000;
/** A fallback may be shown under any name that somebody thinks of; the oldest names are forgotten first. */
const mostNames = 10_000;

/**
 * Which streams were shown to admitted viewers under which names lately. A name can stand for several streams, as
 * PLAY_REWRITE may answer each viewer otherwise.
 */
export class ShownStreams {
  readonly #clock: Clock;
  readonly #names = new Map<string, Map<Stream, number>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A viewer got a playlist of `stream`, which it asked for as `name`. */
  show(name: string, stream: Stream): void {
    const until = this.#clock.monotonic() + keptMs;
    const known = this.#names.get(name);
    if (known) return void known.set(stream, until);
    this.#names.set(name, new Map([[stream, until]]));
    for (const oldest of this.#names.keys()) {
      if (this.#names.size <= mostNames) break;
      this.#names.delete(oldest);
    }
  }

  /** What was shown under the name within the last minute. */
  of(name: string): readonly Stream[] {
    const known = this.#names.get(name);
    if (!known) return [];
    const now = this.#clock.monotonic();
    for (const [stream, until] of known) if (until <= now) known.delete(stream);
    if (known.size === 0) this.#names.delete(name);
    return [...known.keys()];
  }

  /** The stream has ended. */
  forget(stream: Stream): void {
    for (const [name, streams] of this.#names) if (streams.delete(stream) && streams.size === 0) this.#names.delete(name);
  }
}
