import type { AudioCodec, VideoCodec } from "./codec.ts";

/** Small positive integer, unique within a stream. */
export type TrackId = number;

/**
 * `config` is the decoder configuration in the one form that docs/packet-formats gives for the codec:
 * h264 avcC, hevc hvcC, av1 av1C, vp9 vpcC (each without box header), aac AudioSpecificConfig, opus OpusHead, flac STREAMINFO;
 * empty for mp3, vp8 and ac3. `codecString` is RFC 6381's.
 */
export type VideoTrack = {
  readonly kind: "video";
  readonly id: TrackId;
  readonly codec: VideoCodec;
  readonly config: Uint8Array;
  readonly codecString: string;
  readonly width: number;
  readonly height: number;
  /** Frames per second if the sender or the bitstream tells it. */
  readonly frameRate?: number;
};

export type AudioTrack = {
  readonly kind: "audio";
  readonly id: TrackId;
  readonly codec: AudioCodec;
  readonly config: Uint8Array;
  readonly codecString: string;
  /** Samples per second. */
  readonly sampleRate: number;
  readonly channels: number;
  readonly language?: string;
};

/** Timed metadata; `data` of its packets is UTF-8 JSON. */
export type DataTrack = {
  readonly kind: "data";
  readonly id: TrackId;
  readonly codec: "json";
  readonly config: Uint8Array;
  readonly codecString: "";
};

export type Track = VideoTrack | AudioTrack | DataTrack;
