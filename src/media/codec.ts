/** Codec names as FFmpeg has them. */
export const videoCodecs = ["h264", "hevc", "av1", "vp9", "vp8"] as const;
export const audioCodecs = ["aac", "mp3", "opus", "ac3", "flac"] as const;
export type VideoCodec = (typeof videoCodecs)[number];
export type AudioCodec = (typeof audioCodecs)[number];
export type CodecName = VideoCodec | AudioCodec;

/** The same codecs as MistServer writes them in its JSON and track names. */
export const mistCodecNames: Readonly<Record<CodecName, string>> = {
  h264: "H264",
  hevc: "HEVC",
  av1: "AV1",
  vp9: "VP9",
  vp8: "VP8",
  aac: "AAC",
  mp3: "MP3",
  opus: "opus",
  ac3: "AC3",
  flac: "FLAC",
};
