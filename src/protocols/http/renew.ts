import { SluiceError } from "../../base/errors.ts";
import { type Host, type HttpExchange, httpAccess } from "../protocol.ts";

/** Where a viewer brings a fresh token to its running session. */
export const renewPath = "/session/renew";

/** Tokens are at most some kilobytes long. */
const mostBytes = 16 * 1024;

/** What `POST /session/renew` takes, as a form, as JSON or in the query. */
const fields = ["stream", "token", "was"] as const;
type Fields = { readonly [F in (typeof fields)[number]]?: string };

/**
 * Brings a new token to the session that a viewer is in. The old one shows which session it is: it comes as `was`, or in the
 * cookie that the server has set. The new one must be said: a foreign page that lets a viewer's browser post here has its cookie
 * sent along, at most, and a cookie is never taken for a new token.
 */
export async function answerRenewal(host: Host, exchange: HttpExchange): Promise<void> {
  if (exchange.method !== "POST") {
    return exchange.reply(405, { Allow: "POST, OPTIONS", "Content-Type": "text/plain" }, "a session is renewed with POST\n");
  }
  const { stream, token, was } = { ...known(exchange.query), ...(await bodyOf(exchange)) };
  if (!stream) throw new SluiceError("input.invalid", "`stream` is missing: the name under which the stream is watched");
  const asked = httpAccess(exchange, "HTTP", stream);
  const { authorization, ...headers } = asked.headers;
  const { tkn: _tkn, jwt: _jwt, sid: _sid, sessId: _sessId, stream: _stream, token: _token, was: _was, ...query } = asked.query;
  if (!token && !authorization) throw new SluiceError("input.invalid", "`token` is missing: the new token");
  const renewed = await host.renew({
    ...asked,
    headers: token ? headers : asked.headers,
    query: { ...query, ...(token && { tkn: token }), ...(was && { was }) },
  });
  const { sessionId, expiresAt, cookie } = renewed;
  exchange.reply(
    200,
    { "Content-Type": "application/json", "Cache-Control": "no-store", ...(cookie !== undefined && { "Set-Cookie": cookie }) },
    JSON.stringify({ sessionId, expiresAt: expiresAt === undefined ? null : new Date(expiresAt).toISOString() }),
  );
}

async function bodyOf(exchange: HttpExchange): Promise<Fields> {
  const text = new TextDecoder().decode(await exchange.body(mostBytes));
  if (text.trim() === "") return {};
  const type = (exchange.headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase();
  if (type === "application/x-www-form-urlencoded") return known(Object.fromEntries(new URLSearchParams(text)));
  if (type === "application/json") return known(objectOf(text));
  throw new SluiceError(
    "input.unsupported",
    "the body must be a form (application/x-www-form-urlencoded) or an object in JSON (application/json)",
  );
}

function objectOf(text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new SluiceError("input.invalid", "the body is no JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new SluiceError("input.invalid", "the body must be an object");
  return value as Readonly<Record<string, unknown>>;
}

function known(values: Readonly<Record<string, unknown>>): Fields {
  const found: { -readonly [F in keyof Fields]: string } = {};
  for (const field of fields) {
    const value = Object.hasOwn(values, field) ? values[field] : undefined;
    if (value === undefined || value === null || value === "") continue;
    if (typeof value !== "string") throw new SluiceError("input.invalid", `\`${field}\` must be a text`);
    found[field] = value;
  }
  return found;
}
