import { contains, parseAddress, parseNetwork } from "../../base/address.ts";
import type { Jwt } from "./jwt.ts";
import { coversStream, fitsPattern, type Permissions } from "./permissions.ts";
import type { TokenUse, TokenVerdict } from "./verifier.ts";

/** Milliseconds that a token is taken before its `nbf`: clocks differ. `exp` is exact: who made the token chose its end. */
const earlyMs = 5_000;

const uses = { input: "push", output: "watch", admin: "use the API" } as const;

/**
 * Looks at what a token with a good signature says: whether its key may do this (`grants`: one for each entry of the key), its stream
 * (`sub`, one `*` allowed), address (`ipa`, an address or network) and time. What it does not say does not bind it. `now`: Unix milliseconds.
 */
export function checkClaims(claims: Jwt["claims"], grants: readonly Permissions[], use: TokenUse, now: number): TokenVerdict {
  const wrong =
    wrongGrant(grants, use) ?? wrongStream(claims["sub"], use) ?? wrongAddress(claims["ipa"], use.address) ?? wrongTimes(claims);
  if (wrong !== undefined) return { kind: "invalid", reason: wrong };
  const expiresAt = momentOf(claims["exp"]);
  if (expiresAt !== undefined && now >= expiresAt) return { kind: "invalid", reason: "The token has expired." };
  const notBefore = (momentOf(claims["nbf"]) ?? Number.NEGATIVE_INFINITY) - earlyMs;
  if (now < notBefore) return { kind: "invalid", reason: "The token is not valid yet.", notBefore };
  return { kind: "valid", claims, expiresAt };
}

function wrongGrant(grants: readonly Permissions[], { permission, stream }: TokenUse): string | undefined {
  const able = grants.filter((grant) => grant[permission]);
  if (able.length === 0) return `The token's key is not there to ${uses[permission]}.`;
  if (permission === "admin" || able.some((grant) => coversStream(grant, stream))) return undefined;
  return "The token's key is not for this stream.";
}

function wrongStream(sub: unknown, { permission, stream }: TokenUse): string | undefined {
  if (sub === undefined || permission === "admin") return undefined;
  return typeof sub === "string" && fitsPattern(sub, stream) ? undefined : "The token is for another stream.";
}

function wrongAddress(ipa: unknown, address: string): string | undefined {
  if (ipa === undefined) return undefined;
  const network = typeof ipa === "string" ? parseNetwork(ipa) : undefined;
  if (!network) return "The token's `ipa` is no address.";
  const peer = parseAddress(address);
  return peer && contains(network, peer) ? undefined : "The token is for another address.";
}

function wrongTimes(claims: Jwt["claims"]): string | undefined {
  const odd = ["exp", "nbf"].find((name) => claims[name] !== undefined && momentOf(claims[name]) === undefined);
  return odd === undefined ? undefined : `The token's \`${odd}\` is no time.`;
}

/** Unix milliseconds of a NumericDate (seconds, RFC 7519 section 2); undefined for everything else. */
function momentOf(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value * 1000) ? value * 1000 : undefined;
}
