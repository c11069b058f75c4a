/** A JSON Web Token in its compact form (RFC 7519, RFC 7515 section 7.1), read and not verified: nothing of it may be believed. */
export type Jwt = {
  readonly algorithm: string;
  /** The name of the key that signed it; undefined when it does not say. */
  readonly kid: string | undefined;
  readonly claims: Readonly<Record<string, unknown>>;
};

/** Longer than any honest token, in characters. */
const longest = 8192;

/** Three parts in base64url; the last may be empty, as in tokens that nobody has signed. */
const shape = /^[\w-]{2,}\.[\w-]{2,}\.[\w-]*$/;

/** True if a text looks like a token; its parts may still be nonsense. Cheap: it stands in the way of every stream name. */
export function looksLikeJwt(text: string): boolean {
  return text.length >= 7 && text.length <= longest && text.includes(".") && shape.test(text);
}

/** Reads a token; undefined for everything that is none. */
export function readJwt(text: string): Jwt | undefined {
  if (!looksLikeJwt(text)) return undefined;
  const [head = "", body = ""] = text.split(".");
  const header = objectOf(head);
  const algorithm = header?.["alg"];
  if (!header || typeof algorithm !== "string") return undefined;
  const claims = objectOf(body);
  if (!claims) return undefined;
  const kid = header["kid"];
  return { algorithm, kid: typeof kid === "string" ? kid : undefined, claims };
}

/** The JSON object in a part. Depth is bounded by the token's length. */
function objectOf(part: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
