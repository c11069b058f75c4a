import type { Micros } from "../../base/time.ts";
import type { Packet } from "../../media/packet.ts";
import type { Track } from "../../media/track.ts";
import type { Fragment, VodSource } from "../stream.ts";

/** Fragments whose packets are kept for those who ask for the same one soon after. */
const cached = 4;
/** A fragment that would hold more is cut off: no honest file has so much between two keyframes. */
const maxFragmentBytes = 256 * 1024 * 1024;

/** A part of a file; its packets are read when somebody asks for them. */
class FileFragment implements Fragment {
  readonly discontinuity = false;
  readonly sequence: number;
  readonly start: Micros;
  readonly duration: Micros;
  readonly wallClock: number;
  readonly #owner: VodFragments;

  constructor(owner: VodFragments, sequence: number, start: Micros, end: Micros, wallClock: number) {
    this.#owner = owner;
    this.sequence = sequence;
    this.start = start;
    this.duration = end - start;
    this.wallClock = wallClock;
  }

  get tracks(): readonly Track[] {
    return this.#owner.tracks;
  }

  packets(): Promise<readonly Packet[]> {
    return this.#owner.read(this);
  }
}

/** A file cut at keyframes into fragments of at least `segmentMs`. */
export class VodFragments {
  readonly #source: VodSource;
  readonly #segmentMicros: Micros;
  readonly #unixOffset: number;
  readonly #cache = new Map<number, Promise<readonly Packet[]>>();
  #list: Promise<readonly Fragment[]> | undefined;

  constructor(source: VodSource, segmentMs: number, unixOffset: number) {
    this.#source = source;
    this.#segmentMicros = segmentMs * 1000;
    this.#unixOffset = unixOffset;
  }

  get tracks(): readonly Track[] {
    return this.#source.tracks;
  }

  /** All fragments; the file's index is made at the first call. */
  list(): Promise<readonly Fragment[]> {
    this.#list ??= this.#cut().catch((error: unknown) => {
      this.#list = undefined;
      throw error;
    });
    return this.#list;
  }

  read(fragment: Fragment): Promise<readonly Packet[]> {
    const known = this.#cache.get(fragment.sequence);
    if (known) return known;
    const packets = this.#read(fragment);
    this.#cache.set(fragment.sequence, packets);
    packets.catch(() => this.#cache.delete(fragment.sequence));
    const oldest = this.#cache.size > cached ? this.#cache.keys().next() : undefined;
    if (oldest && !oldest.done) this.#cache.delete(oldest.value);
    return packets;
  }

  async #cut(): Promise<readonly Fragment[]> {
    const keyframes = await this.#source.keyframes();
    const end = this.#source.duration;
    const starts: Micros[] = [];
    for (const time of keyframes) {
      const last = starts.at(-1);
      // Sound that comes before the first picture belongs to the first fragment.
      if (last === undefined) starts.push(0);
      else if (time - last >= this.#segmentMicros && time < end) starts.push(time);
    }
    return starts.map((start, i) => {
      const next = starts[i + 1] ?? Math.max(end, start + 1);
      return new FileFragment(this, i, start, next, this.#unixOffset + Math.round(start / 1000));
    });
  }

  async #read(fragment: Fragment): Promise<readonly Packet[]> {
    const packets: Packet[] = [];
    const end = fragment.start + fragment.duration;
    const last = end >= this.#source.duration;
    let bytes = 0;
    for await (const packet of this.#source.read(fragment.start)) {
      bytes += packet.data.length;
      if ((packet.dts >= end && !last) || bytes > maxFragmentBytes) break;
      packets.push(packet);
    }
    return packets;
  }
}
