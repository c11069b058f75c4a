import { concat } from "../../base/bytes.ts";
import type { CodecName } from "../../media/codec.ts";
import type { Format, Muxer } from "../../media/format.ts";
import type { AudioTrack, Track, VideoTrack } from "../../media/track.ts";
import { metadataBody } from "./metadata.ts";
import { audioTagBody, configTagBody, endTagBody, sequenceEndTags, tagTime, videoTagBody } from "./tag-body.ts";
import { fileHeader, tagPieces, tagType } from "./tag.ts";

const codecs: readonly CodecName[] = ["h264", "hevc", "av1", "vp9", "vp8", "aac", "mp3", "opus", "ac3", "flac"];

/** The first video and the first audio track: players know no more than one of each. */
export function flvTracks(tracks: readonly Track[]): { readonly video: VideoTrack | undefined; readonly audio: AudioTrack | undefined } {
  return { video: tracks.find((track) => track.kind === "video"), audio: tracks.find((track) => track.kind === "audio") };
}

/** FLV of the first video and the first audio track, as it goes over HTTP and WebSocket and into files. */
export const flvFormat: Format = { name: "flv", codecs, createMuxer };

function createMuxer(tracks: readonly Track[]): Muxer {
  let { video, audio } = flvTracks(tracks);
  let lastTime = 0;
  let lastVideo: number | undefined;
  let header: Uint8Array | undefined;

  const description = (time: number): Uint8Array[] => {
    const chosen = [video, audio].filter((track) => track !== undefined);
    const pieces = tagPieces(tagType.script, time, [metadataBody(chosen)]);
    for (const track of chosen) {
      const config = configTagBody(track);
      if (config) pieces.push(...tagPieces(track.kind === "video" ? tagType.video : tagType.audio, time, [config]));
    }
    return pieces;
  };

  return {
    get header() {
      header ??= concat([fileHeader(video !== undefined, audio !== undefined), ...description(0)]);
      return header;
    },
    add(packet) {
      if (packet.trackId === video?.id) {
        lastTime = lastVideo = tagTime(packet);
        return tagPieces(tagType.video, lastTime, videoTagBody(video, packet));
      }
      if (packet.trackId === audio?.id) {
        lastTime = tagTime(packet);
        return tagPieces(tagType.audio, lastTime, audioTagBody(audio, packet));
      }
      return [];
    },
    retrack(next, dts) {
      const before = video;
      ({ video, audio } = flvTracks(next));
      const ends = sequenceEndTags(before, video, lastVideo, dts);
      header = undefined;
      return [...ends.flatMap(({ time, body }) => tagPieces(tagType.video, time, body)), ...description(lastTime)];
    },
    end() {
      return video ? tagPieces(tagType.video, lastTime, [endTagBody(video)]) : [];
    },
  };
}
