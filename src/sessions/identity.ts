import { hash } from "node:crypto";
import { formatAddress, parseAddress } from "../base/address.ts";
import { type IdentitySource, spelling } from "../base/session-identity.ts";
import type { Identity, SessionSettings, SessionType } from "./session.ts";

/** The bits of a session mode: which parts of an identity make it the same session. */
export const identityPart = { stream: 8, address: 4, token: 2, protocol: 1 } as const;

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

/**
 * The id by an identity expression: of each part the first source that the client has. Who has none of them is told apart by its
 * token, also one that was made for it: clients that lack a cookie must not become one viewer. Sources count with their names, so
 * that no token can look like somebody's cookie or claim.
 */
export function expressionId(identity: Identity, parts: readonly (readonly IdentitySource[])[], user: string): string {
  const values = parts.map((sources): readonly [string, string] => {
    for (const source of sources) {
      const value = valueOf(source, identity, user);
      if (value !== undefined) return [spelling(source), value];
    }
    return ["token", identity.token];
  });
  return hash("sha256", JSON.stringify(values), "hex");
}

/** What the client has; undefined if it has not got it. */
function valueOf(source: IdentitySource, identity: Identity, user: string): string | undefined {
  switch (source.kind) {
    case "stream":
      return identity.stream;
    case "protocol":
      return identity.protocol;
    case "user":
      return user || undefined;
    case "token":
      return identity.madeToken ? undefined : identity.token || undefined;
    case "ip":
      return networkOf(identity.address, source.bits);
    case "cookie":
      return memberOf(identity.cookies, source.name) || undefined;
    case "claim": {
      const claim = memberOf(identity.claims, source.name);
      if (claim === undefined || claim === null || claim === "") return undefined;
      return typeof claim === "string" ? claim : JSON.stringify(claim);
    }
  }
}

function memberOf<T>(members: Readonly<Record<string, T>> | undefined, name: string): T | undefined {
  return members && Object.hasOwn(members, name) ? members[name] : undefined;
}

/** The first bits of an address, as hexadecimal digits; what is no address takes part as it is. */
function networkOf(text: string, { v4, v6 }: { readonly v4: number; readonly v6: number }): string {
  const address = parseAddress(text);
  if (!address) return text;
  const bits = formatAddress(address).includes(":") ? v6 : 96 + v4;
  const bytes = address.map((byte, at) => byte & (0xff00 >> Math.min(Math.max(bits - at * 8, 0), 8)) & 0xff);
  return Buffer.from(bytes).toString("hex");
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
