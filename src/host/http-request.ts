import type { IncomingMessage } from "node:http";
import { SluiceError } from "../base/errors.ts";
import type { HttpExchange } from "../protocols/protocol.ts";
import type { Peer } from "./arrival.ts";
import { clientAddress, plainAddress, type TrustedProxies } from "./peer-address.ts";

/** A request as plain data. */
export type ParsedRequest = Pick<HttpExchange, "method" | "url" | "path" | "query" | "headers" | "cookies" | "address" | "tls">;

type Texts = Record<string, string>;

/**
 * Reads the request line and the headers. Throws "input.invalid" for a target or Host header that could not have come
 * from an honest client: both become part of URLs that are handed out.
 */
export function parseRequest(request: IncomingMessage, peer: Peer, proxies: TrustedProxies): ParsedRequest {
  const headers = textHeaders(request);
  const trusted = proxies.trusts(peer.address);
  const forwarded = (name: string): string | undefined => (trusted ? headers[name]?.split(",")[0]?.trim() : undefined);
  const scheme = (forwarded("x-forwarded-proto") ?? (peer.tls ? "https" : "http")) === "https" ? "https" : "http";
  const local = `${bracketed(plainAddress(request.socket.localAddress) || "localhost")}:${request.socket.localPort ?? 80}`;
  const host = validHost(forwarded("x-forwarded-host") ?? headers.host ?? local);
  const url = requestUrl(request.url ?? "/", scheme, host);
  const address = clientAddress(peer.address, headers, proxies);
  return {
    method: request.method ?? "GET",
    url,
    path: decodedPath(url.pathname),
    query: queryOf(url.searchParams),
    headers,
    cookies: cookiesOf(headers.cookie ?? ""),
    address,
    // A proxy that speaks for a client has TLS of its own with us; of the client's nothing is known then.
    tls: scheme === "https" && address === peer.address ? peer.tls : undefined,
  };
}

function textHeaders(request: IncomingMessage): Texts {
  const texts = emptyTexts();
  for (const [name, value] of Object.entries(request.headers)) {
    if (value !== undefined) texts[name] = Array.isArray(value) ? value.join(", ") : value;
  }
  return texts;
}

/** RFC 9112 section 3.2: origin form, or absolute form as proxies send it (its host is ignored in favour of the Host header). */
function requestUrl(target: string, scheme: string, host: string): URL {
  const origin = /^https?:\/\/[^/?#]*/i.exec(target)?.[0] ?? "";
  const path = target.slice(origin.length) || "/";
  if (!path.startsWith("/") && !path.startsWith("?") && path !== "*") {
    throw new SluiceError("input.invalid", "the request target must be a path that begins with /");
  }
  const url = URL.parse(`${scheme}://${host}${path.startsWith("/") ? "" : "/"}${path}`);
  if (url === null) throw new SluiceError("input.invalid", "the request target is no URL");
  return url;
}

/** RFC 3986 section 3.2.2, as far as real hosts go: a name, an IPv4 address or a bracketed IPv6 address, and a port. */
function validHost(host: string): string {
  const parts = /^(?:\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::(\d{1,5}))?$/.exec(host);
  if (!parts || Number(parts[1] ?? 0) > 65_535) {
    throw new SluiceError("input.invalid", "the Host header must be a host name or address, with a port if it is not the usual one");
  }
  return host;
}

function bracketed(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}

function decodedPath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw new SluiceError("input.invalid", "the path has a % that is not followed by the hexadecimal code of UTF-8 text");
  }
}

/** The first of several values of one name counts. */
function queryOf(params: URLSearchParams): Texts {
  const query = emptyTexts();
  for (const [name, value] of params) query[name] ??= value;
  return query;
}

/** RFC 6265 section 5.4 the other way round. The first of several cookies of one name counts; it is the most specific one. */
function cookiesOf(header: string): Texts {
  const cookies = emptyTexts();
  for (const pair of header.split(";")) {
    const equals = pair.indexOf("=");
    if (equals < 1) continue;
    const name = pair.slice(0, equals).trim();
    const value = pair
      .slice(equals + 1)
      .trim()
      .replace(/^"(.*)"$/, "$1");
    cookies[name] ??= decodedCookie(value);
  }
  return cookies;
}

function decodedCookie(value: string): string {
  if (!value.includes("%")) return value;
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

/** Names come from the client: `__proto__` must be a name like any other. */
function emptyTexts(): Texts {
  return Object.create(null) as Texts;
}
