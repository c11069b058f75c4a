import type { AudioTrack, Track, TrackId } from "../../media/track.ts";

/** Which track of a source plays which part of a programme. */
export type Casting = {
  /** The programme's tracks, under the programme's ids. */
  readonly tracks: readonly Track[];
  /** From the source's ids to those; a track that is not in it has no part. */
  readonly idOf: ReadonlyMap<TrackId, TrackId>;
  /** Sound that the programme has, and the source has not. */
  readonly missing: readonly AudioTrack[];
};

/**
 * Gives the parts of a programme to the tracks of a source: the first picture of any source plays the programme's first picture.
 * `parts` are the tracks that viewers began with: players and playlists know tracks by id, and neither take a kind of track that comes
 * later nor go on without one that they had.
 *
 *     parts   1 video  2 audio
 *     source  1 audio  2 video  3 audio    ->  2 as 1, 1 as 2, 3 left out
 */
export function cast(parts: readonly Track[], tracks: readonly Track[]): Casting {
  const idOf = new Map<TrackId, TrackId>();
  const missing: AudioTrack[] = [];
  const played: Track[] = [];
  const free = [...tracks];
  for (const part of parts) {
    const at = free.findIndex(({ kind }) => kind === part.kind);
    const [track] = at < 0 ? [] : free.splice(at, 1);
    if (track) {
      idOf.set(track.id, part.id);
      played.push(track.id === part.id ? track : { ...track, id: part.id });
    } else if (part.kind === "audio") missing.push(part);
  }
  return { tracks: played, idOf, missing };
}
