import { SluiceError } from "../../base/errors.ts";
import { type Micros, unwrapper } from "../../base/time.ts";
import type { Demuxer, DemuxerOutput } from "../../media/format.ts";
import type { Packet } from "../../media/packet.ts";
import type { Track, TrackId } from "../../media/track.ts";
import type { ElementaryStream } from "./elementary-codec.ts";
import { type ElementaryReader, elementaryReader } from "./elementary-reader.ts";
import { PacketReader } from "./packet-reader.ts";
import { packetSize } from "./packet-writer.ts";
import { microsOf, readPesHeader } from "./pes.ts";
import { parsePat, parsePmt, patPid } from "./psi.ts";
import { SectionReader } from "./section-reader.ts";

/** A PES packet longer than this is no honest sender's: an access unit of 16 MB. */
const maxPes = 16 * 1024 * 1024;
/** Media time and bytes that are held back while a stream of the program has not told its configuration. */
const maxHeldMicros: Micros = 2_000_000;
const maxHeldBytes = 16 * 1024 * 1024;

/** One elementary stream: its PES packet in the making and what reads it. */
type Lane = {
  readonly pid: number;
  readonly streamType: number;
  readonly reader: ElementaryReader;
  buffer: Uint8Array;
  length: number;
  /** Bytes of the whole PES packet, 0 when it does not say. */
  expected: number;
  /** False until a PES packet begins, and after a loss. */
  open: boolean;
  counter: number | undefined;
};

/** Reads the first program of an MPEG-TS (ISO/IEC 13818-1): H.264, H.265, AAC in ADTS or LATM, MP3, Opus. */
export function mpegtsDemuxer(): Demuxer {
  return new TsDemuxer();
}

class TsDemuxer implements Demuxer {
  readonly #packets = new PacketReader((bytes, at) => this.#packet(bytes, at));
  readonly #unwrap = unwrapper(33);
  readonly #lanes = new Map<number, Lane>();
  readonly #ids = new Map<string, TrackId>();
  readonly #pat = new SectionReader((section) => this.#onPat(section));
  #pmt = new SectionReader((section) => this.#onPmt(section));
  #pmtPid: number | undefined;
  #program = "";
  #tracks: readonly Track[] = [];
  #held: Packet[] | undefined = [];
  #heldBytes = 0;
  #out: DemuxerOutput[] = [];

  feed(bytes: Uint8Array): Iterable<DemuxerOutput> {
    this.#packets.feed(bytes);
    return this.#given();
  }

  flush(): Iterable<DemuxerOutput> {
    this.#packets.flush();
    for (const lane of this.#lanes.values()) this.#finish(lane);
    this.#release();
    return this.#given();
  }

  #given(): readonly DemuxerOutput[] {
    const out = this.#out;
    this.#out = [];
    return out;
  }

  /** One transport packet (2.4.3.2). */
  #packet(bytes: Uint8Array, at: number): void {
    const flags = bytes[at + 1]!;
    const control = bytes[at + 3]!;
    // transport_error_indicator, scrambled, or without payload.
    if (flags & 0x80 || control & 0xc0 || !(control & 0x10)) return;
    const adaptation = control & 0x20 ? 1 + bytes[at + 4]! : 0;
    const begin = at + 4 + adaptation;
    const end = at + packetSize;
    if (begin >= end) return;
    const pid = ((flags & 0x1f) << 8) | bytes[at + 2]!;
    const start = (flags & 0x40) !== 0;
    if (pid === patPid) return this.#pat.feed(bytes.subarray(begin, end), start);
    if (pid === this.#pmtPid) return this.#pmt.feed(bytes.subarray(begin, end), start);
    const lane = this.#lanes.get(pid);
    if (!lane) return;
    const counter = control & 0x0f;
    const jump = adaptation > 1 && (bytes[at + 5]! & 0x80) !== 0;
    if (lane.counter !== undefined && !jump && counter !== ((lane.counter + 1) & 15)) {
      // The same packet may be sent twice; anything else is a loss, and half an access unit is of no use.
      if (counter === lane.counter) return;
      lane.open = false;
    }
    lane.counter = counter;
    if (start) {
      this.#finish(lane);
      lane.open = true;
      lane.length = 0;
      lane.expected = 0;
    }
    if (lane.open) this.#append(lane, bytes, begin, end);
  }

  #append(lane: Lane, bytes: Uint8Array, begin: number, end: number): void {
    const need = lane.length + end - begin;
    if (need > lane.buffer.length) {
      if (need > maxPes)
        throw new SluiceError("input.oversized", `MPEG-TS: a PES packet on PID ${lane.pid} is longer than ${maxPes} bytes`);
      const larger = new Uint8Array(Math.min(maxPes, Math.max(need, lane.buffer.length * 2)));
      larger.set(lane.buffer.subarray(0, lane.length));
      lane.buffer = larger;
    }
    lane.buffer.set(bytes.subarray(begin, end), lane.length);
    if (lane.length < 6 && need >= 6) {
      const said = (lane.buffer[4]! << 8) | lane.buffer[5]!;
      lane.expected = said === 0 ? 0 : said + 6;
    }
    lane.length = need;
    if (lane.expected > 0 && need >= lane.expected) this.#finish(lane);
  }

  /** The PES packet is whole, or the next one has begun. */
  #finish(lane: Lane): void {
    if (!lane.open) return;
    lane.open = false;
    const length = lane.expected > 0 ? Math.min(lane.expected, lane.length) : lane.length;
    const header = readPesHeader(lane.buffer, length);
    if (!header) return;
    const dts = header.dts === undefined ? undefined : this.#unwrap(header.dts);
    const pts = header.pts === undefined || header.dts === undefined ? undefined : dts! + signed33(header.pts - header.dts);
    const micros = (ticks: number | undefined): Micros | undefined => (ticks === undefined ? undefined : microsOf(ticks));
    const packets = lane.reader.read(lane.buffer.subarray(header.payload, length), micros(pts), micros(dts));
    this.#declare();
    for (const packet of packets) this.#give(packet);
  }

  #give(packet: Packet): void {
    if (!this.#held) {
      this.#out.push(packet);
      return;
    }
    this.#held.push(packet);
    this.#heldBytes += packet.data.length;
    const waited = Math.abs(packet.dts - this.#held[0]!.dts);
    if (waited >= maxHeldMicros || this.#heldBytes > maxHeldBytes) this.#release();
  }

  /** Tells the tracks when they have changed; the first time only when all are known. */
  #declare(): void {
    const lanes = [...this.#lanes.values()];
    if (this.#held) {
      if (lanes.length > 0 && lanes.every((lane) => lane.reader.track)) this.#release();
      return;
    }
    const tracks = lanes.map((lane) => lane.reader.track).filter((track) => track !== undefined);
    if (tracks.length === this.#tracks.length && tracks.every((track, index) => track === this.#tracks[index])) return;
    this.#tracks = tracks;
    this.#out.push({ tracks });
  }

  #release(): void {
    const held = this.#held;
    if (!held) return;
    this.#held = undefined;
    this.#declare();
    for (const packet of held) this.#out.push(packet);
  }

  #onPat(section: Uint8Array): void {
    const pid = parsePat(section)?.[0];
    if (pid === undefined || pid === patPid || pid === this.#pmtPid) return;
    this.#pmtPid = pid;
    this.#pmt = new SectionReader((next) => this.#onPmt(next));
  }

  #onPmt(section: Uint8Array): void {
    const streams = parsePmt(section);
    if (!streams) return;
    // The table comes many times a second and says the same.
    const program = streams.map((stream) => `${stream.pid}:${stream.streamType}:${stream.descriptors.join()}`).join(" ");
    if (program === this.#program) return;
    this.#program = program;
    const gone = new Set(this.#lanes.keys());
    for (const stream of streams) {
      const known = this.#lanes.get(stream.pid);
      if (known?.streamType === stream.streamType) gone.delete(stream.pid);
      else {
        if (known) this.#finish(known);
        if (this.#addLane(stream)) gone.delete(stream.pid);
      }
    }
    for (const pid of gone) {
      const lane = this.#lanes.get(pid);
      if (lane) this.#finish(lane);
      this.#lanes.delete(pid);
    }
    this.#declare();
  }

  #addLane(stream: ElementaryStream): boolean {
    const key = `${stream.pid}:${stream.streamType}`;
    const id = this.#ids.get(key) ?? this.#ids.size + 1;
    const reader = elementaryReader(stream, id);
    if (!reader || this.#ids.size > 1024) return false;
    this.#ids.set(key, id);
    const { pid } = stream;
    this.#lanes.set(pid, {
      pid,
      streamType: stream.streamType,
      reader,
      buffer: new Uint8Array(4096),
      length: 0,
      expected: 0,
      open: false,
      counter: undefined,
    });
    return true;
  }
}

/** The shorter way between two values on the 33-bit circle. */
function signed33(difference: number): number {
  if (difference > 2 ** 32) return difference - 2 ** 33;
  return difference < -(2 ** 32) ? difference + 2 ** 33 : difference;
}
