import { isSluiceError } from "../../base/errors.ts";
import { sameBytes } from "../../base/bytes.ts";
import type { Micros } from "../../base/time.ts";
import { aacTrack, parseAdtsHeader } from "../../codecs/aac.ts";
import { h264FromAnnexB, h264Track, makeH264Config } from "../../codecs/h264.ts";
import { hevcFromAnnexB, hevcTrack, makeHevcConfig } from "../../codecs/hevc.ts";
import { mp3Track, parseMp3Header } from "../../codecs/mp3.ts";
import { makeOpusHead, opusDuration, opusTrack } from "../../codecs/opus.ts";
import type { Packet } from "../../media/packet.ts";
import type { Track, TrackId, VideoTrack } from "../../media/track.ts";
import { AudioFrames, type FrameAt } from "./audio-frames.ts";
import { type ElementaryStream, streamType } from "./elementary-codec.ts";
import { latmFrames } from "./latm.ts";
import { descriptor } from "./psi.ts";

/** Turns the payloads of one PID's PES packets into canonical packets. */
export interface ElementaryReader {
  /** Undefined until the stream has told its configuration; another object after it has changed. */
  readonly track: Track | undefined;
  /** One PES payload, valid only during the call; times are undefined when the PES packet has none. */
  read(payload: Uint8Array, pts: Micros | undefined, dts: Micros | undefined): readonly Packet[];
}

/** Parameter sets of one kind that are kept at most; honest streams have one or two. */
const maxSets = 16;

/** The reader for a stream of a program map, or undefined for a kind that is not read. */
export function elementaryReader(stream: ElementaryStream, id: TrackId): ElementaryReader | undefined {
  const language = languageOf(stream);
  switch (stream.streamType) {
    case streamType.h264:
    case streamType.hevc:
      return new VideoReader(id, stream.streamType === streamType.h264);
    case streamType.adts:
      return new AudioFrames(id, 0xff, adtsFrame, (config) => aacTrack(id, config, language));
    case streamType.latm:
      return new AudioFrames(id, 0x56, latmFrames(), (config) => aacTrack(id, config, language));
    case streamType.mpeg1Audio:
    case streamType.mpeg2Audio:
      return new AudioFrames(id, 0xff, mp3Frame, (config) => withLanguage(mp3Track(id, config), language));
    case streamType.private: {
      const format = descriptor(stream.descriptors, 0x05);
      // Vorbis mapping of more than two channels is left to those who send it.
      const channels = opusChannels(descriptor(stream.descriptors, 0x7f));
      if (!format || String.fromCharCode(...format.subarray(0, 4)) !== "Opus" || channels === undefined) return undefined;
      return new AudioFrames(id, 0x7f, opusFrame, () => opusTrack(id, makeOpusHead(channels), language));
    }
    default:
      return undefined;
  }
}

function withLanguage<T extends Track>(track: T, language: string | undefined): T {
  return language === undefined ? track : { ...track, language };
}

/** ISO_639_language_descriptor (ISO/IEC 13818-1 2.6.18). */
function languageOf(stream: ElementaryStream): string | undefined {
  const body = descriptor(stream.descriptors, 0x0a);
  const text = body ? String.fromCharCode(...body.subarray(0, 3)) : "";
  return /^[a-z]{3}$/.test(text) ? text : undefined;
}

function opusChannels(extension: Uint8Array | undefined): number | undefined {
  if (!extension || extension[0] !== 0x80) return 2;
  const code = extension[1] ?? 2;
  return code === 0 ? 2 : code <= 2 ? code : undefined;
}

/** H.264 and H.265: one access unit in each PES packet, as every encoder in use sends it. */
class VideoReader implements ElementaryReader {
  track: VideoTrack | undefined;
  readonly #id: TrackId;
  readonly #h264: boolean;
  #vps: readonly Uint8Array[] = [];
  #sps: readonly Uint8Array[] = [];
  #pps: readonly Uint8Array[] = [];
  #lastDts: Micros | undefined;
  #interval: Micros = 0;

  constructor(id: TrackId, h264: boolean) {
    this.#id = id;
    this.#h264 = h264;
  }

  read(payload: Uint8Array, pts: Micros | undefined, dts: Micros | undefined): readonly Packet[] {
    const unit = this.#h264 ? { vps: [], ...h264FromAnnexB(payload) } : hevcFromAnnexB(payload);
    this.#configure(unit);
    const time = dts ?? (this.#lastDts === undefined ? undefined : this.#lastDts + this.#interval);
    if (!this.track || unit.data.length === 0 || time === undefined) return [];
    if (this.#lastDts !== undefined) this.#interval = Math.max(0, time - this.#lastDts);
    this.#lastDts = time;
    return [{ trackId: this.#id, dts: time, pts: pts ?? time, keyframe: unit.keyframe, data: unit.data }];
  }

  /** New parameter sets replace the old ones when an SPS is among them, else they are added. */
  #configure(unit: {
    readonly vps: readonly Uint8Array[];
    readonly sps: readonly Uint8Array[];
    readonly pps: readonly Uint8Array[];
  }): void {
    if (unit.sps.length === 0 && unit.pps.length === 0) return;
    const whole = unit.sps.length > 0;
    const vps = whole && unit.vps.length > 0 ? merged([], unit.vps) : this.#vps;
    const sps = whole ? merged([], unit.sps) : this.#sps;
    const pps = merged(whole && unit.pps.length > 0 ? [] : this.#pps, unit.pps);
    if (sameSets(vps, this.#vps) && sameSets(sps, this.#sps) && sameSets(pps, this.#pps)) return;
    this.#vps = vps;
    this.#sps = sps;
    this.#pps = pps;
    if (sps.length === 0 || pps.length === 0) return;
    try {
      this.track = this.#h264 ? h264Track(this.#id, makeH264Config(sps, pps)) : hevcTrack(this.#id, makeHevcConfig(vps, sps, pps));
    } catch (error) {
      // Damaged on the way: the next keyframe brings the sets again.
      if (!isSluiceError(error)) throw error;
      this.#sps = [];
    }
  }
}

/** Copies what is added: the sets are views of the PES packet. */
function merged(sets: readonly Uint8Array[], more: readonly Uint8Array[]): readonly Uint8Array[] {
  const out = [...sets];
  for (const set of more) if (out.length < maxSets && !out.some((known) => sameBytes(known, set))) out.push(set.slice());
  return out;
}

function sameSets(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  return a.length === b.length && a.every((set, index) => sameBytes(set, b[index]!));
}

const none = new Uint8Array(0);

/** ADTS: the header goes, its configuration becomes the track's. */
function adtsFrame(bytes: Uint8Array): FrameAt {
  if (bytes.length < 7) return syncPossible(bytes, 0xff) ? "more" : "none";
  const header = parseAdtsHeader(bytes);
  if (!header || header.frameLength === header.headerLength) return "none";
  if (bytes.length < header.frameLength) return "more";
  const { headerLength, frameLength, samples, sampleRate, config } = header;
  return { begin: headerLength, end: frameLength, duration: (samples * 1e6) / sampleRate, config };
}

/** MPEG audio layer III. A header with the same version, rate and channels stands for the track's configuration. */
function mp3Frame(bytes: Uint8Array): FrameAt {
  if (bytes.length < 4) return syncPossible(bytes, 0xff) ? "more" : "none";
  const header = parseMp3Header(bytes);
  if (!header || header.layer !== 3 || header.frameLength < 4) return "none";
  if (bytes.length < header.frameLength) return "more";
  const config = bytes.slice(0, 4);
  // Bit rate, padding and the kind of stereo differ from frame to frame.
  config[2] = 0x10 | (config[2]! & 0x0c);
  config[3] = config[3]! >> 6 === 3 ? 0xc0 : 0;
  return { begin: 0, end: header.frameLength, duration: (header.samples * 1e6) / header.sampleRate, config };
}

/** Opus with its control header ("Opus in MPEG-TS"): prefix 0x3ff, flags, size in runs of 255, trims, extension. */
function opusFrame(bytes: Uint8Array): FrameAt {
  if (bytes.length < 2) return syncPossible(bytes, 0x7f) ? "more" : "none";
  if (bytes[0] !== 0x7f || (bytes[1]! & 0xe0) !== 0xe0) return "none";
  const flags = bytes[1]!;
  let at = 2;
  let size = 0;
  while (bytes[at] === 255) {
    size += 255;
    at++;
  }
  if (at >= bytes.length) return "more";
  size += bytes[at++]!;
  at += (flags & 0x10 ? 2 : 0) + (flags & 0x08 ? 2 : 0);
  if (flags & 0x04) at += 1 + (bytes[at] ?? 0);
  if (at + size > bytes.length) return "more";
  return { begin: at, end: at + size, duration: opusDuration(bytes.subarray(at, at + size)), config: none };
}

function syncPossible(bytes: Uint8Array, first: number): boolean {
  return bytes.length === 0 || bytes[0] === first;
}
