/**
 * What makes two requests the same viewer, in place of a mask: parts in their usual spelling (`stream`, `ip/24/64`,
 * `claim:sub | token`), as `readSessionIdentity` gives them. Plain data; empty: the mask counts.
 */
export type SessionIdentity = readonly string[];

/** One thing that a part looks at. `bits`: how many bits of an address count, for each family. */
export type IdentitySource =
  | { readonly kind: "stream" | "token" | "user" | "protocol" }
  | { readonly kind: "ip"; readonly bits: { readonly v4: number; readonly v6: number } }
  | { readonly kind: "cookie" | "claim"; readonly name: string };

/** What may stand in an expression, for the message of an error. */
export const identityWords =
  'parts such as "stream, token, ip/24": stream, token, user, protocol, ip, ip/BITS (of IPv4, 1 to 32), ip/BITS/BITS (of IPv4 and IPv6), cookie:NAME, claim:NAME; "claim:sub | token" takes the first that the client has';

const mostParts = 16;
/** Bits of an IPv6 address that count where only those of IPv4 are said: what one customer's line has. */
const lineBits = 64;

/** Reads an expression, as text or as a list of parts. Throws a `RangeError` that names the wrong part. */
export function readSessionIdentity(value: string | readonly string[]): SessionIdentity {
  const text = typeof value === "string" ? value : value.join(",");
  if (text.trim() === "") return [];
  const parts = text.split(",").map((part) => identitySources(part).map(spelling).join(" | "));
  if (parts.length > mostParts) throw new RangeError(`there are ${parts.length} parts, ${mostParts} at most`);
  return parts;
}

/** The sources of one part, the most wanted first. Throws a `RangeError`. */
export function identitySources(part: string): readonly IdentitySource[] {
  return part.split("|").map((text) => sourceOf(text.trim()));
}

/** The usual spelling of a source. */
export function spelling(source: IdentitySource): string {
  switch (source.kind) {
    case "ip": {
      const { v4, v6 } = source.bits;
      return v4 === 32 && v6 === 128 ? "ip" : `ip/${v4}/${v6}`;
    }
    case "cookie":
    case "claim":
      return `${source.kind}:${source.name}`;
    default:
      return source.kind;
  }
}

function sourceOf(text: string): IdentitySource {
  if (text === "stream" || text === "token" || text === "user" || text === "protocol") return { kind: text };
  // A cookie's name by RFC 6265 4.1.1, without the bar, which stands between sources here.
  const cookie = /^cookie:([!#$%&'*+.^_`~0-9A-Za-z-]{1,100})$/.exec(text);
  if (cookie?.[1]) return { kind: "cookie", name: cookie[1] };
  const claim = /^claim:(\S{1,200})$/.exec(text);
  if (claim?.[1]) return { kind: "claim", name: claim[1] };
  const ip = /^ip(?:\/(\d{1,3})(?:\/(\d{1,3}))?)?$/.exec(text);
  if (ip) {
    const v4 = Number(ip[1] ?? 32);
    const v6 = Number(ip[2] ?? (v4 === 32 ? 128 : lineBits));
    if (v4 >= 1 && v4 <= 32 && v6 >= 1 && v6 <= 128) return { kind: "ip", bits: { v4, v6 } };
  }
  throw new RangeError(`${JSON.stringify(text)} is no part of an identity`);
}
