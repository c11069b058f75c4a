import { concat } from "../../base/bytes.ts";
import { metadataBody } from "../../containers/flv/metadata.ts";
import { flvFormat, flvTracks } from "../../containers/flv/muxer.ts";
import { audioTagBody, configTagBody, endTagBody, sequenceEndTags, tagTime, videoTagBody } from "../../containers/flv/tag-body.ts";
import type { Format, Muxer } from "../../media/format.ts";
import type { AudioTrack, Track, VideoTrack } from "../../media/track.ts";
import { ourChunkSize } from "./connect.ts";
import { writeMessage } from "./wire/chunk-writer.ts";
import { messageType } from "./wire/message.ts";

/** Chunk streams of media; nobody demands these, everybody uses them. */
const audioChunks = 4;
const dataChunks = 5;
const videoChunks = 6;
/** The message stream that every viewer plays on. */
const playedStream = 1;

/**
 * Whole RTMP messages of the first video and the first audio track, the same bytes for every viewer: each message begins
 * with a header of type 0, so a viewer may begin with any of them, and chunks are as long as each connection was told.
 */
export function createRtmpFormat(): Format {
  return { name: "rtmp", codecs: flvFormat.codecs, createMuxer };
}

function createMuxer(tracks: readonly Track[]): Muxer {
  let { video, audio } = flvTracks(tracks);
  let lastTime = 0;
  let lastVideo: number | undefined;
  let header: Uint8Array | undefined;

  return {
    get header() {
      header ??= concat(description(video, audio, 0));
      return header;
    },
    add(packet) {
      if (packet.trackId === video?.id) {
        lastTime = lastVideo = tagTime(packet);
        return videoMessage(lastTime, videoTagBody(video, packet));
      }
      if (packet.trackId === audio?.id) {
        lastTime = tagTime(packet);
        return audioMessage(lastTime, audioTagBody(audio, packet));
      }
      return [];
    },
    retrack(next, dts) {
      const before = video;
      ({ video, audio } = flvTracks(next));
      const ends = sequenceEndTags(before, video, lastVideo, dts);
      header = undefined;
      return [...ends.flatMap(({ time, body }) => videoMessage(time, body)), ...description(video, audio, lastTime)];
    },
    end() {
      return video ? videoMessage(lastTime, [endTagBody(video)]) : [];
    },
  };
}

/** `onMetaData` and the codec configurations. */
function description(video: VideoTrack | undefined, audio: AudioTrack | undefined, time: number): Uint8Array[] {
  const metadata = metadataBody([video, audio].filter((track) => track !== undefined));
  const head = { chunkStreamId: dataChunks, type: messageType.dataAmf0, timestamp: time, streamId: playedStream };
  const pieces = writeMessage(head, [metadata], ourChunkSize);
  const videoConfig = video && configTagBody(video);
  if (videoConfig) pieces.push(...videoMessage(time, [videoConfig]));
  const audioConfig = audio && configTagBody(audio);
  if (audioConfig) pieces.push(...audioMessage(time, [audioConfig]));
  return pieces;
}

function videoMessage(timestamp: number, body: readonly Uint8Array[]): Uint8Array[] {
  return writeMessage({ chunkStreamId: videoChunks, type: messageType.video, timestamp, streamId: playedStream }, body, ourChunkSize);
}

function audioMessage(timestamp: number, body: readonly Uint8Array[]): Uint8Array[] {
  return writeMessage({ chunkStreamId: audioChunks, type: messageType.audio, timestamp, streamId: playedStream }, body, ourChunkSize);
}
