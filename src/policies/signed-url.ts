import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from "node:crypto";

/** Keys that URLs are signed with, by name; the first signs, all are taken: so keys can be exchanged. */
export type SigningKeys = ReadonlyMap<string, KeyObject>;

/** What a signature covers: the stream as the URL names it, until when (Unix seconds), and from which address, if that is fixed. */
export type Signed = { readonly stream: string; readonly expires: number; readonly address?: string | undefined };

/** Keys from the configuration: `{ "2026-11": "secret" }`. */
export function signingKeys(keys: Readonly<Record<string, string>>): SigningKeys {
  return new Map(Object.entries(keys).map(([name, secret]) => [name, createSecretKey(Buffer.from(secret, "utf8"))]));
}

/**
 * The parameters that make a URL a signed one: `expires`, `key`, `signature` (HMAC-SHA256 in base64url over the lines key, stream,
 * expires, address) and `ip` when it is for one address. They hold for every output of the stream, as players ask for many addresses.
 */
export function signedQuery(what: Signed, key: string, secret: KeyObject): URLSearchParams {
  const query = new URLSearchParams({ expires: String(what.expires), key, signature: signature(what, key, secret) });
  if (what.address !== undefined) query.set("ip", what.address);
  return query;
}

/** Why a request is not signed as it should be, in words for the client; undefined when it is. `now` in Unix milliseconds. */
export function faultOfSigned(
  { stream, address, query }: { readonly stream: string; readonly address: string; readonly query: Readonly<Record<string, string>> },
  keys: SigningKeys,
  now: number,
): string | undefined {
  const { expires, key, signature: given, ip } = query;
  if (expires === undefined || key === undefined || given === undefined) return "this address needs a signature";
  const secret = keys.get(key);
  if (!secret || !/^\d{1,12}$/.test(expires)) return "the signature of this address is wrong";
  const right = signature({ stream, expires: Number(expires), address: ip }, key, secret);
  const [a, b] = [Buffer.from(right), Buffer.from(given)];
  if (a.length !== b.length || !timingSafeEqual(a, b)) return "the signature of this address is wrong";
  if (Number(expires) * 1000 <= now) return "this address has expired";
  if (ip !== undefined && ip !== address) return "this address is for another client";
  return undefined;
}

function signature({ stream, expires, address = "" }: Signed, key: string, secret: KeyObject): string {
  return createHmac("sha256", secret).update(`${key}\n${stream}\n${expires}\n${address}`).digest("base64url");
}
