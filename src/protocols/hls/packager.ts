import { createHmac, createSecretKey, type KeyObject, randomBytes } from "node:crypto";
import { isSluiceError, SluiceError } from "../../base/errors.ts";
import { muxSegment } from "../../containers/mpegts/segment.ts";
import type { CodecName } from "../../media/codec.ts";
import type { Track } from "../../media/track.ts";
import type { Fragment, Stream } from "../../streams/stream.ts";
import { playableTracks } from "../protocol.ts";
import { isBreak, mediaPlaylist, multivariantPlaylist, type Variant } from "./playlist.ts";

/** What players take from MPEG-TS segments; no browser player reads Opus from them. */
export const hlsCodecs = ["h264", "hevc", "aac", "mp3"] as const satisfies readonly CodecName[];

/** Muxed segments that are kept beyond the playlist's window, for viewers who are late. */
const spareSegments = 4;
/** Part of the segment that is not codec data, for the bandwidth that is promised. */
const overhead = 1.1;

/** The segments that a stream has now. */
export type FragmentList = { readonly fragments: readonly Fragment[]; readonly ended: boolean };

/** The tracks of one media playlist and the name under which it is asked for: `1_2`. */
export type Selection = { readonly id: string; readonly tracks: readonly Track[] };

/**
 * Makes playlists and segments of one stream for all of its viewers. A segment is muxed when it is first asked for and
 * shared by all; nothing happens while nobody asks. It depends on its fragment alone, so any order of requests gives
 * the same bytes.
 */
export class Packager {
  readonly #stream: Stream;
  readonly #window: number;
  readonly #segments = new Map<string, Map<string, Promise<Uint8Array>>>();
  readonly #playlists = new Map<string, { readonly key: string; readonly text: string }>();
  /** Signs the names of shared segments: only who has seen them in a playlist knows them. */
  readonly #secret: KeyObject | undefined;
  readonly #selections = new Map<string, Selection>();
  #bandwidth: { readonly peak: number; readonly average: number } | undefined;
  #longest = 0;
  #breaks = 0;
  #breaksCountedTo = 0;

  /** `window` is the number of segments in a live playlist. `shared`: the names of live segments cannot be guessed. */
  constructor(stream: Stream, window: number, shared = false) {
    this.#stream = stream;
    this.#window = window;
    this.#secret = shared && stream.kind === "live" ? createSecretKey(randomBytes(32)) : undefined;
  }

  /** True when a segment's name alone says that its reader was shown a playlist. */
  get shared(): boolean {
    return this.#secret !== undefined;
  }

  /** Forgets what was muxed; the stream has ended. */
  clear(): void {
    this.#segments.clear();
    this.#playlists.clear();
  }

  /** The tracks that `id` (`1_2`, `1`) names, at most one of each kind; undefined when there are no such tracks. */
  select(id: string, list: FragmentList): Selection | undefined {
    const known = [...this.#stream.tracks, ...(list.fragments.at(-1)?.tracks ?? []), ...(list.fragments[0]?.tracks ?? [])];
    const wanted = id.split("_").map(Number);
    const tracks = wanted.map((trackId) => playableTracks(known, hlsCodecs).find((track) => track.id === trackId));
    const video = tracks.find((track) => track?.kind === "video");
    const audio = tracks.find((track) => track?.kind === "audio");
    const found = [video, audio].filter((track) => track !== undefined);
    if (found.length !== wanted.length) return this.#selections.get(wanted.join("_"));
    const selection = { id: idOf(found), tracks: found };
    // What is shown in a stream's place may lack one of its tracks for a while: who plays these goes on with the others.
    this.#selections.set(wanted.join("_"), selection);
    return selection;
  }

  /** The multivariant playlist. Throws "input.unsupported" when no track can be carried. */
  async multivariant(list: FragmentList): Promise<string> {
    const newest = list.fragments.at(-1);
    const tracks = playableTracks(newest?.tracks ?? this.#stream.tracks, hlsCodecs);
    const videos = tracks.filter((track) => track.kind === "video");
    const audios = tracks.filter((track) => track.kind === "audio");
    const audio = audios.find((track) => track.codec === "aac") ?? audios[0];
    const sets = videos.length > 0 ? videos.map((video) => (audio ? [video, audio] : [video])) : audio ? [[audio]] : [];
    if (sets.length === 0)
      throw new SluiceError("input.unsupported", `no track of the stream plays over HLS, which takes ${hlsCodecs.join(", ")}`);
    const variants: Variant[] = [];
    for (const set of sets) variants.push(await this.#variant(set, list));
    return multivariantPlaylist(variants);
  }

  /** The media playlist of a selection, without tokens. */
  playlist(selection: Selection, list: FragmentList): string {
    const { kind } = this.#stream;
    const shown = kind === "vod" ? list.fragments : list.fragments.slice(-this.#window);
    const key = [shown[0]?.sequence, shown.at(-1)?.sequence, list.ended, this.#targetDuration(list)].join();
    const kept = this.#playlists.get(selection.id);
    if (kept?.key === key) return kept.text;
    const text = this.#text(shown, list, kind === "vod" || list.ended);
    this.#playlists.set(selection.id, { key, text });
    return text;
  }

  /** The last media playlist of a viewer who may not go on: what it has got until media time `untilMs`, and then the end. */
  lastPlaylist(list: FragmentList, untilMs: number): string {
    const window = list.fragments.slice(-this.#window);
    const got = (fragment: Fragment): boolean => (fragment.start + fragment.duration) / 1000 <= untilMs;
    // Not older ones if there is a choice: a playlist's first segment may only go forward (RFC 8216 6.2.2). And never none: players take that for a fault.
    // Of shared segments nobody knows who got which; the newest one can hardly be among them.
    if (this.shared) return this.#text(window.length > 1 ? window.slice(0, -1) : window, list, true);
    const choices = [window.filter(got), list.fragments.filter(got).slice(-this.#window), window.slice(0, 1)];
    return this.#text(choices.find(({ length }) => length > 0) ?? [], list, true);
  }

  /** Milliseconds that a live playlist spans. */
  windowMs(list: FragmentList): number {
    return list.fragments.slice(-this.#window).reduce((sum, fragment) => sum + fragment.duration, 0) / 1000;
  }

  /** The segment of that name, undefined when the stream does not have it (any more). The bytes are shared: nobody may change them. */
  async segment(selection: Selection, name: string, list: FragmentList): Promise<Uint8Array | undefined> {
    let kept = this.#segments.get(selection.id);
    if (!kept) this.#segments.set(selection.id, (kept = new Map()));
    const known = kept.get(name);
    if (known) return known;
    const fragment = this.#fragmentOf(name, list);
    if (!fragment || this.#segmentName(fragment) !== name) return undefined;
    const segment = this.#mux(selection, fragment);
    kept.set(name, segment);
    for (const oldest of kept.keys()) {
      if (kept.size <= this.#window + spareSegments) break;
      kept.delete(oldest);
    }
    try {
      return await segment;
    } catch (error) {
      kept.delete(name);
      if (isSluiceError(error, "access.ended")) return undefined;
      throw error;
    }
  }

  /** Media time at which a segment ends, ms; undefined when the stream does not have it any more. */
  endMs(name: string, list: FragmentList): number | undefined {
    const fragment = this.#fragmentOf(name, list);
    return fragment && (fragment.start + fragment.duration) / 1000;
  }

  #text(fragments: readonly Fragment[], list: FragmentList, ended: boolean): string {
    const { kind } = this.#stream;
    const uri = (fragment: Fragment): string => this.#segmentName(fragment);
    const targetDuration = this.#targetDuration(list);
    const discontinuitySequence = this.#breaksBefore(fragments[0]?.sequence ?? 0, list);
    return mediaPlaylist({ kind, fragments, uri, targetDuration, discontinuitySequence, ended });
  }

  #fragmentOf(name: string, { fragments }: FragmentList): Fragment | undefined {
    return fragments[Number(name.split("_")[0]) - (fragments[0]?.sequence ?? 0)];
  }

  async #mux(selection: Selection, fragment: Fragment): Promise<Uint8Array> {
    const packets = await fragment.packets();
    // A track can come back reconfigured under its id, so the configuration of the fragment counts.
    const ids = new Set(selection.tracks.map((track) => track.id));
    const tracks = fragment.tracks.filter((track) => ids.has(track.id));
    return muxSegment(tracks, packets, fragment.sequence);
  }

  /** A live segment is told apart from that of an earlier run of the stream by its wall-clock time, one of a file by its place. */
  #segmentName(fragment: Fragment): string {
    const mark = this.#stream.kind === "vod" ? fragment.start : fragment.wallClock;
    const name = `${fragment.sequence}_${Math.round(Math.abs(mark)).toString(36)}`;
    return this.#secret ? `${name}_${createHmac("sha256", this.#secret).update(name).digest("base64url").slice(0, 22)}.ts` : `${name}.ts`;
  }

  /** Never falls, and has room above the longest fragment so far, because it may not change while somebody watches. */
  #targetDuration(list: FragmentList): number {
    for (const fragment of list.fragments) this.#longest = Math.max(this.#longest, fragment.duration / 1e6);
    return this.#stream.kind === "vod" ? Math.max(1, Math.ceil(this.#longest)) : Math.floor(this.#longest) + 1;
  }

  #breaksBefore(sequence: number, list: FragmentList): number {
    for (const fragment of list.fragments) {
      if (fragment.sequence >= this.#breaksCountedTo && fragment.sequence < sequence && isBreak(fragment)) this.#breaks++;
    }
    this.#breaksCountedTo = Math.max(this.#breaksCountedTo, sequence);
    return this.#breaks;
  }

  async #variant(tracks: readonly Track[], list: FragmentList): Promise<Variant> {
    const stats = tracks.map((track) => this.#stream.trackStats(track.id));
    let peak = 0;
    let average = 0;
    for (const stat of stats) {
      peak += (stat?.maxBytesPerSecond ?? 0) * 8;
      average += (stat?.bytesPerSecond ?? 0) * 8;
    }
    if (peak <= 0)
      ({ peak, average } = this.#bandwidth ??= await measure(
        this.#stream.kind === "vod" ? list.fragments.slice(0, 3) : list.fragments.slice(-3),
      ));
    const video = tracks.find((track) => track.kind === "video");
    const frameRate = video ? (video.frameRate ?? stats[tracks.indexOf(video)]?.frameRate ?? 0) : 0;
    const bandwidth = Math.max(1, peak, average) * overhead;
    return { uri: `${idOf(tracks)}/index.m3u8`, tracks, bandwidth, averageBandwidth: Math.max(1, average) * overhead, frameRate };
  }
}

/** True for names that only a playlist can have told, as far as can be seen. */
export function isSharedName(name: string | undefined): name is string {
  return name !== undefined && /^\d+_[0-9a-z]+_[\w-]{22}\.ts$/.test(name);
}

function idOf(tracks: readonly Track[]): string {
  return tracks.map((track) => track.id).join("_");
}

/** Bits per second of a stream that has no statistics, from some of its fragments. */
async function measure(fragments: readonly Fragment[]): Promise<{ peak: number; average: number }> {
  let peak = 0;
  let bits = 0;
  let seconds = 0;
  for (const fragment of fragments) {
    const packets = await fragment.packets();
    const size = packets.reduce((sum, packet) => sum + packet.data.length, 0) * 8;
    if (fragment.duration <= 0) continue;
    bits += size;
    seconds += fragment.duration / 1e6;
    peak = Math.max(peak, size / (fragment.duration / 1e6));
  }
  return { peak, average: seconds > 0 ? bits / seconds : 0 };
}
