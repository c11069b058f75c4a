import type { FileHandle } from "node:fs/promises";
import { CustomSource, EncodedPacket, Input, MATROSKA, MP4, QTFF, WEBM } from "mediabunny";
import { SluiceError } from "../../base/errors.ts";
import type { Micros } from "../../base/time.ts";
import type { Packet } from "../../media/packet.ts";
import type { Track } from "../../media/track.ts";
import type { VodSource } from "../../streams/stream.ts";
import { DecodeTimes, presentationDelay } from "./decode-times.ts";
import { type IndexedTrack, indexedTrack, microsOfSeconds } from "./indexed-track.ts";

/** Frames at the beginning whose order is looked at. */
const orderSample = 96;
/** Between the places where a file without video can be started. */
const audioStep: Micros = 1_000_000;

/** A keyframe: when it is decoded in our timeline, and when the file shows it, in seconds. */
type Keyframe = { readonly time: Micros; readonly seconds: number };

/** Opens MP4, MOV, Matroska and WebM, which have an index of their own. Owns `handle`. Rejects with "source.failed" or "input.*". */
export async function openIndexed(handle: FileHandle, size: number, path: string, input: "MP4" | "EBML"): Promise<VodSource> {
  const file = new Input({
    formats: [MP4, QTFF, MATROSKA, WEBM],
    source: new CustomSource({
      getSize: () => size,
      read: async (start, end) => {
        const bytes = new Uint8Array(end - start);
        for (let at = 0; at < bytes.length; ) {
          const { bytesRead } = await handle.read(bytes, at, bytes.length - at, start + at);
          if (bytesRead === 0) throw new SluiceError("input.invalid", `the file ends at ${start + at} of ${size} bytes`);
          at += bytesRead;
        }
        return bytes;
      },
      prefetchProfile: "fileSystem",
      handleUnhandledError: () => {},
    }),
  });
  try {
    if (!(await file.canRead())) throw new SluiceError("source.failed", `the file "${path}" is neither MP4 nor Matroska, or it is damaged`);
    const tracks: IndexedTrack[] = [];
    for (const each of await file.getTracks()) {
      const track = await indexedTrack(each, tracks.length + 1);
      if (track) tracks.push(track);
    }
    if (tracks.length === 0) throw new SluiceError("source.failed", `the file "${path}" has no track that can be played`);
    const origin = await file.getFirstTimestamp();
    const delay = await reorderDelay(tracks);
    const duration = microsOfSeconds((await file.computeDuration()) - origin) + delay;
    return new IndexedSource(handle, file, input, tracks, { origin, delay, duration });
  } catch (error) {
    file.dispose();
    throw error;
  }
}

type Times = { readonly origin: number; readonly delay: Micros; readonly duration: Micros };

class IndexedSource implements VodSource {
  readonly input: string;
  readonly tracks: readonly Track[];
  readonly duration: Micros;
  readonly #handle: FileHandle;
  readonly #file: Input;
  readonly #tracks: readonly IndexedTrack[];
  readonly #times: Times;
  #index: Promise<readonly Keyframe[]> | undefined;

  constructor(handle: FileHandle, file: Input, input: string, tracks: readonly IndexedTrack[], times: Times) {
    this.input = input;
    this.tracks = tracks.map((each) => each.track);
    this.duration = times.duration;
    this.#handle = handle;
    this.#file = file;
    this.#tracks = tracks;
    this.#times = times;
  }

  async keyframes(): Promise<readonly Micros[]> {
    return (await this.#indexed()).map((keyframe) => keyframe.time);
  }

  async *read(from: Micros): AsyncGenerator<Packet> {
    const lanes = await Promise.all(this.#tracks.map((each) => this.#lane(each, from)));
    const heads = await Promise.all(lanes.map((lane) => lane.next()));
    try {
      for (;;) {
        let first = -1;
        for (let i = 0; i < heads.length; i++) {
          const head = heads[i]!;
          if (!head.done && (first < 0 || head.value.dts < (heads[first]!.value as Packet).dts)) first = i;
        }
        if (first < 0) return;
        const packet = heads[first]!.value as Packet;
        if (packet.dts >= from) yield packet;
        heads[first] = await lanes[first]!.next();
      }
    } finally {
      await Promise.all(lanes.map((lane) => lane.return(undefined)));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#file.dispose();
    await this.#handle.close();
  }

  /** One track's packets in decode order, from the last place at or before `from` where it can start. */
  async #lane(indexed: IndexedTrack, from: Micros): Promise<AsyncGenerator<Packet, void, undefined>> {
    const { sink, track } = indexed;
    let start: EncodedPacket | null = null;
    if (from > 0 && track.kind === "video") {
      const keyframe = (await this.#indexed()).findLast((each) => each.time <= from);
      if (keyframe) start = await sink.getKeyPacket(keyframe.seconds + 1e-4);
    } else if (from > 0) {
      start = await sink.getPacket((from - this.#times.delay) / 1e6 + this.#times.origin);
    }
    start ??= await sink.getFirstPacket();
    return track.kind === "video" ? this.#ordered(indexed, start) : this.#plain(indexed, start);
  }

  async *#plain({ sink, track, canonical }: IndexedTrack, start: EncodedPacket | null): AsyncGenerator<Packet, void, undefined> {
    for await (const packet of sink.packets(start ?? undefined)) {
      const time = this.#shown(packet);
      if (time >= 0) yield { trackId: track.id, dts: time, pts: time, keyframe: true, data: canonical(packet.data.slice()) };
    }
  }

  async *#ordered(indexed: IndexedTrack, start: EncodedPacket | null): AsyncGenerator<Packet, void, undefined> {
    const times = new DecodeTimes<EncodedPacket>();
    const made = ({ item, dts }: { readonly item: EncodedPacket; readonly dts: Micros }): Packet => {
      const data = indexed.canonical(item.data.slice());
      const decoded = Math.max(0, dts - this.#times.delay);
      const keyframe = indexed.isKeyframe(data, item.type === "key");
      return { trackId: indexed.track.id, dts: decoded, pts: Math.max(decoded, this.#shown(item)), keyframe, data };
    };
    for await (const packet of indexed.sink.packets(start ?? undefined)) {
      const ready = times.push(packet, this.#shown(packet));
      if (ready) yield made(ready);
    }
    for (let rest = times.flush(); rest; rest = times.flush()) yield made(rest);
  }

  /** When a packet is shown, in our timeline: late enough that no frame is decoded before 0. */
  #shown(packet: EncodedPacket): Micros {
    return microsOfSeconds(packet.timestamp - this.#times.origin) + this.#times.delay;
  }

  #indexed(): Promise<readonly Keyframe[]> {
    this.#index ??= this.#findKeyframes().catch((error: unknown) => {
      this.#index = undefined;
      throw error;
    });
    return this.#index;
  }

  async #findKeyframes(): Promise<readonly Keyframe[]> {
    const video = this.#tracks.find((each) => each.track.kind === "video");
    const found: Keyframe[] = [];
    if (!video) {
      for (let time = 0; time < this.duration; time += audioStep) found.push({ time, seconds: time / 1e6 + this.#times.origin });
      return found;
    }
    const { sink } = video;
    const options = { metadataOnly: true };
    for (let key = await sink.getFirstKeyPacket(options); key; key = await sink.getNextKeyPacket(key, options)) {
      let earliest = this.#shown(key);
      // Frames that follow an open group's keyframe but are shown before it take the earlier decode times.
      for (let next = await sink.getNextPacket(key, options); next && next.type !== "key"; next = await sink.getNextPacket(next, options)) {
        if (next.timestamp >= key.timestamp) break;
        earliest = Math.min(earliest, this.#shown(next));
      }
      const time = Math.max(0, earliest - this.#times.delay);
      if (found.length === 0 || time > found.at(-1)!.time) found.push({ time, seconds: key.timestamp });
    }
    return found;
  }
}

async function reorderDelay(tracks: readonly IndexedTrack[]): Promise<Micros> {
  let delay: Micros = 0;
  for (const { sink, track } of tracks) {
    if (track.kind !== "video") continue;
    const times: Micros[] = [];
    for await (const packet of sink.packets(undefined, undefined, { metadataOnly: true })) {
      times.push(microsOfSeconds(packet.timestamp));
      if (times.length >= orderSample) break;
    }
    delay = Math.max(delay, presentationDelay(times, times.length < orderSample));
  }
  return delay;
}
