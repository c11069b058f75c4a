import { createHash, randomBytes } from "node:crypto";

/** Hashes of RFC 7616 section 3.3 that are spoken; `-sess` is not. */
const hashes: Readonly<Record<string, string>> = { md5: "md5", "sha-256": "sha256" };

/**
 * The `Authorization` that answers a 401, from user and password of the URL: Digest (RFC 7616) where it is offered with a
 * hash that is known, else Basic (RFC 7617). Undefined when the URL has no user or the challenge is another one.
 */
export function authorization(url: URL, challenge: readonly string[], method: string): string | undefined {
  if (url.username === "") return undefined;
  const user = decoded(url.username);
  const password = decoded(url.password);
  for (const line of challenge) {
    const fields = digestFields(line);
    const hash = hashes[(fields?.get("algorithm") ?? "md5").toLowerCase()];
    if (fields && hash !== undefined) return digest(fields, hash, { user, password, method, uri: url.pathname + url.search });
  }
  if (!challenge.some((line) => /\bbasic\b/i.test(line))) return undefined;
  return `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
}

type Login = { readonly user: string; readonly password: string; readonly method: string; readonly uri: string };

function digest(fields: ReadonlyMap<string, string>, hash: string, { user, password, method, uri }: Login): string {
  const of = (text: string): string => createHash(hash).update(text).digest("hex");
  const realm = fields.get("realm") ?? "";
  const nonce = fields.get("nonce") ?? "";
  const withQop = (fields.get("qop") ?? "").split(/[\s,]+/).includes("auth");
  const cnonce = randomBytes(8).toString("hex");
  const who = of(`${user}:${realm}:${password}`);
  const what = of(`${method}:${uri}`);
  const response = of(withQop ? `${who}:${nonce}:00000001:${cnonce}:auth:${what}` : `${who}:${nonce}:${what}`);
  const parts = [
    `username=${quoted(user)}`,
    `realm=${quoted(realm)}`,
    `nonce=${quoted(nonce)}`,
    `uri=${quoted(uri)}`,
    `response="${response}"`,
  ];
  const algorithm = fields.get("algorithm");
  if (algorithm !== undefined) parts.push(`algorithm=${algorithm}`);
  const opaque = fields.get("opaque");
  if (opaque !== undefined) parts.push(`opaque=${quoted(opaque)}`);
  if (withQop) parts.push("qop=auth", "nc=00000001", `cnonce="${cnonce}"`);
  return `Digest ${parts.join(", ")}`;
}

/** The fields of a Digest challenge; undefined for another scheme. A line may hold several challenges. */
function digestFields(line: string): ReadonlyMap<string, string> | undefined {
  const start = /(?:^|[\s,])digest\s+/i.exec(line.slice(0, 4096));
  if (!start) return undefined;
  const fields = new Map<string, string>();
  for (const [, name = "", text, plain = ""] of line
    .slice(start.index + start[0].length, 4096)
    .matchAll(/([a-z]+)=(?:"([^"]*)"|([^\s,"]+))/gi)) {
    if (!fields.has(name.toLowerCase())) fields.set(name.toLowerCase(), text ?? plain);
  }
  return fields.has("nonce") ? fields : undefined;
}

function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, "\\$&").replace(/[\r\n]/g, "")}"`;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
