import { messageOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { StreamMetadata } from "../base/metadata.ts";
import { baseName } from "../base/stream-name.ts";
import type { ListedStream } from "./live-list.ts";

/** A stream with all that those may know who arrange the list. */
export type ArrangedStream = Omit<ListedStream, "viewers"> & { readonly viewers: number };

/** What operator code says about the public list. Called at each look: quick, and without a wait. */
export type Arrangement = {
  /** Plain JSON; laid under what was set by name. */
  readonly metadata?: (stream: ArrangedStream) => StreamMetadata | undefined;
  /** Of several, all have to say yes. */
  readonly isListed?: (stream: ArrangedStream) => boolean;
  /** As for `Array.sort`; equal ones stay in the order of their names. Of several, the first counts. */
  readonly compare?: (one: ArrangedStream, other: ArrangedStream) => number;
};

/** An arrangement in force. Dispose to take it away. */
export interface Arranged extends Disposable {
  /** To be called when it would answer otherwise than before, so that readers hear of it at once. */
  changed(): void;
}

/** What was set for one stream by its name, or for a base name and all of its `base+name`. */
export type ListingEntry = { readonly hidden?: boolean; readonly metadata?: StreamMetadata };

/** What holds for a stream: that of its full name over that of its base name. */
export function listingFor(entries: Readonly<Record<string, ListingEntry>>, name: string): ListingEntry {
  const own = Object.hasOwn(entries, name) ? entries[name] : undefined;
  const base = baseName(name);
  const shared = base !== name && Object.hasOwn(entries, base) ? entries[base] : undefined;
  if (!shared) return own ?? {};
  const metadata = { ...shared.metadata, ...own?.metadata };
  return { ...shared, ...own, ...(Object.keys(metadata).length > 0 && { metadata }) };
}

/** The arrangements that are in force. */
export class Arrangements {
  readonly #changed: () => void;
  readonly #log: Log;
  #all: readonly Arrangement[] = [];
  #faulty: Arrangement | undefined;

  constructor(log: Log, changed: () => void) {
    this.#log = log;
    this.#changed = changed;
  }

  /** True while somebody else than the names says the order. */
  get ordered(): boolean {
    return this.#all.some(({ compare }) => compare);
  }

  add(arrangement: Arrangement): Arranged {
    this.#all = [...this.#all, arrangement];
    this.#changed();
    return {
      changed: () => this.#changed(),
      [Symbol.dispose]: () => {
        this.#all = this.#all.filter((one) => one !== arrangement);
        this.#changed();
      },
    };
  }

  /** `streams` come in the order of their names. */
  arrange(streams: readonly ArrangedStream[], entries: Readonly<Record<string, ListingEntry>>): readonly ArrangedStream[] {
    const all = this.#all;
    const listed = streams.flatMap((stream) => {
      const { hidden = false, metadata: set } = listingFor(entries, stream.name);
      if (hidden) return [];
      const parts = [...all.map(({ metadata }) => metadata?.(stream)), set].filter((part) => part !== undefined);
      const whole = parts.length > 0 ? { ...stream, metadata: Object.assign({}, ...parts) as StreamMetadata } : stream;
      return all.every(({ isListed }) => !isListed || isListed(whole)) ? [whole] : [];
    });
    const orders = all.find(({ compare }) => compare);
    if (!orders?.compare) return listed;
    try {
      return listed.toSorted(orders.compare);
    } catch (error) {
      if (this.#faulty !== orders) this.#log.write("ERROR", `The order of the list of live streams failed: ${messageOf(error)}`);
      this.#faulty = orders;
      return listed;
    }
  }
}
