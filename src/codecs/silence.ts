import type { MakeSilence, Silence } from "../media/silence.ts";
import type { AudioTrack } from "../media/track.ts";
import { aacTrack, makeAacConfig, parseAacConfig } from "./aac.ts";

/**
 * One AAC-LC access unit without any spectral data (ISO/IEC 14496-3 clause 4.4.2.1: elements with `max_sfb` 0, then ID_END), by
 * channelConfiguration.
 */
const aacFrames: Readonly<Record<number, string>> = {
  1: "00c800802380",
  2: "210049900219002380",
  3: "00c8008020840126400864008e",
  4: "00c800802084012640086400802c80080238",
  5: "00c800802084012640086400823004990021900238",
  6: "00c800802084012640086400823004990021900200b2002008e0",
};
/** 20 ms of nothing in stereo: CELT, full band, one frame (RFC 6716 clause 3.1). */
const opusPacket = Uint8Array.of(0xf8, 0xff, 0xfe);

/** Silence of AAC and Opus. */
export const makeSilence: MakeSilence = (id, like) => {
  if (like?.codec === "opus") return { track: { ...like, id }, data: opusPacket, duration: 20_000 };
  if (like !== undefined && like.codec !== "aac") return undefined;
  return like === undefined ? aacSilence(aacTrack(id, makeAacConfig(2, 48_000, 2))) : aacSilence({ ...like, id });
};

function aacSilence(like: AudioTrack): Silence | undefined {
  const config = parseAacConfig(like.config);
  const frame = aacFrames[config.channelConfiguration];
  if (frame === undefined) return undefined;
  // HE-AAC is silent as the AAC-LC in it, at the same rate of decoded sound.
  const plain = config.objectType === 2 && config.samplesPerPacket === 1024;
  const track = plain ? like : { ...aacTrack(like.id, makeAacConfig(2, config.sampleRate, config.channelConfiguration)) };
  return { track, data: fromHex(frame), duration: Math.round((1024 * 1e6) / config.sampleRate) };
}

function fromHex(text: string): Uint8Array {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}
