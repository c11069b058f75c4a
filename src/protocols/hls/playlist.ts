import type { Track } from "../../media/track.ts";
import type { Fragment } from "../../streams/stream.ts";
import type { Around } from "./address.ts";

/** One entry of a multivariant playlist. */
export type Variant = {
  /** Address of the media playlist, relative to the multivariant one. */
  readonly uri: string;
  readonly tracks: readonly Track[];
  /** Peak and average bits per second, container included. */
  readonly bandwidth: number;
  readonly averageBandwidth: number;
  /** Frames per second of the video, 0 when unknown. */
  readonly frameRate: number;
};

/** What a media playlist shows. */
export type MediaPlaylist = {
  readonly kind: "live" | "vod";
  readonly fragments: readonly Fragment[];
  /** File name of a fragment's segment. */
  readonly uri: (fragment: Fragment) => string;
  /** Seconds, at least as long as every fragment, and the same in all versions of one playlist. */
  readonly targetDuration: number;
  /** Discontinuities that have left the playlist. */
  readonly discontinuitySequence: number;
  /** No more fragments will come. */
  readonly ended: boolean;
};

/** The multivariant playlist of RFC 8216 4.3.4. */
export function multivariantPlaylist(variants: readonly Variant[]): string {
  const lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-INDEPENDENT-SEGMENTS"];
  for (const variant of variants) {
    const attributes = [`BANDWIDTH=${Math.ceil(variant.bandwidth)}`, `AVERAGE-BANDWIDTH=${Math.ceil(variant.averageBandwidth)}`];
    const video = variant.tracks.find((track) => track.kind === "video");
    if (video && video.width > 0 && video.height > 0) attributes.push(`RESOLUTION=${video.width}x${video.height}`);
    if (variant.frameRate > 0) attributes.push(`FRAME-RATE=${variant.frameRate.toFixed(3)}`);
    const codecs = variant.tracks.map((track) => track.codecString).filter((text) => text !== "");
    if (codecs.length > 0) attributes.push(`CODECS="${codecs.join(",")}"`);
    lines.push(`#EXT-X-STREAM-INF:${attributes.join(",")}`, variant.uri);
  }
  return `${lines.join("\n")}\n`;
}

/** The media playlist of RFC 8216 4.3.2 and 4.3.3. */
export function mediaPlaylist(playlist: MediaPlaylist): string {
  const { kind, fragments, discontinuitySequence } = playlist;
  const lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-INDEPENDENT-SEGMENTS", `#EXT-X-TARGETDURATION:${playlist.targetDuration}`];
  lines.push(`#EXT-X-MEDIA-SEQUENCE:${fragments[0]?.sequence ?? 0}`);
  if (discontinuitySequence > 0) lines.push(`#EXT-X-DISCONTINUITY-SEQUENCE:${discontinuitySequence}`);
  if (kind === "vod") lines.push("#EXT-X-PLAYLIST-TYPE:VOD");
  for (const fragment of fragments) {
    if (isBreak(fragment)) lines.push("#EXT-X-DISCONTINUITY");
    if (kind === "live") lines.push(`#EXT-X-PROGRAM-DATE-TIME:${new Date(fragment.wallClock).toISOString()}`);
    lines.push(`#EXTINF:${(fragment.duration / 1e6).toFixed(6)},`, playlist.uri(fragment));
  }
  if (playlist.ended) lines.push("#EXT-X-ENDLIST");
  return `${lines.join("\n")}\n`;
}

/** True when a player has to reset its decoder before this fragment; before a stream's first one there is nothing to reset. */
export function isBreak(fragment: Fragment): boolean {
  return fragment.discontinuity && fragment.sequence > 0;
}

/** The same playlist with a folder before and the viewer's query behind each address in it; nothing is added for empty ones. */
export function withAround(playlist: string, { prefix, query }: Around): string {
  return prefix === "" && query === ""
    ? playlist
    : playlist.replace(/^[^#\n].*$/gm, (uri) => (query === "" ? `${prefix}${uri}` : `${prefix}${uri}?${query}`));
}
