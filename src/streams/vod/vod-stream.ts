import type { Cursor } from "../../base/cursor.ts";
import { messageOf } from "../../base/errors.ts";
import type { StreamName } from "../../base/stream-name.ts";
import type { Micros } from "../../base/time.ts";
import type { Chunk, Format } from "../../media/format.ts";
import type { Packet } from "../../media/packet.ts";
import type { Track, TrackId } from "../../media/track.ts";
import type { TrackStats } from "../../media/track-stats.ts";
import type { HubContext } from "../live/hub-context.ts";
import type { CloseReason, Fragment, Stream, StreamState, VodSource } from "../stream.ts";
import { ChunkProducer, PacketProducer, type Producer, VodCursor } from "./vod-cursor.ts";
import { VodFragments } from "./vod-fragments.ts";

/** MistServer's default `segmentsize`. */
const segmentMs = 1_900;
/** So much of the file's beginning is read to know its rates. */
const measured: Micros = 5_000_000;

/** A file that plays as a stream. Every cursor plays it from its start; closing the stream closes the file. */
export class VodStream implements Stream {
  readonly kind = "vod";
  readonly source: string;
  readonly name: StreamName;
  readonly unixOffset: number;
  readonly closed: Promise<CloseReason>;
  readonly #file: VodSource;
  readonly #context: HubContext;
  readonly #onBroken: (error: unknown) => void;
  readonly #fragments: VodFragments;
  readonly #cursors = new Set<{ end(): void }>();
  readonly #stats = new Map<TrackId, TrackStats>();
  readonly #listeners = new Set<() => void>();
  #resolveClosed: (reason: CloseReason) => void = () => {};
  #state: StreamState = "ready";

  /** `source` says where `file` comes from. `onBroken` is called when the file cannot be read any more. */
  constructor(name: StreamName, source: string, file: VodSource, context: HubContext, onBroken: (error: unknown) => void) {
    this.name = name;
    this.source = source;
    this.#file = file;
    this.#context = context;
    this.#onBroken = onBroken;
    this.unixOffset = context.clock.now();
    this.#fragments = new VodFragments(file, segmentMs, this.unixOffset);
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    void this.#measure();
  }

  get input(): string {
    return this.#file.input;
  }
  get state(): StreamState {
    return this.#state;
  }
  get tracks(): readonly Track[] {
    return this.#state === "ready" ? this.#file.tracks : [];
  }
  get firstTime(): Micros {
    return 0;
  }
  get lastTime(): Micros {
    return this.#file.duration;
  }

  packets(): Cursor<Packet> {
    return this.#cursor(new PacketProducer(), 0);
  }

  chunks(format: Format): Cursor<Chunk> {
    const onError = (error: unknown): void =>
      this.#context.log.write("ERROR", `a packet of the file cannot be written as ${format.name}: ${messageOf(error)}`, {
        stream: this.name,
      });
    return this.#cursor(new ChunkProducer(format, this.#file.tracks, onError), Math.max(this.#context.flushMs(), 1));
  }

  trackStats(id: TrackId): TrackStats | undefined {
    const known = this.#stats.get(id);
    if (known || !this.tracks.some((track) => track.id === id)) return known;
    return { firstTime: 0, lastTime: this.lastTime, bytesPerSecond: 0, maxBytesPerSecond: 0, jitterMs: 0, frameRate: 0, bFrames: false };
  }

  async fragments(): Promise<{ readonly fragments: readonly Fragment[]; readonly ended: boolean }> {
    return { fragments: await this.#fragments.list(), ended: true };
  }

  onChange(run: () => void): Disposable {
    const listener = (): void => run();
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** Ends all viewers and closes the file. */
  async close(reason: CloseReason): Promise<void> {
    if (this.#state !== "ready") return;
    this.#state = "offline";
    for (const cursor of [...this.#cursors]) cursor.end();
    this.#resolveClosed(reason);
    this.#context.emit({ kind: "closed", stream: this, reason });
    for (const listener of this.#listeners) listener();
    this.#listeners.clear();
    try {
      await this.#file[Symbol.asyncDispose]();
    } catch (error) {
      this.#context.log.write("WARN", `closing the file failed: ${messageOf(error)}`, { stream: this.name });
    }
  }

  #cursor<T>(producer: Producer<T>, leastWaitMs: number): VodCursor<T> {
    const cursor: VodCursor<T> = new VodCursor(this.#file, producer, this.#context, {
      leastWaitMs,
      onBroken: this.#onBroken,
      onClose: () => this.#cursors.delete(cursor),
    });
    this.#cursors.add(cursor);
    if (this.#state !== "ready") cursor.end();
    return cursor;
  }

  /** Rates of the first seconds stand for the whole file. */
  async #measure(): Promise<void> {
    const counts = new Map<TrackId, { bytes: number; frames: number; last: Micros; bFrames: boolean }>();
    let start: Micros | undefined;
    try {
      for await (const packet of this.#file.read(0)) {
        start ??= packet.dts;
        if (packet.dts - start > measured || this.#state !== "ready") break;
        const count = counts.get(packet.trackId) ?? { bytes: 0, frames: 0, last: 0, bFrames: false };
        counts.set(packet.trackId, count);
        count.bytes += packet.data.length;
        count.frames++;
        count.last = packet.dts;
        count.bFrames ||= packet.pts !== packet.dts;
      }
    } catch (error) {
      // The end of the stream has closed the file while it was read.
      if (this.#state !== "ready") return;
      this.#context.log.write("WARN", `the file's beginning could not be measured: ${messageOf(error)}`, { stream: this.name });
    }
    for (const [id, { bytes, frames, last, bFrames }] of counts) {
      const span = Math.max(last - (start ?? 0), 1_000) * (frames > 1 ? frames / (frames - 1) : 1);
      const bytesPerSecond = Math.round((bytes * 1e6) / span);
      this.#stats.set(id, {
        firstTime: 0,
        lastTime: this.lastTime,
        bytesPerSecond,
        maxBytesPerSecond: bytesPerSecond,
        jitterMs: 0,
        frameRate: (frames * 1e6) / span,
        bFrames,
      });
    }
    for (const listener of this.#listeners) listener();
  }
}
