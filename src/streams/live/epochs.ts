import type { Track } from "../../media/track.ts";

type Epoch = { from: number; number: number; tracks: readonly Track[] };

/** Which tracks were in force at which packet. */
export class Epochs {
  readonly #list: Epoch[] = [{ from: 0, number: 0, tracks: [] }];

  /** The tracks in force now. */
  get tracks(): readonly Track[] {
    return this.#list.at(-1)?.tracks ?? [];
  }

  /** Other tracks from packet `from` on. Tracks that no packet has seen are replaced. */
  change(from: number, tracks: readonly Track[]): void {
    const last = this.#list.at(-1);
    if (last && last.from === from) this.#list[this.#list.length - 1] = { from, number: last.number + 1, tracks };
    else this.#list.push({ from, number: (last?.number ?? 0) + 1, tracks });
  }

  /** The number of the epoch of a packet; rises with packets. */
  at(sequence: number): number {
    for (let i = this.#list.length - 1; i >= 0; i--) {
      const epoch = this.#list[i];
      if (epoch && epoch.from <= sequence) return epoch.number;
    }
    return this.#list[0]?.number ?? 0;
  }

  tracksOf(number: number): readonly Track[] {
    return this.#list.find((epoch) => epoch.number === number)?.tracks ?? this.tracks;
  }

  /** Forgets what only packets before `first` needed. */
  trim(first: number): void {
    while ((this.#list[1]?.from ?? Number.POSITIVE_INFINITY) <= first) this.#list.shift();
  }
}

/** True if both lists have the same tracks in the same order with the same configuration. */
export function sameTracks(a: readonly Track[], b: readonly Track[]): boolean {
  return a.length === b.length && a.every((track, i) => sameTrack(track, b[i]));
}

/** True if every track of `before` is in `after` unchanged. */
export function onlyAdds(before: readonly Track[], after: readonly Track[]): boolean {
  return before.every((track) =>
    sameTrack(
      track,
      after.find((other) => other.id === track.id),
    ),
  );
}

function sameTrack(a: Track, b: Track | undefined): boolean {
  if (!b || a.kind !== b.kind || a.id !== b.id || a.codec !== b.codec || a.codecString !== b.codecString) return false;
  if (a.config.length !== b.config.length || !a.config.every((byte, i) => byte === b.config[i])) return false;
  if (a.kind === "video" && b.kind === "video") return a.width === b.width && a.height === b.height && a.frameRate === b.frameRate;
  if (a.kind === "audio" && b.kind === "audio")
    return a.sampleRate === b.sampleRate && a.channels === b.channels && a.language === b.language;
  return true;
}
