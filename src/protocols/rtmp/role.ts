import { isSluiceError, messageOf, SluiceError } from "../../base/errors.ts";
import type { CloseReason } from "../../streams/stream.ts";
import type { AccessRequest, Host, TcpConnection } from "../protocol.ts";
import type { RtmpPeer } from "./peer.ts";
import type { RtmpMessage } from "./wire/message.ts";

/** What a connection has become after `publish` or `play` was allowed. */
export interface Role {
  /** True for a publisher, which is expected to send all the time. */
  readonly publishes: boolean;
  /** Takes an audio, video or data message of the client. */
  message(message: RtmpMessage): void;
  /** Counts bytes that came from the client. */
  received(bytes: number): void;
  /** Ends the role; the connection may go on. Does nothing the second time. Never rejects. */
  close(reason: CloseReason): Promise<void>;
}

/** What a role gets of its connection. */
export type RoleContext = {
  readonly host: Host;
  readonly tcp: TcpConnection;
  readonly peer: RtmpPeer;
  readonly request: AccessRequest;
  readonly streamId: number;
  /** Ends the connection after what was sent has been flushed. */
  readonly finish: () => void;
  /** Ends the connection because something broke; the host logs it. */
  readonly fail: (error: unknown) => void;
};

/**
 * Waits for the gate's answer. A no is told to the client with the code of `codeOf` and its reason, and ends the connection;
 * then this gives undefined. Of other errors the client learns nothing but that it is refused; they reject.
 */
export async function decided<T>(
  context: RoleContext,
  answer: Promise<T>,
  codeOf: (refusal: SluiceError) => string,
): Promise<T | undefined> {
  const { peer, streamId, finish } = context;
  try {
    return await answer;
  } catch (error) {
    const refusal = isSluiceError(error) ? error : new SluiceError("access.denied", "the server could not decide");
    peer.status(streamId, "error", codeOf(refusal), refusalWords(refusal));
    if (!isSluiceError(error)) throw error;
    finish();
    return undefined;
  }
}

/** The reason, and the number by which an operator finds out why. */
function refusalWords({ message, decisionId }: SluiceError): string {
  return decisionId === undefined ? message : `${message} (decision ${decisionId})`;
}

/** The reason with which a signal was aborted. */
export function endingOf(signal: AbortSignal): SluiceError {
  const reason: unknown = signal.reason;
  return isSluiceError(reason) ? reason : new SluiceError("access.ended", messageOf(reason));
}
