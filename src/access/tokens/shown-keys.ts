import { createHash } from "node:crypto";
import { SluiceError } from "../../base/errors.ts";
import { type FlatEntry, flattenEntries, type KeyEntry } from "./key-entry.ts";
import type { Jwk } from "./jwk.ts";
import { type Permissions, permissionsOf } from "./permissions.ts";

/** What a JWK may say beside the parts of its key. */
const described = ["kty", "use", "key_ops", "alg", "kid", "x5u", "x5c", "x5t", "x5t#S256"];
/** What verifies. Private parts are neither kept nor shown. */
const verifying = ["k", "n", "e", "crv", "x", "y"];

const maskPattern = /^\(hidden-[0-9a-f]{8}\)$/;

/** An entry as it is shown: the key without its secret, and all permissions. */
export type ShownEntry = readonly [Jwk | string, Permissions];

/** Makes entries flat and leaves private parts out: what the setting `jwks` keeps of what came through the API. */
export function tidyEntries(value: unknown): readonly FlatEntry[] {
  return flattenEntries(value).map(({ jwk, permissions }) => ({ jwk: typeof jwk === "string" ? jwk : tidy(jwk), permissions }));
}

/** As the setting has it. */
export function storedEntry({ jwk, permissions }: FlatEntry): KeyEntry {
  return permissions ? [jwk, permissions] : jwk;
}

/** As it may be shown: `k` of a symmetric key is masked, so that it can be written back. */
export function shownEntry({ jwk, permissions }: FlatEntry): ShownEntry {
  return [typeof jwk === "string" ? jwk : shownJwk(jwk), permissionsOf(permissions)];
}

export function shownJwk(jwk: Jwk): Jwk {
  const { k, ...rest } = tidy(jwk);
  return typeof k === "string" ? { ...rest, k: maskOf(k) } : rest;
}

/** What a client wrote that had read the keys before: masks become what they stand for. Throws "config.invalid" for one that stands for nothing here. */
export function withSecret(entry: FlatEntry, current: readonly FlatEntry[]): FlatEntry {
  const { jwk } = entry;
  if (typeof jwk === "string" || typeof jwk["k"] !== "string" || !maskPattern.test(jwk["k"])) return entry;
  const mask = jwk["k"];
  for (const { jwk: known } of current) {
    if (typeof known !== "string" && typeof known["k"] === "string" && maskOf(known["k"]) === mask) {
      return { ...entry, jwk: { ...jwk, k: known["k"] } };
    }
  }
  throw new SluiceError("config.invalid", `\`k\` is ${mask}, which stands for a key that is not here; write the key itself`);
}

/** True if both mean the same key or address: by `kid` where the second has one, else by the key itself. */
export function sameKey(entry: FlatEntry, { jwk }: Pick<FlatEntry, "jwk">): boolean {
  const own = entry.jwk;
  if (typeof own === "string" || typeof jwk === "string") return own === jwk;
  if (typeof jwk["kid"] === "string" && jwk["kid"] !== "") return own["kid"] === jwk["kid"];
  return sameMaterial(own, jwk);
}

/** True if two JWKs hold the same key; one of them may be masked. */
export function sameMaterial(left: Jwk, right: Jwk): boolean {
  const [a, b] = [shownJwk(left), shownJwk(right)];
  return a.kty === b.kty && verifying.every((member) => a[member] === b[member]);
}

function tidy(jwk: Jwk): Jwk {
  const members = [...described, ...verifying].filter((member) => jwk[member] !== undefined);
  return Object.fromEntries(members.map((member) => [member, jwk[member]])) as Jwk;
}

function maskOf(secret: string): string {
  return maskPattern.test(secret) ? secret : `(hidden-${createHash("sha256").update(secret).digest("hex").slice(0, 8)})`;
}
