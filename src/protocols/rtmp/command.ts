import { SluiceError } from "../../base/errors.ts";
import { decodeAmf0, encodeAmf0 } from "../../containers/amf/amf0.ts";
import { messageType, type RtmpMessage } from "./wire/message.ts";

/** A remote call: name, number that the answer repeats (0: no answer wanted), command object, and further arguments. */
export type Command = {
  readonly name: string;
  readonly transaction: number;
  readonly object: Readonly<Record<string, unknown>>;
  readonly args: readonly unknown[];
  readonly streamId: number;
};

/** Body of a command or data message. Those of AMF 3 begin with a zero and go on in AMF 0, which switches where it must. */
function amfBody(message: RtmpMessage): Uint8Array {
  const amf3 = message.type === messageType.commandAmf3 || message.type === messageType.dataAmf3;
  return amf3 && message.payload[0] === 0 ? message.payload.subarray(1) : message.payload;
}

/** Reads a command message of either encoding. Throws `SluiceError` "input.*". */
export function readCommand(message: RtmpMessage): Command {
  const [name, transaction, object, ...args] = decodeAmf0(amfBody(message));
  if (typeof name !== "string") throw new SluiceError("input.invalid", "RTMP command without a name");
  return {
    name,
    transaction: typeof transaction === "number" ? transaction : 0,
    object: asRecord(object),
    args,
    streamId: message.streamId,
  };
}

/**
 * The body of the FLV script tag that a data message stands for (a view): `@setDataFrame` in front is the publisher's
 * "keep this for later viewers" and is cut off.
 */
export function scriptTagBody(message: RtmpMessage): Uint8Array {
  const body = amfBody(message);
  return setDataFrame.every((byte, index) => body[index] === byte) ? body.subarray(setDataFrame.length) : body;
}

const setDataFrame = encodeAmf0(["@setDataFrame"]);

/** The value if it is a record, else an empty one: clients leave the command object out in many ways. */
export function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

/** A command of ours: on chunk stream 3 for the connection, on 5 for a message stream. */
export function commandMessage(streamId: number, values: readonly unknown[]): RtmpMessage {
  return { chunkStreamId: streamId === 0 ? 3 : 5, type: messageType.commandAmf0, timestamp: 0, streamId, payload: encodeAmf0(values) };
}

/** A data message of ours, such as `|RtmpSampleAccess`. */
export function dataMessage(streamId: number, values: readonly unknown[]): RtmpMessage {
  return { chunkStreamId: 5, type: messageType.dataAmf0, timestamp: 0, streamId, payload: encodeAmf0(values) };
}

/** What `onStatus` tells: Adobe's codes, such as `NetStream.Publish.Start`. The description is for people. */
export type Status = { readonly level: "status" | "error"; readonly code: string; readonly description: string };

/** `onStatus` about a message stream. */
export function statusMessage(streamId: number, status: Status): RtmpMessage {
  return commandMessage(streamId, ["onStatus", 0, null, status]);
}
