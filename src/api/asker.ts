import { isIP } from "node:net";
import { hostname } from "node:os";
import type { ApiParts, Asker } from "./parts.ts";

/** Headers that a proxy adds: with one of them the peer is the proxy and not the client. */
const proxyHeaders = [
  "x-forwarded-for",
  "x-real-ip",
  "forwarded",
  "via",
  "x-forwarded-host",
  "x-forwarded-proto",
  "cf-connecting-ip",
  "true-client-ip",
];

/** Who asks, from the peer's address and the request's headers (lower-case names). */
export function askerOf(peer: string, headers: Readonly<Record<string, string>>, clientAddress: ApiParts["clientAddress"]): Asker {
  return { local: isLocal(peer, headers), address: clientAddress(peer, headers), host: headers["host"] ?? "" };
}

/**
 * MistServer's rule is: the peer is this machine and there is no X-Forwarded-For or X-Real-IP. A web page that somebody on this
 * machine has open would pass it too, so what a browser sends for a foreign page, and names that are not this machine's
 * (a foreign name may point to 127.0.0.1), are not local: they have to log in.
 */
export function isLocal(peer: string, headers: Readonly<Record<string, string>>): boolean {
  if (!isLoopback(peer) || proxyHeaders.some((name) => name in headers)) return false;
  const host = headers["host"];
  if (host === undefined || !isOwnName(hostnameOf(host))) return false;
  return !isForeignPage(headers);
}

/** True for what a browser sends for a page of another site. */
export function isForeignPage(headers: Readonly<Record<string, string>>): boolean {
  const site = headers["sec-fetch-site"];
  if (site !== undefined && site !== "same-origin" && site !== "none") return true;
  const host = headers["host"] ?? "";
  return [headers["origin"], headers["referer"]].some((from) => from !== undefined && !isFrom(from, host));
}

function isLoopback(address: string): boolean {
  return address === "::1" || /^(::ffff:)?127\.\d+\.\d+\.\d+$/i.test(address);
}

function isFrom(url: string, host: string): boolean {
  return URL.canParse(url) && new URL(url).host === host.toLowerCase();
}

function isOwnName(name: string): boolean {
  return isIP(name) !== 0 || name === "localhost" || name.endsWith(".localhost") || name === hostname().toLowerCase();
}

function hostnameOf(host: string): string {
  return (/^\[([^\]]*)\]/.exec(host)?.[1] ?? host.replace(/:\d+$/, "")).toLowerCase();
}
