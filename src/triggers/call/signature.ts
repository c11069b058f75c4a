import { createHash, createHmac, createSecretKey, type KeyObject } from "node:crypto";

/** A secret of Standard Webhooks, held so that neither a log line nor a read-back can show it. */
export type SigningKey = { readonly key: KeyObject; readonly mask: string };

const prefix = "whsec_";
/** The specification's bounds for a secret, in bytes. */
const leastBytes = 24;
const mostBytes = 64;
const maskPattern = /^whsec_\(hidden-[0-9a-f]{8}\)$/;

/** What may stand for a secret, for messages. */
export const secretWords = `"${prefix}" and the base64 of ${leastBytes} to ${mostBytes} random bytes`;

/** Reads a secret; undefined when it is none. */
export function parseSecret(value: unknown): SigningKey | undefined {
  if (typeof value !== "string" || !value.startsWith(prefix)) return undefined;
  const text = value.slice(prefix.length);
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return undefined;
  const bytes = Buffer.from(text, "base64");
  if (bytes.length < leastBytes || bytes.length > mostBytes) return undefined;
  return { key: createSecretKey(bytes), mask: maskOf(value) };
}

/** Stands for a secret wherever it could be read. The same secret has the same mask, so that it can be written back. */
export function maskOf(secret: string): string {
  return `${prefix}(hidden-${createHash("sha256").update(secret).digest("hex").slice(0, 8)})`;
}

/** True for what `maskOf` gives. */
export function isMask(value: unknown): value is string {
  return typeof value === "string" && maskPattern.test(value);
}

/**
 * The headers of Standard Webhooks: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`, for each key, parted by
 * spaces: whoever knows one of the keys can check it, so that a key can be exchanged while both sides run.
 */
export function signatureHeaders(id: string, unixMillis: number, body: string, keys: readonly SigningKey[]): Record<string, string> {
  const timestamp = String(Math.floor(unixMillis / 1000));
  const headers = { "webhook-id": id, "webhook-timestamp": timestamp };
  if (keys.length === 0) return headers;
  const sign = ({ key }: SigningKey): string => `v1,${createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest("base64")}`;
  return { ...headers, "webhook-signature": keys.map(sign).join(" ") };
}
