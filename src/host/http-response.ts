import { STATUS_CODES } from "node:http";
import type { SluiceError } from "../base/errors.ts";
import { refusalHeaders } from "../base/refusal-headers.ts";

export type Headers = Readonly<Record<string, string>>;

/**
 * What lets pages of other sites use the answer (Fetch standard, section 3.3). Players carry the viewer's cookie, and with
 * credentials `*` is not allowed: a page's origin is named back to it.
 */
export function corsHeaders(origin: string | undefined): Headers {
  const exposed = {
    "Access-Control-Expose-Headers": "Content-Length, Content-Range, Date, ETag, Link, Location, Retry-After, X-Sluice-Decision",
  };
  return origin === undefined
    ? { "Access-Control-Allow-Origin": "*", Vary: "Origin", ...exposed }
    : { "Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true", Vary: "Origin", ...exposed };
}

/** The answer to a browser's question before a request that is not simple. */
export function preflightHeaders(asked: string | undefined): Headers {
  return {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": asked ?? "*",
    "Access-Control-Max-Age": "600",
    Allow: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
  };
}

/** Header values hold what clients sent (a token in a cookie): a line break in one must not begin another header. */
export function safeHeaders(headers: Headers): Record<string, string> {
  const safe: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) safe[name] = value.replace(/[^\t\x20-\x7e\x80-\xff]/g, "");
  return safe;
}

/** An HTTP/1.1 response head as text in latin1 (RFC 9112 section 2.1). */
export function responseHead(status: number, headers: Headers): string {
  const lines = Object.entries(safeHeaders(headers)).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Unknown"}\r\n${lines.join("")}\r\n`;
}

/** Headers of an answer for people. */
export const plainText = { "Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store" } as const;

/** A whole answer of text. */
export type TextAnswer = { readonly status: number; readonly headers: Headers; readonly body: string };

/** What a client is told that was refused. Undefined: something went wrong here. */
export function errorAnswer(error: SluiceError | undefined): TextAnswer {
  if (!error) return { status: 500, headers: plainText, body: "internal error\n" };
  const { status, message, decisionId } = error;
  const body = decisionId === undefined ? `${message}\n` : `${message}\ndecision ${decisionId}\n`;
  return { status, headers: { ...plainText, ...refusalHeaders(error) }, body };
}
