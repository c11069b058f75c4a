import { concat, sameBytes } from "../../base/bytes.ts";
import { isSluiceError } from "../../base/errors.ts";
import type { Micros } from "../../base/time.ts";
import type { Packet } from "../../media/packet.ts";
import type { AudioTrack, TrackId } from "../../media/track.ts";

/**
 * What is at the start of some bytes: a whole frame (`data`, else the bytes from `begin` to `end`, and what describes its
 * track), the start of one that goes on behind them, or no frame.
 */
export type FrameAt =
  | { readonly begin: number; readonly end: number; readonly duration: Micros; readonly config: Uint8Array; readonly data?: Uint8Array }
  | "more"
  | "none";

/** A frame may be this long at most before its beginning is taken for noise. */
const maxFrame = 65_536;

/**
 * Cuts audio frames out of PES payloads: several in one, or one over several. The time of a PES packet belongs to the
 * first frame that begins in it; the others follow by their durations (ISO/IEC 13818-1 2.4.3.7).
 */
export class AudioFrames {
  track: AudioTrack | undefined;
  readonly #id: TrackId;
  readonly #sync: number;
  readonly #frameAt: (bytes: Uint8Array) => FrameAt;
  readonly #describe: (config: Uint8Array) => AudioTrack;
  #config: Uint8Array | undefined;
  /** The beginning of a frame that goes on in the next PES packet. */
  #rest: Uint8Array = new Uint8Array(0);
  /** Time of the next frame, not rounded. */
  #next: Micros | undefined;

  /** `sync` is the byte with which each frame begins. */
  constructor(id: TrackId, sync: number, frameAt: (bytes: Uint8Array) => FrameAt, describe: (config: Uint8Array) => AudioTrack) {
    this.#id = id;
    this.#sync = sync;
    this.#frameAt = frameAt;
    this.#describe = describe;
  }

  read(payload: Uint8Array, pts: Micros | undefined): readonly Packet[] {
    const packets: Packet[] = [];
    const before = this.#rest.length;
    const bytes = before > 0 ? concat([this.#rest, payload]) : payload;
    let pending = pts;
    let at = 0;
    while (at < bytes.length) {
      const frame = this.#frameAt(bytes.subarray(at));
      if (frame === "more") break;
      if (frame === "none") {
        const sync = bytes.indexOf(this.#sync, at + 1);
        at = sync < 0 ? bytes.length : sync;
        continue;
      }
      if (pending !== undefined && at >= before) {
        this.#next = pending;
        pending = undefined;
      }
      this.#emit(bytes, at, frame, packets);
      at += frame.end;
    }
    const left = bytes.length - at;
    if (left > maxFrame) at = bytes.length;
    this.#rest = bytes.slice(at);
    // The frame that is cut off here begins in this PES packet, so the time is its own.
    if (pending !== undefined && left > 0 && at >= before) this.#next = pending;
    return packets;
  }

  #emit(bytes: Uint8Array, at: number, frame: Exclude<FrameAt, string>, packets: Packet[]): void {
    if (!this.#config || !sameBytes(this.#config, frame.config)) {
      try {
        this.track = this.#describe(frame.config);
      } catch (error) {
        if (!isSluiceError(error)) throw error;
        return;
      }
      this.#config = frame.config;
    }
    if (this.#next === undefined) return;
    const time = Math.round(this.#next);
    this.#next += frame.duration;
    const data = frame.data ?? bytes.slice(at + frame.begin, at + frame.end);
    if (data.length > 0) packets.push({ trackId: this.#id, dts: time, pts: time, keyframe: true, data });
  }
}
