import { Ring } from "../../base/ring.ts";
import type { Micros } from "../../base/time.ts";
import type { Chunk, Format, Muxer } from "../../media/format.ts";
import type { Packet } from "../../media/packet.ts";
import type { Track } from "../../media/track.ts";
import type { PacketRing } from "./packet-ring.ts";
import { Readers } from "./readers.ts";

/** Chunks older than this are dropped, if a viewer does not need them to start. */
const keptMicros: Micros = 10_000_000;
/** The same for their bytes. */
const keptBytes = 32 * 1024 * 1024;

/** What a chunk ring reads: a stream's packets and where its tracks changed. */
export type MuxSource = {
  readonly packetRing: PacketRing;
  /** True if a decoder can start with this packet. */
  startsAt(sequence: number): boolean;
  /** The number of the tracks that are in force at a packet; rises. */
  epochAt(sequence: number): number;
  tracksOf(epoch: number): readonly Track[];
};

/** From which chunk on which header holds. */
export type ChunkEpoch = {
  readonly number: number;
  readonly header: Chunk;
  /** What a viewer of an earlier epoch needs to go on here. */
  readonly inBand: Chunk | undefined;
};

type Slot = { readonly chunk: Chunk; readonly epoch: ChunkEpoch };

/**
 * The muxed bytes of one format, made once for all of its viewers. At each flush the packets that came since the last one
 * become one chunk (two if a keyframe is among them, so that a viewer can start there).
 *
 *     packets  K . . . | . . . . | . . K . . |          | flush
 *     chunks  [K . . .] [. . . .] [. .][K . .]
 */
export class ChunkRing {
  readonly readers: Readers;
  readonly #source: MuxSource;
  readonly #slots = new Ring<Slot>(64);
  readonly #keyframes = new Ring<number>(16);
  readonly #muxer: Muxer;
  #epoch: ChunkEpoch;
  #at: number;
  #bytes = 0;
  #cursors = 0;
  #finished = false;
  #told = false;
  readonly #onError: (error: unknown) => void;

  #pieces: Uint8Array[] = [];
  #pieceBytes = 0;
  #pieceKeyframe = false;
  #pieceDts: Micros = 0;

  /** Begins at packet `from` (a group's start), or at the next packet that a viewer can start with when that is -1. */
  constructor(format: Format, source: MuxSource, from: number, onError: (error: unknown) => void) {
    this.#source = source;
    this.#onError = onError;
    this.readers = new Readers(onError);
    this.#at = from < 0 ? source.packetRing.end : from;
    const number = source.epochAt(this.#at);
    this.#muxer = format.createMuxer(source.tracksOf(number));
    this.#epoch = { number, header: { bytes: this.#muxer.header, keyframe: false, dts: 0 }, inBand: undefined };
    this.flush();
  }

  /** Cursors that read it. It costs nothing while there is none. */
  get cursors(): number {
    return this.#cursors;
  }
  get first(): number {
    return this.#slots.first;
  }
  get end(): number {
    return this.#slots.end;
  }
  /** Number of the newest chunk that a viewer can start with, or -1. */
  get newestKeyframe(): number {
    return this.#keyframes.get(this.#keyframes.end - 1) ?? -1;
  }
  get oldestKeyframe(): number {
    return this.#keyframes.get(this.#keyframes.first) ?? -1;
  }
  get finished(): boolean {
    return this.#finished;
  }

  slot(number: number): Slot | undefined {
    return this.#slots.get(number);
  }

  /** A cursor was made. Muxes what came while nobody watched. */
  join(): void {
    if (this.#cursors++ === 0 && !this.#finished) this.flush();
  }

  /** A cursor was disposed. */
  leave(): void {
    this.#cursors--;
  }

  /** Muxes the packets that came since the last flush. Does not wake anybody. */
  flush(): void {
    const ring = this.#source.packetRing;
    if (this.#at < ring.first) this.#at = Math.max(ring.first, ring.newestGroup);
    for (; this.#at < ring.end; this.#at++) {
      const packet = ring.get(this.#at);
      if (!packet) continue;
      const epoch = this.#source.epochAt(this.#at);
      if (epoch !== this.#epoch.number) this.#retrack(epoch, packet.dts);
      const starts = this.#source.startsAt(this.#at);
      if (starts && !this.#pieceKeyframe) {
        this.#cut();
        this.#pieceKeyframe = true;
      }
      if (this.#pieces.length === 0) this.#pieceDts = packet.dts;
      this.#mux(packet);
    }
    this.#cut();
    this.#trim();
  }

  /** Muxes the rest and the format's end. */
  finish(): void {
    if (this.#finished) return;
    if (this.#cursors > 0) {
      this.flush();
      this.#pieceDts = this.#source.packetRing.newestTime;
      for (const piece of this.#muxer.end()) this.#add(piece);
      this.#cut();
    }
    this.#finished = true;
  }

  /** A packet that the format cannot carry is left out and told once: one bad packet must not end all viewers. */
  #mux(packet: Packet): void {
    try {
      for (const piece of this.#muxer.add(packet)) this.#add(piece);
    } catch (error) {
      if (!this.#told) this.#onError(error);
      this.#told = true;
    }
  }

  #retrack(number: number, dts: Micros): void {
    this.#cut();
    for (const piece of this.#muxer.retrack(this.#source.tracksOf(number), dts)) this.#add(piece);
    const inBand = this.#pieces.length > 0 ? { bytes: this.#joined(), keyframe: false, dts } : undefined;
    this.#epoch = { number, header: { bytes: this.#muxer.header, keyframe: false, dts }, inBand };
    if (inBand) this.#append(inBand);
  }

  #add(piece: Uint8Array): void {
    if (piece.length === 0) return;
    this.#pieces.push(piece);
    this.#pieceBytes += piece.length;
  }

  #cut(): void {
    if (this.#pieces.length === 0) return; // a keyframe of a track that the format leaves out still marks the next chunk
    this.#append({ bytes: this.#joined(), keyframe: this.#pieceKeyframe, dts: this.#pieceDts });
    this.#pieceKeyframe = false;
  }

  #append(chunk: Chunk): void {
    const number = this.#slots.push({ chunk, epoch: this.#epoch });
    this.#bytes += chunk.bytes.length;
    if (chunk.keyframe) this.#keyframes.push(number);
  }

  #joined(): Uint8Array {
    const bytes = new Uint8Array(this.#pieceBytes);
    let at = 0;
    for (const piece of this.#pieces) {
      bytes.set(piece, at);
      at += piece.length;
    }
    this.#pieces.length = 0;
    this.#pieceBytes = 0;
    return bytes;
  }

  #trim(): void {
    const newest = this.#slots.get(this.#slots.end - 1)?.chunk.dts ?? 0;
    const needed = this.newestKeyframe < 0 ? this.#slots.end : this.newestKeyframe;
    for (;;) {
      const oldest = this.#slots.get(this.#slots.first)?.chunk;
      if (!oldest || (newest - oldest.dts <= keptMicros && this.#bytes <= keptBytes)) break;
      if (this.#slots.first >= needed && this.#bytes <= 2 * keptBytes) break;
      this.#bytes -= oldest.bytes.length;
      this.#slots.drop();
    }
    while ((this.#keyframes.get(this.#keyframes.first) ?? this.#slots.first) < this.#slots.first) this.#keyframes.drop();
  }
}
