import { SluiceError } from "../base/errors.ts";
import type { AudioTrack, TrackId } from "../media/track.ts";

/** Kilobits per second for bitrate_index 1 to 14: [MPEG-1, MPEG-2 and 2.5] for layers I, II, III. */
const bitrates: readonly (readonly (readonly number[])[])[] = [
  [
    [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
    [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
  ],
  [
    [32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
    [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
  ],
];
const baseRates: readonly number[] = [44100, 48000, 32000];

/** The header of an MPEG audio frame (ISO/IEC 11172-3 clause 2.4.2.3, 13818-3). */
export type Mp3Header = {
  /** 1, 2 or 3. */
  readonly layer: number;
  readonly sampleRate: number;
  readonly channels: number;
  /** Bytes of the whole frame, header included. */
  readonly frameLength: number;
  /** Samples of each channel in the frame. */
  readonly samples: number;
};

/** Reads the frame header at the start of `bytes`; undefined when there is none, or the free bit rate is used. */
export function parseMp3Header(bytes: Uint8Array): Mp3Header | undefined {
  if (bytes.length < 4 || bytes[0] !== 0xff || (bytes[1]! & 0xe0) !== 0xe0) return undefined;
  const version = (bytes[1]! >> 3) & 3;
  const layer = 4 - ((bytes[1]! >> 1) & 3);
  const rateIndex = (bytes[2]! >> 2) & 3;
  const bitrateIndex = bytes[2]! >> 4;
  if (version === 1 || layer === 4 || rateIndex === 3 || bitrateIndex === 0 || bitrateIndex === 15) return undefined;
  const first = version === 3;
  const sampleRate = baseRates[rateIndex]! / (first ? 1 : version === 2 ? 2 : 4);
  const bitrate = bitrates[first ? 0 : 1]![layer - 1]![bitrateIndex - 1]! * 1000;
  const padding = (bytes[2]! >> 1) & 1;
  const samples = layer === 1 ? 384 : layer === 2 || first ? 1152 : 576;
  const frameLength =
    layer === 1 ? (Math.floor((12 * bitrate) / sampleRate) + padding) * 4 : Math.floor(((samples / 8) * bitrate) / sampleRate) + padding;
  return { layer, sampleRate, channels: bytes[3]! >> 6 === 3 ? 1 : 2, frameLength, samples };
}

/** The track of a stream whose first frame is given. Throws "input.invalid" when there is no frame header. */
export function mp3Track(id: TrackId, frame: Uint8Array): AudioTrack {
  const header = parseMp3Header(frame);
  if (!header) throw new SluiceError("input.invalid", "MP3: the packet does not start with a frame header");
  const { sampleRate, channels } = header;
  return { kind: "audio", id, codec: "mp3", config: new Uint8Array(0), codecString: "mp4a.40.34", sampleRate, channels };
}
