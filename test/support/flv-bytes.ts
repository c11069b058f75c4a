import { readFile } from "node:fs/promises";
import { flvDemuxer } from "../../src/containers/flv/demuxer.ts";
import { FlvTagReader } from "../../src/containers/flv/tag-reader.ts";
import { isTrackList } from "../../src/media/format.ts";
import type { Packet } from "../../src/media/packet.ts";
import type { Track } from "../../src/media/track.ts";

/** Tracks (the last list) and packets of an FLV byte stream, as our own demuxer reads them. */
export function readFlv(bytes: Uint8Array): { readonly tracks: readonly Track[]; readonly packets: readonly Packet[] } {
  const demuxer = flvDemuxer();
  const outputs = [...demuxer.feed(bytes), ...demuxer.flush()];
  return {
    tracks: outputs.findLast(isTrackList)?.tracks ?? [],
    packets: outputs.flatMap((output) => (isTrackList(output) ? [] : [output])),
  };
}

/** One tag as it stands in the bytes; `kind` says what a player has to do with it. */
export type FlvTagFacts = {
  readonly kind: "metadata" | "video config" | "video key" | "video" | "video end" | "audio config" | "audio" | "other";
  readonly timestampMs: number;
  readonly body: Uint8Array;
};

/** The tags of an FLV byte stream in their order, legacy and enhanced ones. */
export function flvTags(bytes: Uint8Array): FlvTagFacts[] {
  return new FlvTagReader().read(bytes).map(({ type, timestampMs, body }) => ({
    kind: type === 18 ? "metadata" : type === 9 ? videoKind(body) : type === 8 ? audioKind(body) : "other",
    timestampMs,
    body: body.slice(),
  }));
}

function videoKind([head = 0, packetType = 0]: Uint8Array): FlvTagFacts["kind"] {
  const enhanced = (head & 0x80) !== 0;
  const step = enhanced ? head & 15 : packetType;
  if (step === 0) return "video config";
  if (step === 2) return "video end";
  return ((head >> 4) & 7) === 1 ? "video key" : "video";
}

function audioKind([head = 0, packetType = 0]: Uint8Array): FlvTagFacts["kind"] {
  const format = head >> 4;
  const isConfig = (format === 9 && (head & 15) === 0) || (format === 10 && packetType === 0);
  return isConfig ? "audio config" : "audio";
}

/**
 * The tags of an enhanced HEVC file in the form that encoders used before there was a FourCC for it: codec id 12, laid out
 * like H.264's (Chinese CDNs' convention).
 */
export async function legacyHevcTags(
  path: string,
): Promise<{ readonly type: number; readonly timestampMs: number; readonly body: Uint8Array }[]> {
  const tags = new FlvTagReader().read(new Uint8Array(await readFile(path)));
  return tags.flatMap(({ type, timestampMs, body }) => {
    const head = body[0] ?? 0;
    if (type !== 9 || (head & 0x80) === 0) return [{ type, timestampMs, body: body.slice() }];
    const packetType = head & 15;
    const legacyHead = (head & 0x70) | 12;
    if (packetType === 0) return [{ type, timestampMs, body: Uint8Array.of(legacyHead, 0, 0, 0, 0, ...body.subarray(5)) }];
    if (packetType === 1) return [{ type, timestampMs, body: Uint8Array.of(legacyHead, 1, ...body.subarray(5)) }];
    if (packetType === 3) return [{ type, timestampMs, body: Uint8Array.of(legacyHead, 1, 0, 0, 0, ...body.subarray(5)) }];
    return [];
  });
}
