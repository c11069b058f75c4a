import { createPublicKey, createSecretKey, type JsonWebKey as PublicJwk, type KeyObject } from "node:crypto";
import { messageOf, SluiceError } from "../../base/errors.ts";
import type { Permissions } from "./permissions.ts";

/** A key as JSON (RFC 7517): what it consists of depends on `kty`. */
export type Jwk = { readonly kty: string } & Readonly<Record<string, unknown>>;

/** A key that tokens are checked with. */
export type TokenKey = {
  readonly kid: string | undefined;
  /** The algorithms that fit the key's type and, if it names one, that one alone: a token cannot choose another use of the key. */
  readonly algorithms: readonly string[];
  /** The same for the same key, whatever else its JWK says. Not secret for public keys; never shown. */
  readonly material: string;
  readonly permissions: Permissions;
  readonly key: KeyObject;
};

const curves: Readonly<Record<string, readonly string[]>> = {
  "P-256": ["ES256"],
  "P-384": ["ES384"],
  "P-521": ["ES512"],
  Ed25519: ["EdDSA", "Ed25519"],
};

/** What verifies of each type of key; private parts are not taken. */
const types = {
  oct: { members: ["k"], algorithms: () => ["HS256", "HS384", "HS512"] },
  RSA: { members: ["n", "e"], algorithms: () => ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] },
  EC: { members: ["crv", "x", "y"], algorithms: (crv: string) => (crv.startsWith("P-") ? curves[crv] : undefined) },
  OKP: { members: ["crv", "x"], algorithms: (crv: string) => (crv.startsWith("Ed") ? curves[crv] : undefined) },
} as const;

/** Shorter moduli can be factored (RFC 7518 section 3.3). */
const leastRsaBits = 2048;

/** Makes a key of a JWK, once. Throws `SluiceError` "config.invalid" in words that hold nothing of the key. */
export function readKey(jwk: Jwk, permissions: Permissions): TokenKey {
  const type = Object.hasOwn(types, jwk.kty) ? types[jwk.kty as keyof typeof types] : undefined;
  if (!type) throw invalid(`its \`kty\` must be one of ${Object.keys(types).join(", ")}`);
  const parts: Record<string, string> = {};
  for (const member of type.members) {
    const value = jwk[member];
    if (typeof value !== "string" || value === "") throw invalid(`it has no \`${member}\``);
    parts[member] = value;
  }
  const fitting = type.algorithms(parts["crv"] ?? "");
  if (!fitting) throw invalid(`its \`crv\` must be one of ${Object.keys(curves).join(", ")}, and fit its \`kty\``);
  checkUse(jwk);
  const { alg, kid } = jwk;
  if (alg !== undefined && !(fitting as readonly unknown[]).includes(alg))
    throw invalid(`its \`alg\` must be one of ${fitting.join(", ")}`);
  return {
    kid: typeof kid === "string" && kid !== "" ? kid : undefined,
    algorithms: typeof alg === "string" ? [alg] : fitting,
    material: JSON.stringify([jwk.kty, ...Object.values(parts)]),
    permissions,
    key: keyObjectOf(jwk.kty, parts),
  };
}

function checkUse({ use, key_ops: uses }: Jwk): void {
  if (use !== undefined && use !== "sig") throw invalid('its `use` must be "sig"');
  if (Array.isArray(uses) && !uses.includes("verify") && !uses.includes("sign")) throw invalid('its `key_ops` must have "verify" in it');
}

function keyObjectOf(kty: string, parts: Readonly<Record<string, string>>): KeyObject {
  if (kty === "oct") {
    const secret = Buffer.from(parts["k"] ?? "", "base64url");
    if (secret.length === 0) throw invalid("its `k` must be base64url");
    return createSecretKey(secret);
  }
  let key: KeyObject;
  try {
    key = createPublicKey({ key: { kty, ...parts } satisfies PublicJwk, format: "jwk" });
  } catch (error) {
    throw invalid(`it cannot be read: ${messageOf(error)}`);
  }
  const bits = key.asymmetricKeyDetails?.modulusLength ?? leastRsaBits;
  if (bits < leastRsaBits) throw invalid(`it has ${bits} bits; RSA keys need at least ${leastRsaBits}`);
  return key;
}

function invalid(words: string): SluiceError {
  return new SluiceError("config.invalid", words);
}
