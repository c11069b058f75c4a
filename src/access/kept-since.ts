import { messageOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { baseName } from "../base/stream-name.ts";
import type { Clock } from "../base/time.ts";
import type { CloseReason, Stream } from "../streams/stream.ts";

/** Where it is kept since when streams play; Unix milliseconds by name. */
export interface SinceStore {
  read(): Promise<ReadonlyMap<string, number>>;
  write(name: string, since: number): Promise<void>;
  remove(names: readonly string[]): Promise<void>;
}

/** As long as a stream with `resume` waits for its publisher while the server runs. */
const resumeMs = 60_000;

export type KeptSinceOptions = {
  readonly clock: Clock;
  readonly log: Log;
  readonly store: SinceStore;
  /** True for streams whose publisher may come back without beginning anew. */
  readonly resumes: (base: string) => boolean;
};

/**
 * Since when streams with `resume` play, over restarts of the server: a publisher who is back within a minute of the start goes on, as
 * while the server runs. Dispose to stop waiting.
 */
export class KeptSince implements Disposable {
  readonly #options: KeptSinceOptions;
  readonly #before: Map<string, number>;
  readonly #waiting: Disposable;

  /** Use `openKeptSince`. */
  constructor(options: KeptSinceOptions, before: ReadonlyMap<string, number>) {
    this.#options = options;
    this.#before = new Map(before);
    this.#waiting = options.clock.after(resumeMs, () => {
      const gone = [...this.#before.keys()];
      this.#before.clear();
      if (gone.length > 0) void this.#try(options.store.remove(gone));
    });
  }

  /** Since when a stream plays that is ready now for the first time; it is kept until the stream has ended. */
  begin(stream: Stream): number {
    const { clock, resumes, store } = this.#options;
    const { name } = stream;
    const before = this.#before.get(name);
    this.#before.delete(name);
    if (stream.kind !== "live" || !resumes(baseName(name))) {
      if (before !== undefined) void this.#try(store.remove([name]));
      return clock.now();
    }
    // A clock that was set back makes no stream begin in the future.
    const since = Math.min(before ?? Number.POSITIVE_INFINITY, clock.now());
    if (since !== before) void this.#try(store.write(name, since));
    void stream.closed.then((reason: CloseReason) => {
      // The server's end is not the stream's: its publisher may be back after the start.
      if (reason.code !== "CLEAN_SIGNAL") return this.#try(store.remove([name]));
      return undefined;
    });
    return since;
  }

  [Symbol.dispose](): void {
    this.#waiting[Symbol.dispose]();
  }

  /** Nothing but the age of a stream is lost when the store fails. */
  async #try(done: Promise<void>): Promise<void> {
    try {
      await done;
    } catch (error) {
      this.#options.log.write("WARN", `Since when a stream plays could not be kept: ${messageOf(error)}`);
    }
  }
}

export async function openKeptSince(options: KeptSinceOptions): Promise<KeptSince> {
  return new KeptSince(options, await options.store.read());
}
