import type { IncomingMessage, ServerResponse } from "node:http";
import { createHash } from "node:crypto";
import { type Context, Hono } from "hono";
import type { z } from "zod";
import { isSluiceError, messageOf, SluiceError } from "../../base/errors.ts";
import { askerOf } from "../asker.ts";
import { readBody } from "../body.ts";
import type { Authorizer } from "../mist/authorize.ts";
import type { ApiParts } from "../parts.ts";

/** What Node's server gives beside the request. */
export type Bindings = { readonly incoming: IncomingMessage; readonly outgoing: ServerResponse };
export type RestContext = Context<{ Bindings: Bindings }>;

const mostBytes = 1024 * 1024;

/** Any page may read answers that need no account of the visitor's browser; none may use one. */
const headers = {
  "access-control-allow-origin": "*",
  "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE, OPTIONS",
  "access-control-allow-headers": "*, Authorization, Content-Type",
  "access-control-max-age": "600",
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
} as const;

/**
 * The REST API's frame, to be mounted at `/api/v1`: who may use it, and how errors look (`{ error }` with a fitting status). It is
 * open to programs on this machine, and to others with an account's name and password by HTTP Basic, or with a login of MistServer's API
 * on the same connection.
 */
export function createRest(parts: ApiParts, authorizer: Authorizer): Hono<{ Bindings: Bindings }> {
  const app = new Hono<{ Bindings: Bindings }>();
  app.onError((error, context) => {
    if (isSluiceError(error)) return context.json({ error: error.message }, error.status as 400, headers);
    parts.log.write("ERROR", `API: ${messageOf(error)}`);
    return context.json({ error: "The request could not be handled; the log says more." }, 500, headers);
  });
  app.options("*", (context) => context.body(null, 204, headers));
  app.use("*", async (context, next) => {
    const refusal = await refusalOf(context, parts, authorizer);
    if (refusal) return refusal;
    for (const [name, value] of Object.entries(headers)) context.header(name, value);
    return await next();
  });
  return app;
}

/** The answer to who may not use the REST API; undefined for those who may. */
export async function refusalOf(context: RestContext, parts: ApiParts, authorizer: Authorizer): Promise<Response | undefined> {
  const { incoming } = context.env;
  const asker = askerOf(incoming.socket.remoteAddress ?? "", context.req.header(), parts.clientAddress);
  const header = mistHeader(context.req.header("authorization"), authorizer.challenge(asker.address));
  const { allowed, reply, refusedHeader } = await authorizer.authorize({ asker, connection: incoming.socket, member: undefined, header });
  if (allowed) return undefined;
  const wait = refusedHeader?.retryAfter ?? 0;
  return context.json({ error: reply.error ?? "This needs an account: send its name and password by HTTP Basic." }, wait > 0 ? 429 : 401, {
    ...headers,
    "www-authenticate": 'Basic realm="Sluice", charset="UTF-8"',
    ...(wait > 0 && { "retry-after": String(wait) }),
  });
}

/** Reads a JSON body. Throws "input.invalid" that names what is wrong. A foreign page cannot send JSON without being asked whether it may. */
export async function jsonBody<S extends z.ZodType>(context: RestContext, schema: S): Promise<z.infer<S>> {
  if (!/^application\/json\b/i.test(context.req.header("content-type") ?? "")) {
    throw new SluiceError("input.invalid", "Send the body as JSON, with Content-Type: application/json");
  }
  const text = await readBody(context.env.incoming, mostBytes);
  if (text === undefined) throw new SluiceError("input.oversized", `A body has at most ${mostBytes} bytes`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new SluiceError("input.invalid", `The body is no valid JSON: ${messageOf(error)}`, { cause: error });
  }
  return checked(schema, value, "the body");
}

/** Checks a value. Throws "input.invalid" that names the field and what may stand there. */
export function checked<S extends z.ZodType>(schema: S, value: unknown, where: string): z.infer<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const words = result.error.issues.slice(0, 5).map((issue) => {
    if (issue.code === "unrecognized_keys") return `${issue.keys.join(", ")}: there is no such field`;
    return `${issue.path.join(".") || where} must be ${issue.message}`;
  });
  throw new SluiceError("input.invalid", words.join("; "));
}

/** MistServer's login of a name and password that came by HTTP Basic; other headers as they are. */
function mistHeader(header: string | undefined, challenge: string): string | undefined {
  const encoded = /^basic\s+([a-z0-9+/=]+)\s*$/i.exec(header ?? "")?.[1];
  if (encoded === undefined) return header;
  const pair = Buffer.from(encoded, "base64").toString("utf8");
  const colon = pair.indexOf(":");
  const [username, password] = colon < 0 ? [pair, ""] : [pair.slice(0, colon), pair.slice(colon + 1)];
  return `json ${JSON.stringify({ username, password: md5(md5(password) + challenge) })}`;
}

function md5(text: string): string {
  return createHash("md5").update(text).digest("hex");
}
