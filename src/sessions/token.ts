import { randomBytes } from "node:crypto";
import type { AccessRequest } from "./access-request.ts";

/** The bits of `tknMode`: where tokens are read from and written to. */
export const tokenPlace = { readQuery: 1, readCookie: 2, writeUrl: 4, writeCookie: 8 } as const;

/** Seconds that a client keeps the token's cookie. */
const cookieSeconds = 600;

/**
 * The viewer's token as the request carries it, or "" when it has none. A later place overrides an earlier one as in
 * MistServer: query `tkn`, `sid`, `sessId` (first that is not empty), query `jwt`; if there is none yet cookie `tkn`, cookie `jwt`;
 * `Authorization: Bearer` beats them all. Bits of `tknMode` switch query and cookie.
 */
export function readToken(request: Pick<AccessRequest, "query" | "headers" | "cookies">, tknMode: number): string {
  const { query, cookies } = request;
  let token = "";
  if (tknMode & tokenPlace.readQuery) token = query["jwt"] || query["tkn"] || query["sid"] || query["sessId"] || "";
  if (!token && tknMode & tokenPlace.readCookie) token = cookies["jwt"] || cookies["tkn"] || "";
  const bearer = /^bearer +(\S+)\s*$/i.exec(request.headers["authorization"] ?? "");
  return bearer?.[1] ?? token;
}

/** Letters and digits that survive every URL, cookie and shell; their number divides 256, so that all are equally likely. */
const alphabet = "abcdefghijklmnopqrstuvwxyz234567";

/** A new token that nobody can guess: 80 random bits in 16 letters and digits. */
export function generateToken(): string {
  return Array.from(randomBytes(16), (byte) => alphabet[byte & 31]).join("");
}

/** The token as it goes into a URL the client follows, or undefined when `tknMode` does not write it there. */
export function urlToken(token: string, tknMode: number): string | undefined {
  return token && tknMode & tokenPlace.writeUrl ? encodeURIComponent(token) : undefined;
}

/**
 * The value of a `Set-Cookie` header, or undefined when `tknMode` does not write cookies. Odd characters are percent-encoded
 * (RFC 6265 4.1.1). Over HTTPS also a player that a page of another site has embedded keeps it, for each such site another one
 * (`Partitioned`, CHIPS); without HTTPS browsers take no cookie that goes to other sites.
 */
export function tokenCookie(token: string, tknMode: number, secure = false): string | undefined {
  if (!token || !(tknMode & tokenPlace.writeCookie)) return undefined;
  const site = secure ? "Secure; SameSite=None; Partitioned" : "SameSite=Lax";
  return `tkn=${encodeURIComponent(token)}; Max-Age=${cookieSeconds}; Path=/; HttpOnly; ${site}`;
}
