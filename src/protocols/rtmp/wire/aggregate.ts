import { ByteReader } from "../../../base/bytes.ts";
import type { RtmpMessage } from "./message.ts";

/**
 * The messages inside an Aggregate message (specification 1.0, section 7.1.6): each has the header of an FLV tag and a
 * back pointer behind it.
 *
 *     type 1 | length 3 | time 3 + 1 | stream id 3 | payload | length + 11 as 4 bytes
 *
 * Times are moved so that the first one equals the aggregate's. Payloads are views. A last back pointer that is missing
 * is tolerated. Throws `SluiceError` "input.invalid".
 */
export function splitAggregate(message: RtmpMessage): RtmpMessage[] {
  const reader = new ByteReader(message.payload, "RTMP Aggregate message");
  const parts: RtmpMessage[] = [];
  let shift: number | undefined;
  while (reader.remaining > 0) {
    const type = reader.u8();
    const length = reader.u24();
    const low = reader.u24();
    const time = reader.u8() * 2 ** 24 + low;
    reader.skip(3);
    shift ??= message.timestamp - time;
    parts.push({
      chunkStreamId: message.chunkStreamId,
      type,
      timestamp: (time + shift) >>> 0,
      streamId: message.streamId,
      payload: reader.bytes(length),
    });
    reader.skip(Math.min(4, reader.remaining));
  }
  return parts;
}
