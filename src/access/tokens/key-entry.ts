import type { Jwk } from "./jwk.ts";
import type { KeyPermissions } from "./permissions.ts";

/** JWKs under one roof (RFC 7517 section 5). */
export type Jwks = { readonly keys: readonly Jwk[] };

/** One entry of the setting `jwks`: a key, a set of keys or the address of a set, alone or with permissions. */
export type KeyEntry = string | Jwk | Jwks | readonly [string | Jwk | Jwks, KeyPermissions?];

/** An entry with nothing nested in it. */
export type FlatEntry = { readonly jwk: Jwk | string; readonly permissions: KeyPermissions | undefined };

/**
 * What a list of entries, or one entry, comes to: keys and addresses (`https://...`), with the permissions that were given. What is
 * none of that is left out, as in MistServer.
 */
export function flattenEntries(value: unknown): readonly FlatEntry[] {
  if (!Array.isArray(value)) return flattenOne(value, undefined);
  return value.flatMap((entry: unknown) => {
    if (!Array.isArray(entry)) return flattenOne(entry, undefined);
    const [what, permissions] = entry as unknown[];
    return flattenOne(what, isObject(permissions) ? (permissions as KeyPermissions) : undefined);
  });
}

function flattenOne(what: unknown, permissions: KeyPermissions | undefined): readonly FlatEntry[] {
  if (typeof what === "string") return /^https?:\/\//i.test(what) ? [{ jwk: what, permissions }] : [];
  if (!isObject(what)) return [];
  const { keys } = what;
  if (Array.isArray(keys)) return keys.filter(isJwk).map((jwk) => ({ jwk, permissions }));
  return isJwk(what) ? [{ jwk: what, permissions }] : [];
}

function isJwk(value: unknown): value is Jwk {
  return isObject(value) && typeof value["kty"] === "string" && value["kty"] !== "";
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
