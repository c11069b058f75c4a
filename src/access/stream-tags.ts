import { baseName, type StreamName } from "../base/stream-name.ts";
import type { Clock } from "../base/time.ts";
import type { StreamDirectory } from "../streams/stream.ts";

/** How long tags of a stream that does not play are kept, ms. */
const keptMs = 60_000;
/** Bytes of all tags that a stream is given while it runs, and streams that have some. */
const mostTagBytes = 512;
const mostStreams = 10_000;

/** THE tags of streams: those of the configuration, and those that were given or taken while the server runs. Dispose to forget the latter. */
export interface StreamTagBook extends Disposable {
  /** What counts now, each once; for `#tag` in triggers, for limits and for lists of streams. */
  tagsOf(stream: StreamName): readonly string[];
  /**
   * Gives a stream tags as long as it plays, and for 60 s in which it does not: a stream can be tagged before it comes.
   * False when it has too many (512 bytes in all), or too many streams have tags (10,000).
   */
  tag(stream: StreamName, tags: readonly string[]): boolean;
  /** Takes tags away, configured ones too, for as long as `tag` would give them. */
  untag(stream: StreamName, tags: readonly string[]): boolean;
  /** Called when tags were given, taken or forgotten while the server runs. */
  onChange(run: () => void): Disposable;
}

export type StreamTagOptions = {
  readonly clock: Pick<Clock, "after">;
  readonly directory: Pick<StreamDirectory, "get" | "onEvent">;
  /** Tags of a configured stream, by base name. */
  readonly configured: (base: string) => readonly string[];
};

type Change = { readonly given: Set<string>; readonly taken: Set<string>; bytes: number; leaving: Disposable | undefined };

export function createStreamTags({ clock, directory, configured }: StreamTagOptions): StreamTagBook {
  const changes = new Map<StreamName, Change>();
  const listeners = new Set<() => void>();
  const tell = (): void => {
    for (const run of listeners) run();
  };
  const forgetLater = (name: StreamName, change: Change): void => {
    change.leaving?.[Symbol.dispose]();
    change.leaving = clock.after(keptMs, () => {
      changes.delete(name);
      tell();
    });
  };
  const listening = directory.onEvent(({ kind, stream }) => {
    const change = changes.get(stream.name);
    if (!change) return;
    if (kind === "opened") {
      change.leaving?.[Symbol.dispose]();
      change.leaving = undefined;
    } else if (kind === "closed") forgetLater(stream.name, change);
  });

  const apply = (name: StreamName, tags: readonly string[], give: boolean): boolean => {
    const change = changes.get(name) ?? { given: new Set(), taken: new Set(), bytes: 0, leaving: undefined };
    if (!changes.has(name) && changes.size >= mostStreams) return false;
    const fresh = [...new Set(tags)].filter((tag) => tag !== "" && !(give ? change.given : change.taken).has(tag));
    const bytes = fresh.reduce((sum, tag) => sum + Buffer.byteLength(tag), change.bytes);
    if (bytes > mostTagBytes) return false;
    for (const tag of fresh) {
      const other = give ? change.taken : change.given;
      if (other.delete(tag)) change.bytes -= Buffer.byteLength(tag);
      (give ? change.given : change.taken).add(tag);
      change.bytes += Buffer.byteLength(tag);
    }
    changes.set(name, change);
    if (directory.get(name) === undefined) forgetLater(name, change);
    tell();
    return true;
  };

  return {
    tagsOf(name) {
      const own = configured(baseName(name));
      const change = changes.get(name);
      if (!change) return own;
      return [...new Set([...own, ...change.given])].filter((tag) => !change.taken.has(tag));
    },
    tag: (name, tags) => apply(name, tags, true),
    untag: (name, tags) => apply(name, tags, false),
    onChange(run) {
      listeners.add(run);
      return { [Symbol.dispose]: () => void listeners.delete(run) };
    },
    [Symbol.dispose]() {
      listening[Symbol.dispose]();
      for (const { leaving } of changes.values()) leaving?.[Symbol.dispose]();
      changes.clear();
    },
  };
}
