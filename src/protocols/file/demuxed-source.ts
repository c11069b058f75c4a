import type { FileHandle } from "node:fs/promises";
import { SluiceError } from "../../base/errors.ts";
import type { Micros } from "../../base/time.ts";
import { isTrackList } from "../../media/format.ts";
import type { Packet } from "../../media/packet.ts";
import type { Track } from "../../media/track.ts";
import type { VodSource } from "../../streams/stream.ts";
import { FileWindow } from "./file-window.ts";
import { Interleaver } from "./interleaver.ts";
import type { FileIndex, IndexEntry, Layout } from "./layout.ts";

const chunkLength = 128 * 1024;
/** Tracks have to show themselves within this much of the file. */
const maxHead = 8 * 1024 * 1024;
/** Media after which no further track is expected at the start. */
const headMedia: Micros = 1_500_000;
/** The last packet is taken to last so long. */
const lastPacket: Micros = 40_000;

type Head = { readonly tracks: readonly Track[]; readonly start: Micros; readonly length: number };

/** Opens a file whose container is read by one of our streaming demuxers. Owns `handle`. Rejects with "source.failed" or "input.*". */
export async function openDemuxed(handle: FileHandle, size: number, layout: Layout): Promise<VodSource> {
  const head = await readHead(handle, layout);
  if (head.tracks.length === 0)
    throw new SluiceError("source.failed", `it has no track that can be played in its first ${Math.min(size, maxHead)} bytes`);
  const last = (await layout.lastTime(new FileWindow(handle, size))) ?? head.start;
  return new DemuxedSource(handle, size, layout, head, Math.max(last - head.start, 0) + lastPacket);
}

class DemuxedSource implements VodSource {
  readonly input: string;
  readonly tracks: readonly Track[];
  readonly duration: Micros;
  readonly #handle: FileHandle;
  readonly #size: number;
  readonly #layout: Layout;
  readonly #head: Head;
  #index: Promise<FileIndex> | undefined;

  constructor(handle: FileHandle, size: number, layout: Layout, head: Head, duration: Micros) {
    this.input = layout.input;
    this.tracks = head.tracks;
    this.duration = duration;
    this.#handle = handle;
    this.#size = size;
    this.#layout = layout;
    this.#head = head;
  }

  async keyframes(): Promise<readonly Micros[]> {
    const { entries } = await this.#indexed();
    const times = entries.map((entry) => Math.max(0, entry.time - this.#head.start));
    return times.length > 0 ? times : [0];
  }

  async *read(from: Micros): AsyncGenerator<Packet> {
    const demuxer = this.#layout.createDemuxer();
    const interleaver = new Interleaver();
    const known = new Set(this.tracks.map((track) => track.id));
    const accepted = (packets: readonly Packet[]): Packet[] => packets.filter((packet) => packet.dts >= from);
    const moved = (packet: Packet): Packet => ({
      ...packet,
      dts: Math.max(0, packet.dts - this.#head.start),
      pts: Math.max(0, packet.pts - this.#head.start),
    });
    const offset = from > 0 ? await this.#seek(from) : { head: 0, start: 0 };
    if (offset.start > 0) for await (const bytes of chunks(this.#handle, 0, offset.head)) Array.from(demuxer.feed(bytes));
    for await (const bytes of chunks(this.#handle, offset.start, this.#size)) {
      for (const output of demuxer.feed(bytes)) {
        if (isTrackList(output) || !known.has(output.trackId)) continue;
        yield* accepted(interleaver.push(moved(output)));
      }
    }
    for (const output of demuxer.flush())
      if (!isTrackList(output) && known.has(output.trackId)) yield* accepted(interleaver.push(moved(output)));
    yield* accepted(interleaver.flush());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }

  /** Where to read for a time: first the file's head for the configuration, then from `start` on. */
  async #seek(from: Micros): Promise<{ head: number; start: number }> {
    const { entries, headEnd } = await this.#indexed();
    const entry = lastBefore(entries, from + this.#head.start);
    return entry && entry.offset > headEnd ? { head: headEnd, start: entry.offset } : { head: 0, start: 0 };
  }

  #indexed(): Promise<FileIndex> {
    this.#index ??= this.#layout.index(new FileWindow(this.#handle, this.#size), this.#head.length, this.tracks).catch((error: unknown) => {
      this.#index = undefined;
      throw error;
    });
    return this.#index;
  }
}

async function readHead(handle: FileHandle, layout: Layout): Promise<Head> {
  const demuxer = layout.createDemuxer();
  let tracks: readonly Track[] = [];
  let start: Micros | undefined;
  let newest: Micros = 0;
  let length = 0;
  const take = (outputs: ReturnType<typeof demuxer.feed>): void => {
    for (const output of outputs) {
      if (isTrackList(output)) {
        tracks = output.tracks;
      } else {
        start = Math.min(start ?? output.dts, output.dts);
        newest = Math.max(newest, output.dts);
      }
    }
  };
  for await (const bytes of chunks(handle, 0, maxHead)) {
    length += bytes.length;
    take(demuxer.feed(bytes));
    if (start !== undefined && newest - start > headMedia) return { tracks, start, length };
  }
  take(demuxer.flush());
  return { tracks, start: start ?? 0, length };
}

/** Reads a part of the file piece by piece. Each piece is valid until the next. */
async function* chunks(handle: FileHandle, from: number, to: number): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(chunkLength);
  for (let offset = from; offset < to; ) {
    const { bytesRead } = await handle.read(buffer, 0, Math.min(chunkLength, to - offset), offset);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
    offset += bytesRead;
  }
}

function lastBefore(entries: readonly IndexEntry[], time: Micros): IndexEntry | undefined {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (entries[middle]!.time <= time) low = middle + 1;
    else high = middle;
  }
  return entries[low - 1];
}
