import type { Micros } from "../../base/time.ts";
import type { Packet } from "../../media/packet.ts";
import type { Track, TrackId } from "../../media/track.ts";
import { type ElementaryWriter, elementaryStream, elementaryWriter } from "./elementary-writer.ts";
import { PacketWriter } from "./packet-writer.ts";
import { pesHeaderSize, ticksOf, writePesHeader } from "./pes.ts";
import { patPid, patSection, pmtPid, pmtSection } from "./psi.ts";

const firstPid = 0x100;
/** Ticks at media time 0: with the lead taken off, the clock is not negative for a stream that begins at 0. */
const startTicks = 90_000;
/**
 * Ticks by which the program clock is behind the decode times. Audio that was joined comes up to `joinMicros` after its
 * time, publishers interleave loosely, and ISO/IEC 13818-1 2.4.2.6 allows one second.
 */
const leadTicks = 45_000;
/** Audio frames are joined until a PES packet lasts so long: a header and half a transport packet saved for each frame. */
const joinMicros: Micros = 100_000;
/** A frame that is further than this from where the one before ended starts a PES packet with a time of its own. */
const toleranceMicros: Micros = 2000;
/** Bytes after which a PES packet of audio is not made longer. */
const joinBytes = 16_384;

/** A track on its PID, with the audio that waits to be joined. */
type Lane = {
  readonly pid: number;
  readonly audio: boolean;
  readonly writer: ElementaryWriter;
  pending: Uint8Array[];
  pendingBytes: number;
  /** Time of the first frame that waits, and where the last one ends. */
  start: Micros;
  end: Micros;
};

/** Writes the packets of one program as transport packets: what the endless muxer and the segment muxer have in common. */
export class ProgramWriter {
  readonly out = new PacketWriter();
  readonly #lanes = new Map<TrackId, Lane>();
  readonly #pat: Uint8Array;
  readonly #pmt: Uint8Array;
  readonly #clock: Lane | undefined;
  /** True when there is a video track: its keyframes are where a decoder can start. */
  readonly hasVideo: boolean;

  /** Tracks that cannot be carried are left out. `version` is that of the program map. */
  constructor(tracks: readonly Track[], version = 0) {
    let pid = firstPid;
    for (const track of tracks) {
      const writer = elementaryWriter(track);
      if (!writer) continue;
      const audio = track.kind === "audio";
      this.#lanes.set(track.id, { pid: pid++, audio, writer, pending: [], pendingBytes: 0, start: 0, end: 0 });
    }
    const lanes = [...this.#lanes.values()];
    this.#clock = lanes.find((lane) => !lane.audio) ?? lanes[0];
    this.hasVideo = lanes.some((lane) => !lane.audio);
    const streams = lanes.map((lane) => elementaryStream(lane.writer, lane.pid));
    this.#pat = patSection(pmtPid, 0);
    // 0x1fff says that there is no clock.
    this.#pmt = pmtSection(streams, this.#clock?.pid ?? 0x1fff, version);
  }

  has(id: TrackId): boolean {
    return this.#lanes.has(id);
  }

  isVideo(id: TrackId): boolean {
    return this.#lanes.get(id)?.audio === false;
  }

  /** Program association and program map. */
  psi(): void {
    this.out.section(patPid, this.#pat);
    this.out.section(pmtPid, this.#pmt);
  }

  /** One packet; `last` ends its track's part of a segment, with the continuity counter at 0 again. */
  add(packet: Packet, last = false): void {
    const lane = this.#lanes.get(packet.trackId);
    if (!lane) return;
    const pieces = lane.writer.pieces(packet);
    const size = sizeOf(pieces);
    if (lane.audio) {
      this.#join(lane, packet, pieces, size, last);
      return;
    }
    if (size > 0) this.#pes(lane, packet.pts, packet.dts, pieces, size, packet.keyframe, last);
    for (const other of this.#lanes.values()) if (other.pending.length > 0 && packet.dts - other.start >= joinMicros) this.#flush(other);
  }

  /** Writes the audio that waits. */
  flush(): void {
    for (const lane of this.#lanes.values()) this.#flush(lane);
  }

  #join(lane: Lane, packet: Packet, pieces: readonly Uint8Array[], size: number, last: boolean): void {
    if (size === 0) return;
    const gap = Math.abs(packet.dts - lane.end) > toleranceMicros;
    if (lane.pending.length > 0 && (gap || lane.pendingBytes + size > joinBytes)) this.#flush(lane);
    if (lane.pending.length === 0) {
      lane.start = packet.dts;
      lane.end = packet.dts;
    }
    for (const piece of pieces) lane.pending.push(piece);
    lane.pendingBytes += size;
    lane.end += lane.writer.duration(packet);
    if (last || lane.end - lane.start >= joinMicros) this.#flush(lane, last);
  }

  #flush(lane: Lane, align = false): void {
    if (lane.pending.length === 0) return;
    this.#pes(lane, lane.start, lane.start, lane.pending, lane.pendingBytes, !this.hasVideo, align);
    lane.pending = [];
    lane.pendingBytes = 0;
  }

  #pes(
    lane: Lane,
    ptsMicros: Micros,
    dtsMicros: Micros,
    pieces: readonly Uint8Array[],
    size: number,
    start: boolean,
    align: boolean,
  ): void {
    const dts = ticksOf(dtsMicros) + startTicks;
    const pts = ticksOf(ptsMicros) + startTicks;
    const header = pesHeaderSize(pts, dts);
    const marks = { pcr: lane === this.#clock ? dts - leadTicks : undefined, randomAccess: start };
    const fill = (buffer: Uint8Array, at: number): void => {
      writePesHeader(buffer, at, lane.writer.streamId, pts, dts, size);
      let next = at + header;
      for (const piece of pieces) {
        buffer.set(piece, next);
        next += piece.length;
      }
    };
    this.out.pes(lane.pid, header + size, marks, fill, align);
  }
}

function sizeOf(pieces: readonly Uint8Array[]): number {
  let size = 0;
  for (const piece of pieces) size += piece.length;
  return size;
}
