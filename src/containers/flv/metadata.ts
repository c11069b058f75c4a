import type { Track } from "../../media/track.ts";
import { decodeAmf0, EcmaArray, encodeAmf0 } from "../amf/amf0.ts";
import { fourCcs, legacyVideo, soundFormat } from "./tag.ts";

/** What `onMetaData` tells and some codec configurations do not. */
export type Hints = { readonly frameRate: number | undefined };
export const noHints: Hints = { frameRate: undefined };

const maxScript = 65_536;

/**
 * Reads a script body (`onMetaData`, also behind `@setDataFrame`). Other scripts, scripts that cannot be read and very long ones
 * tell nothing: `before` is given back, because metadata that a sender got wrong is no reason to refuse its media.
 */
export function readHints(body: Uint8Array, before: Hints): Hints {
  if (body.length > maxScript) return before;
  let values: unknown[];
  try {
    values = decodeAmf0(body);
  } catch {
    return before;
  }
  const at = values.indexOf("onMetaData");
  const metadata = at < 0 ? undefined : values[at + 1];
  if (typeof metadata !== "object" || metadata === null) return before;
  const frameRate = Object.hasOwn(metadata, "framerate") ? (metadata as Record<string, unknown>)["framerate"] : undefined;
  const plausible = typeof frameRate === "number" && frameRate > 0 && frameRate <= 1000;
  return { frameRate: plausible ? Math.round(frameRate * 1000) / 1000 : before.frameRate };
}

/** The track with what it lacks; the same object when it lacks nothing that the hints have. */
export function withHints<T extends Track>(track: T, hints: Hints): T {
  if (track.kind !== "video" || track.frameRate !== undefined || hints.frameRate === undefined || track.id !== 1) return track;
  return { ...track, frameRate: hints.frameRate };
}

/** The values of `onMetaData` for the first video and the first audio track, with the names that FLV players know. */
export function metadataValues(tracks: readonly Track[]): Record<string, number | boolean> {
  const values: Record<string, number | boolean> = {};
  const video = tracks.find((track) => track.kind === "video");
  if (video) {
    values["width"] = video.width;
    values["height"] = video.height;
    if (video.frameRate !== undefined) values["framerate"] = video.frameRate;
    values["videocodecid"] = video.codec === "h264" ? legacyVideo.h264 : fourCcNumber(fourCcs[video.codec]);
  }
  const audio = tracks.find((track) => track.kind === "audio");
  if (audio) {
    values["audiosamplerate"] = audio.sampleRate;
    values["audiosamplesize"] = 16;
    values["audiochannels"] = audio.channels;
    values["stereo"] = audio.channels > 1;
    values["audiocodecid"] =
      audio.codec === "aac" ? soundFormat.aac : audio.codec === "mp3" ? soundFormat.mp3 : fourCcNumber(fourCcs[audio.codec]);
  }
  return values;
}

/** The body of an `onMetaData` script tag. */
export function metadataBody(tracks: readonly Track[]): Uint8Array {
  return encodeAmf0(["onMetaData", new EcmaArray(metadataValues(tracks))]);
}

/** Enhanced RTMP writes codec ids as the FourCC read as a big-endian number. */
function fourCcNumber(fourCc: string): number {
  let value = 0;
  for (const letter of fourCc) value = value * 256 + letter.charCodeAt(0);
  return value;
}
