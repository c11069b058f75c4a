import type { Micros } from "../../base/time.ts";
import type { Packet } from "../../media/packet.ts";
import type { Track, TrackId } from "../../media/track.ts";

/** A video track that was declared is waited for this long, in media time of the other tracks. */
const patience: Micros = 2_000_000;
/** A video track that has been silent for longer no longer decides where viewers can start. */
const silence: Micros = 5_000_000;
/** Length of a group while there is no video. */
const groupLength: Micros = 1_000_000;

/**
 * Decides where groups begin: at keyframes of the leading video track, the first one that sends.
 * Without video, or while it is silent, any packet can start a viewer and groups are cut by time.
 */
export class Leader {
  #video: readonly TrackId[] = [];
  #leading: TrackId | undefined;
  #seen = false;
  #since: Micros | undefined;
  #lastGroup: Micros | undefined;
  #freeFrom = -1;

  /** The tracks have changed. */
  describe(tracks: readonly Track[]): void {
    this.#video = tracks.filter((track) => track.kind === "video").map((track) => track.id);
    if (this.#leading !== undefined && this.#video.includes(this.#leading)) return;
    this.#leading = this.#video[0];
    this.#seen = false;
    this.#since = undefined;
  }

  /** True if a group begins with this packet, which will get the number `sequence`. */
  starts(packet: Packet, sequence: number): boolean {
    const { dts } = packet;
    if (packet.trackId === this.#leading) {
      this.#since = dts;
      this.#seen = true;
      if (packet.keyframe) {
        this.#freeFrom = -1;
        this.#lastGroup = dts;
        return true;
      }
    } else if (packet.keyframe && !this.#seen && this.#video.includes(packet.trackId)) {
      this.#leading = packet.trackId;
      return this.starts(packet, sequence);
    }
    if (this.#freeFrom < 0) {
      this.#since ??= dts;
      const waited = dts - this.#since;
      if (this.#leading !== undefined && waited <= (this.#seen ? silence : patience)) return false;
      this.#freeFrom = sequence;
      this.#lastGroup = undefined;
    }
    if (this.#lastGroup !== undefined && dts - this.#lastGroup < groupLength) return false;
    this.#lastGroup = dts;
    return true;
  }

  /** True if any packet from this one on can start a viewer. */
  free(sequence: number): boolean {
    return this.#freeFrom >= 0 && sequence >= this.#freeFrom;
  }
}
