import { isSluiceError, messageOf } from "./errors.ts";
import type { PumpEnd } from "./pump.ts";

/** MistServer's machine-readable exit reasons, as far as Sluice has them; `CLEAN_` is in order, all others are not. */
export type ExitCode =
  | "CLEAN_REMOTE_CLOSE"
  | "CLEAN_CONTROLLER_REQ"
  | "CLEAN_INTENDED_STOP"
  | "CLEAN_INACTIVE"
  | "CLEAN_EOF"
  | "CLEAN_SIGNAL"
  | "READ_START_FAILURE"
  | "FORMAT_SPECIFIC"
  | "WRITE_FAILURE"
  | "UNAUTHORISED"
  | "TRIGGER"
  | "UNKNOWN";

/** Why a stream, an input or an output ended: a code for programs and words for people. */
export type ExitReason = { readonly code: ExitCode; readonly text: string };

export const peerGone: ExitReason = { code: "CLEAN_REMOTE_CLOSE", text: "connection closed" };

/** True for an end in order. */
export function isClean({ code }: ExitReason): boolean {
  return code.startsWith("CLEAN_");
}

/** What the end of a pump means for its output. `signal` is the one that takes the permission away. */
export function exitOf(end: PumpEnd, signal: AbortSignal): ExitReason {
  switch (end) {
    case "peer-gone":
      return peerGone;
    case "stream-ended":
      return { code: "CLEAN_EOF", text: "end of stream" };
    case "too-slow":
      return { code: "WRITE_FAILURE", text: "the connection is too slow for this stream" };
    case "withdrawn":
      return withdrawn(signal.reason);
  }
}

function withdrawn(reason: unknown): ExitReason {
  return { code: isSluiceError(reason, "access.denied") ? "UNAUTHORISED" : "CLEAN_CONTROLLER_REQ", text: messageOf(reason) };
}
