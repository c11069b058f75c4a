import { sameBytes } from "../../base/bytes.ts";
import { aacTrack } from "../../codecs/aac.ts";
import { ac3Track } from "../../codecs/ac3.ts";
import { av1Track, av1TrackWithKeyframe, canonicalAv1 } from "../../codecs/av1.ts";
import { canonicalFlacConfig, flacTrack } from "../../codecs/flac.ts";
import { canonicalH264, canonicalH264Config, h264Track, parseH264Config } from "../../codecs/h264.ts";
import { canonicalHevc, canonicalHevcConfig, hevcTrack, parseHevcConfig } from "../../codecs/hevc.ts";
import { mp3Track, parseMp3Header } from "../../codecs/mp3.ts";
import { opusTrack } from "../../codecs/opus.ts";
import { parseVp8Keyframe, vp8Track } from "../../codecs/vp8.ts";
import { canonicalVp9Config, parseVp9Keyframe, vp9Track } from "../../codecs/vp9.ts";
import type { AudioCodec, VideoCodec } from "../../media/codec.ts";
import type { AudioTrack, TrackId, VideoTrack } from "../../media/track.ts";

type MediaTrack = VideoTrack | AudioTrack;

/** What the tag demuxer knows of one track: the sender's record and what it came to. */
export class TrackState {
  readonly id: TrackId;
  /** Undefined until configuration (and, for VP8, VP9 and bare AV1, the first keyframe) has come. */
  track: MediaTrack | undefined;
  #record: Uint8Array | undefined;
  #codec: VideoCodec | AudioCodec | undefined;
  #lengthSize = 4;

  constructor(id: TrackId) {
    this.id = id;
  }

  /** Takes a configuration record of the sender, which is copied. True when the track has changed. Throws "input.*". */
  configure(codec: VideoCodec | AudioCodec, record: Uint8Array): boolean {
    if (this.#codec === codec && this.#record && sameBytes(this.#record, record)) return false;
    const copy = record.slice();
    const track = this.#describe(codec, copy);
    const changed = track !== this.track;
    this.#codec = codec;
    this.#record = copy;
    this.track = track;
    return changed;
  }

  #describe(codec: VideoCodec | AudioCodec, record: Uint8Array): MediaTrack | undefined {
    switch (codec) {
      case "h264": {
        const track = h264Track(this.id, canonicalH264Config(record));
        this.#lengthSize = parseH264Config(record).lengthSize;
        return track;
      }
      case "hevc": {
        const track = hevcTrack(this.id, canonicalHevcConfig(record));
        this.#lengthSize = parseHevcConfig(record).lengthSize;
        return track;
      }
      case "av1": {
        const track = av1Track(this.id, record);
        return track.width > 0 ? track : undefined;
      }
      case "vp9": {
        const config = canonicalVp9Config(record);
        return this.track?.codec === "vp9" ? vp9Track(this.id, config, this.track) : undefined;
      }
      case "aac":
        return aacTrack(this.id, record);
      case "opus":
        return opusTrack(this.id, record);
      case "flac":
        return flacTrack(this.id, canonicalFlacConfig(record));
      case "vp8":
      case "mp3":
      case "ac3":
        return this.track?.codec === codec ? this.track : undefined;
    }
  }

  /** Looks for what only a frame tells: size, or rate and channels. True when the track has changed. Throws "input.*". */
  look(codec: VideoCodec | AudioCodec, frame: Uint8Array, keyframe: boolean): boolean {
    // MP3 has no configuration, so its frames alone say that a sender has changed to it.
    if (this.#codec !== undefined && this.#codec !== codec && codec !== "mp3") return false;
    switch (codec) {
      case "mp3": {
        const header = parseMp3Header(frame);
        const known = this.track?.codec === "mp3" ? this.track : undefined;
        if (!header || (known?.sampleRate === header.sampleRate && known.channels === header.channels)) return false;
        return this.#become(codec, mp3Track(this.id, frame));
      }
      case "ac3":
        return this.track === undefined && this.#become(codec, ac3Track(this.id, frame));
      case "vp8":
        return keyframe && this.#resize(codec, parseVp8Keyframe(frame), (picture) => vp8Track(this.id, picture));
      case "vp9": {
        const record = this.#record;
        if (!record || !keyframe) return false;
        return this.#resize(codec, parseVp9Keyframe(frame), (picture) => vp9Track(this.id, canonicalVp9Config(record), picture));
      }
      case "av1": {
        if (!this.#record || !keyframe || this.track !== undefined) return false;
        const track = av1TrackWithKeyframe(this.id, frame);
        return track !== undefined && this.#become(codec, track);
      }
      default:
        return false;
    }
  }

  #resize<P extends { width: number; height: number }>(
    codec: VideoCodec,
    picture: P | undefined,
    make: (picture: P) => VideoTrack,
  ): boolean {
    const known = this.track?.kind === "video" ? this.track : undefined;
    if (!picture || (known?.width === picture.width && known.height === picture.height)) return false;
    return this.#become(codec, make(picture));
  }

  #become(codec: VideoCodec | AudioCodec, track: MediaTrack): boolean {
    this.#codec = codec;
    this.track = track;
    return true;
  }

  /**
   * The frame in canonical form: `frame` itself or new memory; undefined when it must be dropped because its track is not
   * configured. Throws "input.*".
   */
  canonical(codec: VideoCodec | AudioCodec, frame: Uint8Array): Uint8Array | undefined {
    if (this.track === undefined || this.#codec !== codec || frame.length === 0) return undefined;
    if (codec === "h264") return canonicalH264(frame, this.#lengthSize);
    if (codec === "hevc") return canonicalHevc(frame, this.#lengthSize);
    if (codec === "av1") return canonicalAv1(frame);
    return frame;
  }
}
