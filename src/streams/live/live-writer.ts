import { SluiceError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Packet } from "../../media/packet.ts";
import type { Track, TrackId } from "../../media/track.ts";
import type { LiveStream } from "./live-stream.ts";
import type { CloseReason, LiveOptions, StreamWriter } from "../stream.ts";
import { Timeline } from "./timeline.ts";

/** The publisher as its stream sees it. */
export type Publisher = {
  abort(error: SluiceError): void;
  /** What follows goes into another stream, which is new. */
  goOn(stream: LiveStream): void;
};

/** One publisher of a live stream. After it was closed or replaced it does nothing any more. */
export class LiveWriter implements StreamWriter, Publisher {
  #stream: LiveStream;
  readonly #options: LiveOptions;
  readonly #end: (reason: CloseReason) => void;
  readonly #log: Log;
  readonly #abort = new AbortController();
  #timeline: Timeline;
  /** Video tracks that have not had a keyframe yet: what comes before it cannot be decoded. */
  readonly #undecodable = new Set<TrackId>();
  #tracks: readonly Track[] = [];
  #ids: ReadonlySet<TrackId> = new Set();
  #video: ReadonlySet<TrackId> = new Set();
  #continued: boolean;
  #jumps = 0;
  #told = false;

  /** `end` closes the stream; called when the publisher closes and the stream does not wait for another. */
  constructor(stream: LiveStream, options: LiveOptions, log: Log, end: (reason: CloseReason) => void) {
    this.#stream = stream;
    this.#options = options;
    this.#log = log;
    this.#end = end;
    this.#continued = stream.packetRing.end > 0;
    this.#timeline = new Timeline(this.#continued ? stream.lastTime : undefined, stream.past());
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get stream(): LiveStream {
    return this.#stream;
  }

  goOn(stream: LiveStream): void {
    this.#stream = stream;
    this.#timeline = new Timeline();
    this.#continued = false;
    this.#jumps = 0;
    for (const id of this.#video) this.#undecodable.add(id);
    if (this.#tracks.length > 0) stream.describe(this.#tracks);
  }

  abort(error: SluiceError): void {
    this.#abort.abort(error);
  }

  describe(tracks: readonly Track[]): void {
    if (!this.stream.isPublisher(this)) return;
    const ids = new Set(tracks.map((track) => track.id));
    if (ids.size !== tracks.length) throw new SluiceError("input.invalid", `two tracks of "${this.stream.name}" have the same id`);
    for (const track of tracks) {
      const before = this.#tracks.find((other) => other.id === track.id);
      if (track.kind === "video" && (before?.kind !== "video" || !equalBytes(before.config, track.config))) this.#undecodable.add(track.id);
    }
    this.#tracks = tracks;
    this.#ids = ids;
    this.#video = new Set(tracks.filter(({ kind }) => kind === "video").map(({ id }) => id));
    this.stream.describe(tracks);
  }

  write(packet: Packet): void {
    const { trackId } = packet;
    if (!this.stream.isPublisher(this)) return;
    if (!this.#ids.has(trackId)) {
      this.#tellUnknown(trackId);
      return;
    }
    if (this.#undecodable.size > 0 && this.#undecodable.has(trackId)) {
      if (!packet.keyframe) return;
      this.#undecodable.delete(trackId);
    }
    const dts = this.#timeline.map(trackId, packet.dts, this.#video.has(trackId));
    if (dts === undefined) return;
    const discontinuity = this.#continued || this.#timeline.jumps !== this.#jumps;
    if (discontinuity) this.#tellJump();
    const pts = dts + Math.max(0, packet.pts - packet.dts);
    this.stream.append({ trackId, dts, pts, keyframe: packet.keyframe, data: packet.data }, discontinuity);
  }

  close(reason: CloseReason): Promise<void> {
    if (this.stream.isPublisher(this)) {
      if (this.#options.resume) this.stream.detach();
      else this.#end(reason);
    }
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close({ code: "UNKNOWN", text: "the publisher's connection ended" });
  }

  #tellJump(): void {
    if (!this.#continued) this.#log.write("WARN", "the publisher's timestamps jumped; the gap was closed up", { stream: this.stream.name });
    this.#continued = false;
    this.#jumps = this.#timeline.jumps;
  }

  #tellUnknown(trackId: TrackId): void {
    if (this.#told) return;
    this.#told = true;
    this.#log.write("WARN", `packets of track ${trackId}, which was not described, are dropped`, { stream: this.stream.name });
  }
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
