import type { Cursor } from "../../base/cursor.ts";
import type { Micros } from "../../base/time.ts";
import type { Packet } from "../../media/packet.ts";
import type { Silence } from "../../media/silence.ts";
import type { Track } from "../../media/track.ts";
import type { Stream, StreamWriter } from "../stream.ts";
import type { Casting } from "./cast.ts";

/** A stream that tells of each packet in the moment in which it was appended. */
type Tapped = { tap(run: () => void): Disposable };

/** What a relay copies into. */
export type RelayTarget = {
  /** Called once, before the first packet. */
  readonly begin: () => StreamWriter;
  readonly cast: (tracks: readonly Track[]) => Casting & { readonly silences: readonly Silence[] };
  /** The source has ended. Called once, and not after the relay was disposed. */
  readonly end: () => void;
};

/** Silence is made for gaps up to this; a longer one is a jump of the source. */
const longestSilence: Micros = 1_000_000;

/**
 * Copies one stream into another, from a keyframe on; media is shared, not copied. From a live stream packets are taken in the
 * moment in which they come, so that whoever watches the copy is not later than who watches the stream.
 */
export class Relay implements Disposable {
  readonly #source: Stream;
  readonly #target: RelayTarget;
  #cursor: Cursor<Packet>;
  readonly #tap: Disposable | undefined;
  #writer: StreamWriter | undefined;
  #tracks: readonly Track[] | undefined;
  #casting: ReturnType<RelayTarget["cast"]> | undefined;
  /** Until when there is silence, for each track that lacks. */
  #silent: Micros[] = [];
  #waiting: Disposable | undefined;
  /** Begins with a keyframe that is still to come. */
  #later: boolean;
  #closed = false;
  #running = false;

  /** `later`: it begins with the next keyframe, or when `begin` is called, and not with the newest one. */
  constructor(source: Stream, target: RelayTarget, later: boolean) {
    this.#source = source;
    this.#target = target;
    this.#cursor = source.packets("live");
    this.#later = later;
    // What is there already is not to come.
    if (later && source.kind === "live") while (this.#cursor.next());
    this.#tap = isTapped(source) ? source.tap(() => this.#run()) : undefined;
  }

  get begun(): boolean {
    return this.#writer !== undefined;
  }

  /** To be called once: packets flow from here on. */
  start(): void {
    this.#run();
  }

  /** Waits no longer, and begins with the newest keyframe that there is. */
  begin(): void {
    if (this.#closed || !this.#later) return;
    this.#later = false;
    this.#waiting?.[Symbol.dispose]();
    this.#cursor[Symbol.dispose]();
    this.#cursor = this.#source.packets("live");
    this.#run();
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#tap?.[Symbol.dispose]();
    this.#waiting?.[Symbol.dispose]();
    this.#cursor[Symbol.dispose]();
  }

  readonly #run = (): void => {
    // A tap may call while the writer's own flush is running.
    if (this.#running || this.#closed) return;
    this.#running = true;
    for (let packet = this.#cursor.next(); packet; packet = this.#cursor.next()) {
      if (this.#later && !this.#starts(packet)) continue;
      this.#later = false;
      this.#copy(packet);
      if (this.#closed) break;
    }
    this.#running = false;
    if (this.#closed) return;
    if (!this.#cursor.ended) {
      this.#waiting = this.#cursor.onReadable(this.#run);
      return;
    }
    this[Symbol.dispose]();
    this.#target.end();
  };

  #starts({ trackId, keyframe }: Packet): boolean {
    const leader = this.#source.tracks.find(({ kind }) => kind === "video")?.id ?? trackId;
    return keyframe && trackId === leader;
  }

  #copy(packet: Packet): void {
    this.#writer ??= this.#target.begin();
    const { tracks } = this.#source;
    if (tracks !== this.#tracks && tracks.length > 0) {
      this.#tracks = tracks;
      this.#casting = this.#target.cast(tracks);
      this.#silent = this.#casting.silences.map(() => packet.dts);
      this.#writer.describe(this.#casting.tracks);
    }
    const trackId = this.#casting?.idOf.get(packet.trackId);
    if (trackId === undefined) return;
    this.#writer.write(trackId === packet.trackId ? packet : { ...packet, trackId });
    // After it: a fragment begins with a picture.
    this.#beSilent(this.#writer, packet.dts);
  }

  #beSilent(writer: StreamWriter, until: Micros): void {
    for (const [at, { track, data, duration }] of this.#casting?.silences.entries() ?? []) {
      let dts = this.#silent[at] ?? until;
      if (Math.abs(until - dts) > longestSilence) dts = until;
      for (; dts <= until; dts += duration) writer.write({ trackId: track.id, dts, pts: dts, keyframe: true, data });
      this.#silent[at] = dts;
    }
  }
}

function isTapped(source: Stream): source is Stream & Tapped {
  return "tap" in source && typeof source.tap === "function";
}
