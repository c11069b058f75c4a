import type { Micros } from "../base/time.ts";
import type { AudioTrack, TrackId } from "./track.ts";

/** Sound in which nothing is heard: the same packet again and again. */
export type Silence = {
  readonly track: AudioTrack;
  readonly data: Uint8Array;
  /** What one packet lasts. */
  readonly duration: Micros;
};

/** Makes silence that a player of `like` plays on with; of a common kind when that is undefined. Undefined: there is none of that codec. */
export type MakeSilence = (id: TrackId, like: AudioTrack | undefined) => Silence | undefined;
