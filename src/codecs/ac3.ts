import { BitReader } from "../base/bits.ts";
import { SluiceError } from "../base/errors.ts";
import type { AudioTrack, TrackId } from "../media/track.ts";

/** Full channels by acmod, ETSI TS 102 366 table 4.3. */
const channelsOf: readonly number[] = [2, 1, 2, 3, 3, 4, 4, 5];
const rates: readonly number[] = [48_000, 44_100, 32_000];

/** The track of a stream whose first sync frame (ETSI TS 102 366 clause 4.3) is given. Throws "input.invalid". */
export function ac3Track(id: TrackId, frame: Uint8Array): AudioTrack {
  const bits = new BitReader(frame, "AC-3 sync frame");
  if (bits.u(16) !== 0x0b77) throw new SluiceError("input.invalid", "AC-3: the packet does not start with the sync word 0b77");
  bits.skip(16);
  const sampleRate = rates[bits.u(2)];
  bits.skip(6);
  const version = bits.u(5);
  bits.skip(3);
  if (sampleRate === undefined || version > 8)
    throw new SluiceError("input.invalid", `AC-3: bsid ${version} or the sample rate is not AC-3's`);
  const mode = bits.u(3);
  if (mode & 1 && mode !== 1) bits.skip(2);
  if (mode & 4) bits.skip(2);
  if (mode === 2) bits.skip(2);
  const channels = channelsOf[mode]! + bits.u(1);
  return { kind: "audio", id, codec: "ac3", config: new Uint8Array(0), codecString: "ac-3", sampleRate, channels };
}
