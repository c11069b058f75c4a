import type { AudioCodec, VideoCodec } from "../../media/codec.ts";
import type { DemuxerOutput } from "../../media/format.ts";
import type { Track, TrackId } from "../../media/track.ts";
import { type Hints, noHints, readHints, withHints } from "./metadata.ts";
import { type BodyPart, readAudioBody, readVideoBody } from "./tag-body-reader.ts";
import { type TagType, tagType } from "./tag.ts";
import { TrackState } from "./track-state.ts";

/** Turns the bodies of FLV tags or RTMP messages into packets in canonical form. */
export interface TagDemuxer {
  /**
   * Takes one audio (8), video (9) or script (18) body with its time in milliseconds, which is an endless count: 32-bit
   * timestamps are unwrapped by the caller. Gives the list of tracks whenever it has changed, before the packets that need it.
   * Packets without a configured track are dropped. Throws `SluiceError` "input.*"; the state is still good afterwards.
   */
  tag(type: TagType, timestampMs: number, body: Uint8Array): DemuxerOutput[];
}

export type TagDemuxerOptions = {
  /**
   * True: each body belongs to the demuxer from then on, and packets are views of it. False (default): the caller may reuse
   * the body after the call, and what is kept is copied.
   */
  readonly ownsBodies?: boolean;
};

/** Track ids: video 1, audio 2; tracks of multitrack messages: video 1+2n and audio 2+2n for the n that the sender gave. */
export function createTagDemuxer(options: TagDemuxerOptions = {}): TagDemuxer {
  const copy = !options.ownsBodies;
  const states = new Map<TrackId, TrackState>();
  let hints: Hints = noHints;
  let announced: readonly Track[] = [];

  const announce = (out: DemuxerOutput[]): void => {
    const known = [...states.values()].sort((a, b) => a.id - b.id);
    announced = known.flatMap(({ track }) => (track ? [withHints(track, hints)] : []));
    out.push({ tracks: announced });
  };

  const take = (part: BodyPart<VideoCodec | AudioCodec>, id: TrackId, timestampMs: number, out: DemuxerOutput[]): void => {
    const { codec, keyframe, compositionMs, nanoseconds } = part;
    let state = states.get(id);
    if (!state) {
      state = new TrackState(id);
      states.set(id, state);
    }
    if (part.kind === "config") {
      if (part.data.length > 0 && state.configure(codec, part.data)) announce(out);
      return;
    }
    if (state.look(codec, part.data, keyframe)) announce(out);
    const canonical = state.canonical(codec, part.data);
    if (canonical === undefined || canonical.length === 0) return;
    const data = copy && canonical === part.data ? canonical.slice() : canonical;
    const dts = timestampMs * 1000 + Math.round(nanoseconds / 1000);
    out.push({ trackId: id, dts, pts: dts + compositionMs * 1000, keyframe, data });
  };

  return {
    tag(type, timestampMs, body) {
      const out: DemuxerOutput[] = [];
      if (type === tagType.video) for (const part of readVideoBody(body)) take(part, 1 + 2 * part.trackIndex, timestampMs, out);
      else if (type === tagType.audio) for (const part of readAudioBody(body)) take(part, 2 + 2 * part.trackIndex, timestampMs, out);
      else {
        hints = readHints(body, hints);
        if (announced.some((track) => withHints(track, hints) !== track)) announce(out);
      }
      return out;
    },
  };
}
