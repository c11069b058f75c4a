import type { Cursor } from "../../base/cursor.ts";
import type { SluiceError } from "../../base/errors.ts";
import type { StreamName } from "../../base/stream-name.ts";
import type { Micros } from "../../base/time.ts";
import type { Chunk, Format } from "../../media/format.ts";
import type { Packet } from "../../media/packet.ts";
import type { Track, TrackId } from "../../media/track.ts";
import type { TrackStats } from "../../media/track-stats.ts";
import { Changes } from "./changes.ts";
import { ChunkCursor } from "./chunk-cursor.ts";
import { Bandwidth } from "./bandwidth.ts";
import type { MuxSource } from "./chunk-ring.ts";
import { ChunkRings } from "./chunk-rings.ts";
import { Epochs, onlyAdds, sameTracks } from "./epochs.ts";
import { Fragments } from "./fragments.ts";
import { healthOf } from "./health.ts";
import type { HubContext } from "./hub-context.ts";
import { Leader } from "./leader.ts";
import { PacketCursor, type PacketSource } from "./packet-cursor.ts";
import type { Publisher } from "./live-writer.ts";
import { PacketRing, ringBounds } from "./packet-ring.ts";
import { Readers } from "./readers.ts";
import type { CloseReason, Fragment, LiveOptions, StartAt, Stream, StreamState } from "../stream.ts";
import { TrackMeter } from "./track-meter.ts";

/** Complete fragments with which every output can start at once. */
const readyFragments = 3;
/** Fragments that the ring keeps however long they are. */
const keptFragments = 4;
/** A publisher that has been silent for this long may be replaced. */
const replaceableMs = 2_000;
/** A stream with `resume` waits this long for its next publisher. */
const resumeMs = 60_000;

/** A stream that comes in as it happens: the packet ring, what is derived from it, and who reads it. */
export class LiveStream implements Stream, PacketSource, MuxSource {
  readonly kind = "live";
  readonly input = "Buffer";
  readonly name: StreamName;
  readonly packetRing: PacketRing;
  readonly packetReaders: Readers;
  readonly microtask: (run: () => void) => void;
  readonly closed: Promise<CloseReason>;
  #resolveClosed: (reason: CloseReason) => void = () => {};
  readonly #context: HubContext;
  readonly #chunkRings: ChunkRings;
  readonly #epochs = new Epochs();
  readonly #leader = new Leader();
  readonly #fragments: Fragments;
  readonly #meters = new Map<TrackId, TrackMeter>();
  readonly #changes: Changes;
  #options: LiveOptions;
  #state: StreamState = "waiting";
  #publisher: Publisher | undefined;
  #freshPublisher = true;
  #lastActive: number;
  #lastPacket: number | undefined;
  #leftAt: number | undefined;
  #unixOffset: number;
  #wallOffset: number | undefined;
  #full = false;
  #dry = false;
  /** EMPTY was told when the publisher left, and no FULL since. */
  #paused = false;
  readonly #bandwidth = new Bandwidth();
  #flush: Disposable | true | undefined;
  /** Tells the directory's listeners; nobody after `release`. */
  #emit: HubContext["emit"];
  readonly #taps = new Set<() => void>();

  constructor(name: StreamName, options: LiveOptions, context: HubContext) {
    this.name = name;
    this.#options = options;
    this.#context = context;
    this.#emit = context.emit;
    this.microtask = context.microtask;
    this.packetRing = new PacketRing(ringBounds(options.bufferMs));
    this.#fragments = new Fragments(this.packetRing);
    this.packetReaders = new Readers(this.#onReaderError);
    this.#changes = new Changes(this.#onReaderError);
    this.#chunkRings = new ChunkRings(this, context.clock, this.#onReaderError);
    this.#lastActive = context.clock.monotonic();
    this.#unixOffset = context.clock.now();
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
  }

  get options(): LiveOptions {
    return this.#options;
  }
  get source(): string {
    return this.#options.source;
  }
  get state(): StreamState {
    return this.#state;
  }
  get tracks(): readonly Track[] {
    return this.#epochs.tracks;
  }
  get unixOffset(): number {
    return this.#unixOffset;
  }
  get firstTime(): Micros {
    return this.packetRing.oldestTime;
  }
  get lastTime(): Micros {
    return this.packetRing.newestTime;
  }
  get over(): boolean {
    return this.#state === "offline";
  }
  /** True while no other publisher may have the name. */
  get held(): boolean {
    return this.#publisher !== undefined && this.#context.clock.monotonic() - this.#lastActive < replaceableMs;
  }

  packets(start: StartAt = "live"): Cursor<Packet> {
    return new PacketCursor(this, start);
  }

  chunks(format: Format, start: StartAt = "live"): Cursor<Chunk> {
    const ring = this.#chunkRings.of(format, start);
    if (this.over) ring.finish();
    return new ChunkCursor(ring, start, this.microtask);
  }

  trackStats(id: TrackId): TrackStats | undefined {
    return this.#meters.get(id)?.stats(this.firstTime);
  }

  fragments(): Promise<{ readonly fragments: readonly Fragment[]; readonly ended: boolean }> {
    return Promise.resolve({ fragments: this.#fragments.list(), ended: this.over });
  }

  onChange(run: () => void): Disposable {
    return this.#changes.on(run);
  }

  startsAt(sequence: number): boolean {
    return this.#leader.free(sequence) || this.packetRing.isGroup(sequence);
  }
  epochAt(sequence: number): number {
    return this.#epochs.at(sequence);
  }
  tracksOf(epoch: number): readonly Track[] {
    return this.#epochs.tracksOf(epoch);
  }

  /** MistServer's health JSON. */
  health(): Readonly<Record<string, unknown>> {
    const silentMs = this.#lastPacket === undefined ? 0 : this.#context.clock.monotonic() - this.#lastPacket;
    return healthOf({
      tracks: this.tracks,
      meter: (id) => this.#meters.get(id),
      oldest: this.firstTime,
      silentMs,
      maxKeepAwayMs: Math.round(this.#options.bufferMs * 0.9),
    });
  }

  /** Another publisher goes on with the stream; the old one, if there is one, is told. */
  attach(publisher: Publisher, options: LiveOptions, takeover: SluiceError): void {
    const replaced = this.#publisher;
    this.detach(true);
    this.#publisher = publisher;
    this.#options = options;
    this.#freshPublisher = true;
    this.#leftAt = undefined;
    this.#lastActive = this.#context.clock.monotonic();
    this.packetRing.rebound(ringBounds(options.bufferMs));
    // Told when it has no say any more: it closes its writer at once, and that must not end the stream.
    replaced?.abort(takeover);
  }

  /** True while this is the publisher: a replaced one has no say. */
  isPublisher(publisher: Publisher): boolean {
    return this.#publisher === publisher && !this.over;
  }

  /** The publisher has left and the stream stays: its last fragment is complete and the clock for the next one runs. */
  detach(replaced = false): void {
    if (!this.#publisher || this.over) return;
    this.#publisher = undefined;
    this.#leftAt = this.#context.clock.monotonic();
    const completed = this.#fragments.close(this.packetRing.newestTime);
    this.#setState("waiting");
    // Unlike MistServer, which says nothing: who lists live streams by STREAM_BUFFER must learn that this one has paused.
    if (this.#full && !replaced && this.tracks.length > 0) {
      this.#full = false;
      this.#paused = true;
      this.#emit({ kind: "buffer", stream: this, state: "EMPTY" });
    }
    if (completed) this.#changes.tell();
  }

  /** All tracks, from the next packet on. */
  describe(tracks: readonly Track[]): void {
    const before = this.tracks;
    const same = sameTracks(before, tracks);
    if (!same) {
      const fresh = this.packetRing.end === 0;
      const added = onlyAdds(before, tracks);
      const kept = [...tracks];
      this.#epochs.change(this.packetRing.end, kept);
      for (const track of before) {
        const now = tracks.find((other) => other.id === track.id);
        if (now?.codec !== track.codec) this.#meters.delete(track.id);
      }
      for (const { id } of tracks) if (!this.#meters.has(id)) this.#meters.set(id, new TrackMeter());
      this.#leader.describe(kept);
      if (!fresh && !(added && this.#fragments.extend(kept))) this.#fragments.interrupt();
    }
    if (same && !this.#freshPublisher) return;
    this.#freshPublisher = false;
    this.#emit({ kind: "tracks", stream: this });
    if (tracks.length === 0 && before.length > 0) this.#emit({ kind: "buffer", stream: this, state: "EMPTY" });
    this.#changes.tell();
  }

  /** The decode time of each track's last packet. */
  past(): ReadonlyMap<TrackId, Micros> {
    return new Map([...this.#meters].flatMap(([id, meter]) => (meter.active ? [[id, meter.lastTime]] : [])));
  }

  /** Appends a packet of the stream's timeline. `discontinuity`: time was closed up before it. */
  append(packet: Packet, discontinuity: boolean): void {
    const meter = this.#meters.get(packet.trackId);
    if (!meter) return;
    const { clock } = this.#context;
    const now = clock.monotonic();
    this.#lastActive = this.#lastPacket = now;
    if (discontinuity || this.#wallOffset === undefined) {
      if (this.#wallOffset === undefined) this.#unixOffset = clock.now() - Math.round(packet.dts / 1000);
      this.#wallOffset = clock.now() - Math.round(packet.dts / 1000);
      if (discontinuity) {
        for (const each of this.#meters.values()) each.restart();
        this.#fragments.interrupt();
      }
    }
    const starts = this.#leader.starts(packet, this.packetRing.end);
    const sequence = this.packetRing.push(packet, starts);
    if (starts) this.#group(sequence, packet.dts, this.#wallOffset);
    else if (this.packetRing.crowded) this.#trim();
    meter.packet(packet.dts, packet.pts, packet.data.length, now, starts ? sequence : this.packetRing.newestGroup, starts);
    for (const run of this.#taps) run();
    this.#scheduleFlush();
  }

  /** Calls `run` right after each packet was appended, before anybody else hears of it; dispose to stop. */
  tap(run: () => void): Disposable {
    this.#taps.add(run);
    return { [Symbol.dispose]: () => void this.#taps.delete(run) };
  }

  /** Regular work: rates, health, unused formats, and the wait for the next publisher. Gives the reason to end, if any. */
  tick(): CloseReason | undefined {
    const now = this.#context.clock.monotonic();
    for (const meter of this.#meters.values()) meter.tick(this.firstTime);
    this.#chunkRings.tick();
    this.#checkHealth();
    const bytesPerSecond = this.#publisher && this.#bandwidth.news(this.#meters.values(), now);
    if (bytesPerSecond !== undefined) this.#emit({ kind: "bandwidth", stream: this, bytesPerSecond });
    if (this.#leftAt === undefined || now - this.#leftAt < resumeMs) return undefined;
    return { code: "CLEAN_INACTIVE", text: `no publisher has continued the stream for ${resumeMs / 1000} seconds` };
  }

  /** Ends the stream. `error` is what its publisher is told, if it is still there. */
  close(reason: CloseReason, error?: SluiceError): void {
    if (this.over || this.#state === "shutdown") return;
    this.#state = "shutdown";
    if (error) this.#publisher?.abort(error);
    this.#publisher = undefined;
    this.#leftAt = undefined;
    this.#fragments.close(this.packetRing.newestTime);
    if (this.#flush && this.#flush !== true) this.#flush[Symbol.dispose]();
    this.#chunkRings.finish();
    const described = this.tracks.length > 0;
    // As in MistServer: the last media time is told when the buffer ends by itself, not when its publisher has left.
    const server = error !== undefined || reason.code === "CLEAN_INACTIVE";
    if (described) {
      const lastMs = Math.round(this.packetRing.newestTime / 1000);
      if (!this.#paused) this.#emit({ kind: "buffer", stream: this, state: "EMPTY", ...(server && { health: lastMs }) });
      this.#epochs.change(this.packetRing.end, []);
      this.#emit({ kind: "tracks", stream: this });
    }
    this.#state = "offline";
    this.#chunkRings.wake();
    this.packetReaders.wake();
    this.#emit({ kind: "closed", stream: this, reason });
    this.#resolveClosed(reason);
    this.#changes.tell();
    this.#changes.clear();
  }

  /**
   * Its source has left for good: the directory's listeners are told as if it had ended, and hear nothing of it afterwards. For
   * those who watch it goes on: what follows comes from the next writer. Gives false when it is over already.
   */
  release(reason: CloseReason): boolean {
    if (this.over || this.#state === "shutdown") return false;
    this.#publisher = undefined;
    this.#leftAt = undefined;
    this.#fragments.close(this.packetRing.newestTime);
    if (this.#flush && this.#flush !== true) this.#flush[Symbol.dispose]();
    this.#runFlush();
    const { tracks } = this;
    if (tracks.length > 0) {
      if (!this.#paused) this.#emit({ kind: "buffer", stream: this, state: "EMPTY" });
      this.#epochs.change(this.packetRing.end, []);
      this.#emit({ kind: "tracks", stream: this });
      this.#epochs.change(this.packetRing.end, tracks);
    }
    this.#state = "offline";
    this.#emit({ kind: "closed", stream: this, reason });
    this.#emit = () => {};
    this.#state = "waiting";
    this.#changes.tell();
    return true;
  }

  /** Its publisher is to go on elsewhere, and nobody hears of this one any more but those who watch. */
  part(): Publisher | undefined {
    const publisher = this.#publisher;
    this.detach(true);
    this.#emit = () => {};
    return publisher;
  }

  /** True while an output reads it. */
  get watched(): boolean {
    return this.#chunkRings.watched || this.packetReaders.size > 0;
  }

  readonly #onReaderError = (error: unknown): void => {
    this.#context.log.write("ERROR", `a viewer's output failed: ${String(error)}`, { stream: this.name });
  };

  #group(sequence: number, dts: Micros, wallOffset: number): void {
    const wallClock = wallOffset + Math.round(dts / 1000);
    const completed = this.#fragments.group(sequence, dts, this.#options.segmentMs * 1000, wallClock, this.tracks);
    this.#trim();
    if (this.#state === "waiting" && this.#publisher && this.#fragments.count >= readyFragments) this.#becomeReady();
    if (completed) this.#changes.tell();
  }

  #becomeReady(): void {
    for (const meter of this.#meters.values()) meter.tick(this.firstTime);
    this.#setState("ready");
    if (this.#full) return;
    this.#full = true;
    this.#paused = false;
    const health = this.health();
    this.#dry = "issues" in health;
    this.#emit({ kind: "buffer", stream: this, state: "FULL", health });
  }

  #checkHealth(): void {
    if (!this.#full || this.over) return;
    const health = this.health();
    if ("issues" in health === this.#dry) return;
    this.#dry = !this.#dry;
    this.#emit({ kind: "buffer", stream: this, state: this.#dry ? "DRY" : "RECOVER", health });
  }

  #trim(): void {
    this.packetRing.trim(this.#fragments.neededFrom(keptFragments));
    this.#fragments.trim();
    this.#epochs.trim(this.packetRing.first);
  }

  #setState(state: StreamState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#emit({ kind: "state", stream: this, state });
    this.#changes.tell();
  }

  #scheduleFlush(): void {
    if (this.#flush) return;
    if (this.#chunkRings.size === 0 && this.packetReaders.size === 0) return;
    const ms = this.#context.flushMs();
    if (ms > 0) {
      this.#flush = this.#context.clock.after(ms, this.#runFlush);
    } else {
      this.#flush = true;
      this.microtask(this.#runFlush);
    }
  }

  /** One pass over the formats, then one over those who wait. Sockets are written to inside it. */
  readonly #runFlush = (): void => {
    this.#flush = undefined;
    if (this.over) return;
    this.#chunkRings.flush();
    this.packetReaders.wake();
  };
}
