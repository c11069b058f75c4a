import type { Log } from "../base/log.ts";
import type { StreamMetadata } from "../base/metadata.ts";
import { messageOf } from "../base/errors.ts";
import { baseName, type StreamName } from "../base/stream-name.ts";
import type { Clock } from "../base/time.ts";
import type { Track } from "../media/track.ts";
import type { Sessions } from "../sessions/session.ts";
import type { Stream, StreamDirectory } from "../streams/stream.ts";
import { type Arranged, type Arrangement, Arrangements, type ListingEntry } from "./live-arrangement.ts";

/** Streams with this tag are not listed, nor are those with the option `hidden`. */
const hiddenTag = "hidden";
/** Milliseconds between two looks at what tells nobody when it changes: tags and viewers. */
const lookMs = 1000;

/** What the public list may show. */
export type LiveListSetting = {
  /** How many watch each stream. */
  readonly viewers: boolean;
  /** Most readers that follow the list at the same time. */
  readonly readers: number;
};

/** One stream of the list. Only what anybody may know: its public name, never a key, a source or an address. */
export type ListedStream = {
  readonly name: StreamName;
  readonly kind: Stream["kind"];
  /** Unix milliseconds since when it has been playing. A publisher who comes back in time (`resume`) does not begin anew. */
  readonly since: number;
  readonly tracks: readonly Track[];
  readonly tags: readonly string[];
  /** Undefined unless the setting allows it. */
  readonly viewers: number | undefined;
  /** What the operator shows of it; undefined when there is nothing. */
  readonly metadata?: StreamMetadata;
};

export type LiveListOptions = {
  readonly clock: Pick<Clock, "now" | "every">;
  readonly log: Log;
  readonly directory: Pick<StreamDirectory, "list" | "onEvent">;
  readonly sessions: Pick<Sessions, "counters">;
  readonly tagsOf: (stream: StreamName) => readonly string[];
  /** Read at each look; false: there is no list. */
  readonly setting: () => LiveListSetting | false;
  readonly isHidden: (base: string) => boolean;
  /** Since when a stream plays that is ready now for the first time; left out: since now. */
  readonly begin?: (stream: Stream) => number;
  /** What was set for streams by name; another object when something has changed. */
  readonly entries?: () => Readonly<Record<string, ListingEntry>>;
};

/** What plays now, for everybody: exactly the streams that start at once on every output. Looking opens no session and asks nobody. */
export class LiveList implements Disposable {
  readonly #options: LiveListOptions;
  readonly #since = new WeakMap<Stream, number>();
  readonly #listeners = new Set<() => void>();
  readonly #ofName = new Map<StreamName, Set<() => void>>();
  readonly #listening: Disposable;
  readonly #arrangements: Arrangements;
  #looking: Disposable | undefined;

  constructor(options: LiveListOptions) {
    this.#options = options;
    this.#arrangements = new Arrangements(options.log, () => this.changed());
    this.#listening = options.directory.onEvent(({ kind, stream }) => {
      if (kind === "buffer" || kind === "bandwidth") return;
      if (stream.state === "ready" && !this.#since.has(stream)) this.#since.set(stream, options.begin?.(stream) ?? options.clock.now());
      this.#run(this.#listeners);
      if (kind !== "opened") this.#run(this.#ofName.get(stream.name) ?? []);
    });
  }

  /** Sorted by name, or as an arrangement says; undefined when there is no list. */
  streams(): readonly ListedStream[] | undefined {
    const { directory, sessions, tagsOf, setting, isHidden, clock, entries } = this.#options;
    const shown = setting();
    if (shown === false) return undefined;
    const playing = directory
      .list()
      .filter(({ name, state }) => state === "ready" && !isHidden(baseName(name)) && !tagsOf(name).includes(hiddenTag))
      .map((stream) => {
        const { name, kind, tracks } = stream;
        const viewers = sessions.counters(name)?.viewers ?? 0;
        return { name, kind, since: this.#since.get(stream) ?? clock.now(), tracks, tags: tagsOf(name), viewers };
      })
      .sort((one, other) => (one.name < other.name ? -1 : 1));
    const arranged = this.#arrangements.arrange(playing, entries?.() ?? {});
    return shown.viewers ? arranged : arranged.map((stream) => ({ ...stream, viewers: undefined }));
  }

  /** True while the order is not that of the names. */
  get ordered(): boolean {
    return this.#arrangements.ordered;
  }

  /** Lets operator code say what is listed, in which order and with which metadata; dispose to take that away. */
  arrange(arrangement: Arrangement): Arranged {
    return this.#arrangements.add(arrangement);
  }

  /** To be called when what was set for streams is different. */
  changed(): void {
    this.#run(this.#listeners);
  }

  /** Most readers that may follow the list. */
  get mostReaders(): number {
    const shown = this.#options.setting();
    return shown === false ? 0 : shown.readers;
  }

  /** Calls `run` when the list may be another one, at least once a second; dispose to stop. */
  onChange(run: () => void): Disposable {
    const listener = (): void => run();
    this.#listeners.add(listener);
    this.#looking ??= this.#options.clock.every(lookMs, () => this.#run(this.#listeners));
    return {
      [Symbol.dispose]: () => {
        this.#listeners.delete(listener);
        if (this.#listeners.size > 0) return;
        this.#looking?.[Symbol.dispose]();
        this.#looking = undefined;
      },
    };
  }

  /** Calls `run` when a stream of this name begins to play, changes its state or tracks, or ends; dispose to stop. */
  onStream(name: StreamName, run: () => void): Disposable {
    const listener = (): void => run();
    const listeners = this.#ofName.get(name) ?? new Set();
    this.#ofName.set(name, listeners.add(listener));
    return {
      [Symbol.dispose]: () => {
        if (listeners.delete(listener) && listeners.size === 0 && this.#ofName.get(name) === listeners) this.#ofName.delete(name);
      },
    };
  }

  [Symbol.dispose](): void {
    this.#listening[Symbol.dispose]();
    this.#looking?.[Symbol.dispose]();
  }

  #run(listeners: Iterable<() => void>): void {
    for (const run of [...listeners]) {
      try {
        run();
      } catch (error) {
        this.#options.log.write("ERROR", `a reader of the list of live streams failed: ${messageOf(error)}`);
      }
    }
  }
}
