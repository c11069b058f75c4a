import { hash } from "node:crypto";
import { parseAddress } from "../base/address.ts";
import type { Identity, SessionSettings, SessionType } from "./session.ts";

/** The bits of a session mode: which parts of an identity make it the same session. */
const identityPart = { stream: 8, address: 4, token: 2, protocol: 1 } as const;

const prefix: Readonly<Record<SessionType, string>> = { viewer: "", input: "I", output: "O", unspecified: "U" };

/** The mode (bit mask 0 to 15) that the settings give for a type of session. */
export function sessionMode(type: SessionType, settings: SessionSettings): number {
  switch (type) {
    case "viewer":
      return settings.sessionViewerMode;
    case "input":
      return settings.sessionInputMode;
    case "output":
      return settings.sessionOutputMode;
    case "unspecified":
      return settings.sessionUnspecifiedMode;
  }
}

/**
 * The session's id: MistServer's, so that handlers can compute it. Lower-case hexadecimal SHA-256 over the chosen parts
 * without separators, in the order stream, address (16 bytes), token, connector; I, O or U goes before all but viewers' ids.
 * An address that is no IP address (tests, local pipes) takes part as text.
 */
export function sessionId(identity: Identity, mode: number): string {
  const parts: Uint8Array[] = [];
  const text = new TextEncoder();
  if (mode & identityPart.stream) parts.push(text.encode(identity.stream));
  if (mode & identityPart.address) parts.push(parseAddress(identity.address) ?? text.encode(identity.address));
  if (mode & identityPart.token) parts.push(text.encode(identity.token));
  if (mode & identityPart.protocol) parts.push(text.encode(identity.protocol));
  return prefix[identity.type] + hash("sha256", joined(parts), "hex");
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
