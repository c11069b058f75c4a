import { messageOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { plainMetadata, type StreamMetadata } from "../base/metadata.ts";
import type { Clock } from "../base/time.ts";

/** Milliseconds after which an answer that has not come is given up, and the function may be asked again. */
const answerMs = 10_000;
/** Streams of which something is known at the same time. */
const mostKnown = 10_000;

type Known = {
  readonly since: number;
  value: StreamMetadata | undefined;
  /** When it was asked last, monotonic. */
  askedAt: number;
  asking: boolean;
  /** The failure that was told last: one that stays is told once. */
  told: string;
};

export type StreamFactsOptions<S> = {
  readonly clock: Pick<Clock, "monotonic">;
  readonly log: Log;
  /** Milliseconds that an answer is good for. */
  readonly refreshMs: number;
  readonly ask: (stream: S) => unknown;
  /** Called when an answer that was waited for is another one than before. */
  readonly changed: () => void;
};

/**
 * What a function says of streams, so that a list can be made without a wait: it is asked when a stream begins, and again when its
 * answer is old. Until the first answer is there nothing is known; when one fails, the last one stays.
 */
export class StreamFacts<S extends { readonly name: string; readonly since: number }> {
  readonly #options: StreamFactsOptions<S>;
  readonly #known = new Map<string, Known>();

  constructor(options: StreamFactsOptions<S>) {
    this.#options = options;
  }

  of(stream: S): StreamMetadata | undefined {
    const { clock, refreshMs } = this.#options;
    const now = clock.monotonic();
    let known = this.#known.get(stream.name);
    if (known?.since !== stream.since) {
      known = { since: stream.since, value: undefined, askedAt: Number.NEGATIVE_INFINITY, asking: false, told: "" };
      // The one that was asked about longest ago is most likely gone.
      this.#known.delete(stream.name);
      const oldest = this.#known.size >= mostKnown ? this.#known.keys().next().value : undefined;
      if (oldest !== undefined) this.#known.delete(oldest);
      this.#known.set(stream.name, known);
    }
    if (now - known.askedAt >= (known.asking ? Math.max(answerMs, refreshMs) : refreshMs)) this.#ask(stream, known, now);
    return known.value;
  }

  #ask(stream: S, known: Known, now: number): void {
    known.askedAt = now;
    known.asking = false;
    try {
      const said = this.#options.ask(stream);
      if (!isPromise(said)) {
        known.value = read(said);
        known.told = "";
        return;
      }
      known.asking = true;
      said.then(
        (value) => this.#take(stream, known, now, value),
        (error: unknown) => this.#failed(stream, known, now, error),
      );
    } catch (error) {
      this.#failed(stream, known, now, error);
    }
  }

  #take(stream: S, known: Known, askedAt: number, value: unknown): void {
    // A later question counts, and so does a later life of the stream.
    if (known.askedAt !== askedAt || this.#known.get(stream.name) !== known) return;
    known.asking = false;
    try {
      const after = read(value);
      known.told = "";
      if (JSON.stringify(after) === JSON.stringify(known.value)) return;
      known.value = after;
      this.#options.changed();
    } catch (error) {
      this.#failed(stream, known, askedAt, error);
    }
  }

  #failed(stream: S, known: Known, askedAt: number, error: unknown): void {
    if (known.askedAt !== askedAt) return;
    known.asking = false;
    const words = `liveDirectory.metadata failed, what was known stays: ${messageOf(error)}`;
    if (words !== known.told) this.#options.log.write("ERROR", words, { stream: stream.name });
    known.told = words;
  }
}

function read(value: unknown): StreamMetadata | undefined {
  return value === undefined || value === null ? undefined : plainMetadata(value);
}

function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}
