import type { Track } from "../../../media/track.ts";
import { type LiveStream, playableTracks } from "../../protocol.ts";
import { encodedName, type Output } from "../stream-info.ts";

/** Which streams of the list are wanted. */
export type LiveFilter = {
  /** Streams that have all of these. */
  readonly tags: readonly string[];
  readonly prefix: string;
  /** Recordings, too. */
  readonly vod: boolean;
};

/** More than any page needs; each filter in use costs a list of its own. */
const mostTags = 8;
const mostText = 100;

/** Reads `tag` (any number), `prefix` and `vod`; undefined when it is more than can be meant. Order and repetition make no other filter. */
export function readFilter(query: URLSearchParams): LiveFilter | undefined {
  const tags = [...new Set(query.getAll("tag"))].toSorted();
  const prefix = query.get("prefix") ?? "";
  if (tags.length > mostTags || [prefix, ...tags].some((text) => text.length > mostText)) return undefined;
  return { tags, prefix, vod: query.has("vod") && query.get("vod") !== "0" };
}

export function fits({ tags, prefix, vod }: LiveFilter, stream: LiveStream): boolean {
  return (vod || stream.kind === "live") && stream.name.startsWith(prefix) && tags.every((tag) => stream.tags.includes(tag));
}

/** What the list says of a stream, as JSON. URLs are relative to the server's root: they hold behind every proxy. */
export function liveEntry({ name, kind, since, tracks, tags, viewers, metadata }: LiveStream, outputs: readonly Output[]): string {
  const path = encodedName(name);
  const urls = outputs
    .filter(({ scheme, codecs }) => scheme !== "rtmp" && playableTracks(tracks, codecs).length > 0)
    .toSorted((one, other) => other.priority - one.priority)
    .map((output) => ({ type: output.type, url: output.path.replace(/^\//, "").replaceAll("$", path) }));
  return JSON.stringify({
    name,
    kind,
    since: new Date(since).toISOString(),
    tracks: tracks.flatMap((track) => trackOf(track)),
    tags,
    ...(viewers !== undefined && { viewers }),
    ...(metadata !== undefined && { metadata }),
    page: `${path}.html`,
    urls,
  });
}

function trackOf(track: Track): readonly object[] {
  if (track.kind === "data") return [];
  const { kind, codec } = track;
  if (kind === "video") {
    const { width, height, frameRate } = track;
    return [{ kind, codec, width, height, ...(frameRate !== undefined && { frameRate: Math.round(frameRate * 1000) / 1000 }) }];
  }
  const { sampleRate, channels, language } = track;
  return [{ kind, codec, sampleRate, channels, ...(language !== undefined && { language }) }];
}
