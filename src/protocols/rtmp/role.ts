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

/** The words of a refusal for the client: the reason of a `SluiceError`, nothing of what is inside other errors. */
export function refusalOf(error: unknown): SluiceError {
  return isSluiceError(error) ? error : new SluiceError("access.denied", "the server could not decide");
}

/** The reason with which a signal was aborted. */
export function endingOf(signal: AbortSignal): SluiceError {
  const reason: unknown = signal.reason;
  return isSluiceError(reason) ? reason : new SluiceError("access.ended", messageOf(reason));
}
