import type { Stream } from "../../streams/stream.ts";

/** Bits per second of all tracks of a stream, as they were measured over the last seconds; 0 when that is not known. */
export function bitrateOf(stream: Stream | undefined): number {
  let bytes = 0;
  for (const { id } of stream?.tracks ?? []) bytes += stream?.trackStats(id)?.bytesPerSecond ?? 0;
  return bytes * 8;
}
