import type { Cursor } from "../base/cursor.ts";
import type { ExitReason } from "../base/exit.ts";
import type { StreamName } from "../base/stream-name.ts";
import type { Micros } from "../base/time.ts";
import type { Chunk, Format } from "../media/format.ts";
import type { Packet } from "../media/packet.ts";
import type { Track, TrackId } from "../media/track.ts";
import type { TrackStats } from "../media/track-stats.ts";

/** MistServer's status words in the order of its status numbers (0 to 5). `ready`: every output starts at once. */
export const streamStates = ["offline", "initializing", "booting", "waiting", "ready", "shutdown"] as const;
export type StreamState = (typeof streamStates)[number];

/**
 * Where a new cursor begins: "live" at the newest keyframe, "oldest" at the oldest keyframe that the ring still has.
 * A stream of a file begins at its start whatever is asked.
 */
export type StartAt = "live" | "oldest";

/** Why a stream or an input ended; `code` is MistServer's machine-readable exit reason. */
export type CloseReason = ExitReason;

/**
 * A part of a stream that begins at a keyframe and can be packaged by itself: one HLS segment.
 * Groups of pictures are joined until `segmentsize` is reached; a stream without video is cut by time.
 */
export type Fragment = {
  /** Counts up from 0 over the life of the stream, without gaps. */
  readonly sequence: number;
  readonly start: Micros;
  readonly duration: Micros;
  /** True when the tracks' configuration changed or time jumped at its start. */
  readonly discontinuity: boolean;
  /** Unix milliseconds of its start. */
  readonly wallClock: number;
  /** The tracks in force in this fragment. */
  readonly tracks: readonly Track[];
  /** Its packets in decode order. Rejects with "access.ended" when they have left the ring. */
  packets(): Promise<readonly Packet[]>;
};

/** What plays under a name. Who holds it may read; nothing here can change it. */
export interface Stream {
  readonly name: StreamName;
  /** "live": comes in as it happens. "vod": a file, each cursor plays it from its start in real time. */
  readonly kind: "live" | "vod";
  /** Where it comes from, without passwords: `push://`, `/media/film.mp4`. */
  readonly source: string;
  /** MistServer's name of what reads it: `Buffer` for live streams, `MP4`, `EBML`, `TS`, `FLV` for files. */
  readonly input: string;
  readonly state: StreamState;
  readonly tracks: readonly Track[];
  /** False for a live stream that has no publisher now, or a silent one. */
  readonly held?: boolean;
  /** Unix milliseconds at media time zero. */
  readonly unixOffset: number;
  /** Media time of the oldest and newest packet that can still be read; for files, start and end. */
  readonly firstTime: Micros;
  readonly lastTime: Micros;
  packets(start?: StartAt): Cursor<Packet>;
  /** Muxed once for each format, shared by all of its viewers; the first item is the header. */
  chunks(format: Format, start?: StartAt): Cursor<Chunk>;
  /** What is known of a track's rate and regularity; undefined for an unknown id. */
  trackStats(id: TrackId): TrackStats | undefined;
  /** Complete fragments, oldest first; `ended` when no more will come. For files this is the whole file. */
  fragments(): Promise<{ readonly fragments: readonly Fragment[]; readonly ended: boolean }>;
  /** Calls `run` after each change of state, tracks or fragments; dispose to stop. */
  onChange(run: () => void): Disposable;
  /** Resolves once, when the stream has ended. Never rejects. */
  readonly closed: Promise<CloseReason>;
}

/** The publisher's end of a live stream. Times may start anywhere and wrap nowhere; the writer maps them onto the stream's timeline. */
export interface StreamWriter extends AsyncDisposable {
  readonly stream: Stream;
  /** Declares all tracks of the input; call again whenever one is added, removed or reconfigured. */
  describe(tracks: readonly Track[]): void;
  /** Takes over `packet.data`: it must not be a view into a socket's pooled buffer. */
  write(packet: Packet): void;
  close(reason: CloseReason): Promise<void>;
  /** Aborted with a `SluiceError` when the server ends the publisher (`stop_sessions`, takeover, shutdown). */
  readonly signal: AbortSignal;
}

/**
 * What is shown under a name while its own source is not there, and to those who were there then also afterwards: it is fed from
 * one stream after the other. Times go on over each change, which is at a keyframe; fragments mark it as a discontinuity.
 */
export interface Program extends Disposable {
  /** What its viewers watch. No event tells of it, and it is not in the directory. */
  readonly stream: Stream;
  /** What feeds it now. */
  readonly source: Stream | undefined;
  /** True while an output that lasts reads it; who fetches segments is none. */
  readonly watched: boolean;
  /**
   * Goes over to `source`: at its next keyframe while something else is shown, else with its newest one. `onBegun` is called when
   * it does and what fed it before is left, `onEnd` when `source` has no more, in this order or alone.
   */
  feed(source: Stream, onEnd: () => void, onBegun?: () => void): void;
  /** Leaves what feeds it; its viewers wait. */
  pause(): void;
  /** Ends it and its viewers; so does disposing. */
  end(reason: CloseReason): void;
}

/** Random access to a recorded input, opened once and shared by all of its viewers. */
export interface VodSource extends AsyncDisposable {
  /** MistServer's name of the input: `MP4`, `EBML`, `TS`, `FLV`. */
  readonly input: string;
  readonly tracks: readonly Track[];
  readonly duration: Micros;
  /** Decode times at which playing can start, ascending; first is 0 or the first packet's. */
  keyframes(): Promise<readonly Micros[]>;
  /** Packets with dts >= `from` (a keyframe time), interleaved by dts. Ends at the end of the file. */
  read(from: Micros): AsyncIterable<Packet>;
}

/** How a live stream is kept. Times in milliseconds as in MistServer's configuration. */
export type LiveOptions = {
  /** Media that the ring keeps at least (`DVR`). */
  readonly bufferMs: number;
  /** Least length of a fragment (`segmentsize`). */
  readonly segmentMs: number;
  /** Keep the stream when its publisher leaves and let the next one continue it. */
  readonly resume: boolean;
  /** Where it comes from, for people and the API: `push://`. */
  readonly source: string;
};

/** What happens to streams; the gate makes triggers of it. */
export type StreamEvent =
  | { readonly kind: "opened"; readonly stream: Stream }
  | { readonly kind: "state"; readonly stream: Stream; readonly state: StreamState }
  | { readonly kind: "tracks"; readonly stream: Stream }
  /**
   * MistServer's STREAM_BUFFER; `health` is its JSON. EMPTY has none when the publisher has left; when the server ends
   * the stream it is the media time of the last packet, ms.
   */
  | {
      readonly kind: "buffer";
      readonly stream: Stream;
      readonly state: "FULL" | "DRY" | "RECOVER" | "EMPTY";
      readonly health?: Readonly<Record<string, unknown>> | number;
    }
  /** What all tracks of a live stream bring in together has changed; at most once a second. */
  | { readonly kind: "bandwidth"; readonly stream: Stream; readonly bytesPerSecond: number }
  | { readonly kind: "closed"; readonly stream: Stream; readonly reason: CloseReason };

/** All streams that play now. */
export interface StreamDirectory extends AsyncDisposable {
  get(name: StreamName): Stream | undefined;
  list(): readonly Stream[];
  /**
   * Makes the caller the publisher of a live stream. A publisher that has been silent for more than 2 seconds is replaced;
   * a living one makes this throw "access.taken", unless `takeOver` is true: then it is told so and the caller goes on with the stream.
   */
  publish(name: StreamName, options: LiveOptions, takeOver?: boolean): StreamWriter;
  /**
   * Resolves when nobody publishes the stream, in the order in which callers came; rejects with the signal's reason when that is
   * aborted before. A stream whose publisher leaves while somebody waits stays for those who watch: the next one has 5 seconds
   * to go on with it.
   */
  vacant(name: StreamName, signal: AbortSignal): Promise<void>;
  /** Puts a recorded input under a name; it owns `source` and closes it when `end` is called. */
  open(name: StreamName, source: VodSource, description: string): Stream;
  /** Plays a recorded input that is in no list and that no event tells of; it owns `source` and closes it when disposed. */
  openAside(name: StreamName, source: VodSource, description: string): AsyncDisposable & { readonly stream: Stream };
  /** Ends a stream of either kind, and by a command (CLEAN_CONTROLLER_REQ) its programmes, too; false if there is none. */
  end(name: StreamName, reason: CloseReason): Promise<boolean>;
  /**
   * Takes those who watch a live stream from its publisher: they go on with the programme, and the publisher with a stream that is
   * new and has the same name. Undefined when nobody publishes it.
   */
  split(name: StreamName): Program | undefined;
  /** A programme that nothing feeds yet. */
  program(name: StreamName, options: LiveOptions): Program;
  /**
   * Asked when a live stream has lost its publisher for good. Who gives a function keeps those who watch: the stream ends for
   * all listeners of events, and the function gets the programme on which its viewers go on. One is asked at a time.
   */
  onLeaving(keep: (stream: Stream) => ((program: Program) => void) | undefined): Disposable;
  /** MistServer's health JSON of a live stream. */
  health(name: StreamName): Readonly<Record<string, unknown>> | undefined;
  onEvent(run: (event: StreamEvent) => void): Disposable;
}
