import type { Packet } from "../../media/packet.ts";
import type { Track, TrackId } from "../../media/track.ts";
import { packetSize } from "./packet-writer.ts";
import { ProgramWriter } from "./program-writer.ts";
import { patPid, pmtPid } from "./psi.ts";

/**
 * One self-contained piece of MPEG-TS, such as an HLS segment (RFC 8216 3.2), in new memory that the caller owns.
 *
 * The bytes depend on the arguments alone, and segments with rising `sequence` join without a break whoever made them and
 * in which order: the tables come once, with `sequence` as their continuity counter, and every other PID begins and
 * ends with counter 0 because its last PES packet is spread over a few more transport packets (1.4 kB on average).
 * `tracks` are the ones to carry; `packets` are in decode order and may hold those of other tracks.
 */
export function muxSegment(tracks: readonly Track[], packets: readonly Packet[], sequence: number): Uint8Array {
  const program = new ProgramWriter(tracks);
  let bytes = 64 * packetSize;
  const last = new Map<TrackId, Packet>();
  for (const packet of packets) {
    if (!program.has(packet.trackId)) continue;
    last.set(packet.trackId, packet);
    bytes += Math.ceil((packet.data.length + 64) / (packetSize - 4)) * packetSize;
  }
  program.out.reserve(bytes);
  program.out.setCounter(patPid, sequence);
  program.out.setCounter(pmtPid, sequence);
  program.psi();
  for (const packet of packets) program.add(packet, last.get(packet.trackId) === packet);
  return program.out.take();
}
