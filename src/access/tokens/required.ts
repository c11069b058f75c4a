import { SluiceError } from "../../base/errors.ts";
import { baseName, type StreamName } from "../../base/stream-name.ts";
import type { GateSettings } from "../settings.ts";
import type { TokenVerdict } from "./verifier.ts";

/** True if nobody may watch this stream without a JWT, nor push to it without one or a stream key. */
export function requiresToken(settings: GateSettings, stream: StreamName): boolean {
  return settings.stream(baseName(stream))?.requireToken ?? settings.requireToken ?? false;
}

/** The refusal of who has no token, or one that does not hold, where one is required. It says what was wrong, never the token. */
export function tokenRefusal(verdict: TokenVerdict): SluiceError {
  return new SluiceError("access.denied", verdict.kind === "invalid" ? verdict.reason : "This stream needs a token.");
}
