import type { Micros } from "../../base/time.ts";
import type { Demuxer } from "../../media/format.ts";
import type { Track } from "../../media/track.ts";
import type { FileWindow } from "./file-window.ts";

/** Where playing can start: the decode time of a keyframe, and an offset before which nothing of that time or later stands. */
export type IndexEntry = { readonly time: Micros; readonly offset: number };

/** What one pass over a file finds. Times are the container's. */
export type FileIndex = {
  readonly entries: readonly IndexEntry[];
  /** The first place at or after `headLength` where a demuxer can be cut off cleanly. */
  readonly headEnd: number;
};

/** What has to be known of a container to play its files with a streaming demuxer. */
export type Layout = {
  /** MistServer's name of the input. */
  readonly input: "FLV" | "TS";
  createDemuxer(): Demuxer;
  /** One bounded pass over the file. */
  index(window: FileWindow, headLength: number, tracks: readonly Track[]): Promise<FileIndex>;
  /** Decode time of the last packet as the file's end tells it. */
  lastTime(window: FileWindow): Promise<Micros | undefined>;
};

/** Times of other tracks' packets shortly before a keyframe. */
type Mark = { readonly time: Micros; readonly offset: number };

const keptMarks = 512;
/** Entries are at least this far apart when there is no video. */
const audioStep: Micros = 1_000_000;

/** Builds an index from what a pass comes across, in file order. */
export class IndexBuilder {
  readonly entries: IndexEntry[] = [];
  readonly #hasVideo: boolean;
  #marks: Mark[] = [];

  constructor(tracks: readonly Track[]) {
    this.#hasVideo = tracks.some((track) => track.kind === "video");
  }

  keyframe(time: Micros, offset: number): void {
    const last = this.entries.at(-1);
    if (last && time <= last.time) return;
    // Sound that belongs after the keyframe may stand before it in the file.
    const earlier = this.#marks.find((mark) => mark.time >= time);
    this.entries.push({ time, offset: earlier ? earlier.offset : offset });
  }

  audio(time: Micros, offset: number): void {
    if (!this.#hasVideo) {
      const last = this.entries.at(-1);
      if (!last || time - last.time >= audioStep) this.entries.push({ time, offset });
      return;
    }
    this.#marks.push({ time, offset });
    if (this.#marks.length >= 2 * keptMarks) this.#marks = this.#marks.slice(-keptMarks);
  }
}
