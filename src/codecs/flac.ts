import { BitReader } from "../base/bits.ts";
import { SluiceError } from "../base/errors.ts";
import type { AudioTrack, TrackId } from "../media/track.ts";

const streamInfoLength = 34;

/** STREAMINFO (RFC 9639 section 8.2) of a record that may have the mark `fLaC` and the block header before it. A copy. Throws "input.invalid". */
export function canonicalFlacConfig(record: Uint8Array): Uint8Array {
  const marked = record[0] === 0x66 && record[1] === 0x4c && record[2] === 0x61 && record[3] === 0x43;
  const config = marked ? record.slice(8, 8 + streamInfoLength) : record.slice(0, streamInfoLength);
  if (config.length < streamInfoLength)
    throw new SluiceError("input.invalid", `FLAC STREAMINFO: ${config.length} bytes; ${streamInfoLength} were expected`);
  return config;
}

/** The track of a STREAMINFO block's content, which the track keeps. Throws "input.invalid". */
export function flacTrack(id: TrackId, config: Uint8Array): AudioTrack {
  const bits = new BitReader(config, "FLAC STREAMINFO");
  bits.skip(16 + 16 + 24 + 24);
  const sampleRate = bits.u(20);
  const channels = bits.u(3) + 1;
  if (sampleRate === 0) throw new SluiceError("input.invalid", "FLAC STREAMINFO: sample rate is 0");
  return { kind: "audio", id, codec: "flac", config, codecString: "flac", sampleRate, channels };
}
