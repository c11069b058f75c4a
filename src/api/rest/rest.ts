import type { IncomingMessage, ServerResponse } from "node:http";
import { type Context, Hono } from "hono";
import { SluiceError } from "../../base/errors.ts";
import { askerOf, isForeignPage } from "../asker.ts";
import type { Authorizer } from "../mist/authorize.ts";
import type { ApiParts } from "../parts.ts";
import type { Principal } from "../principal.ts";
import { openApiDocument } from "./frame/document.ts";
import { mountRoutes, refuse } from "./frame/mount.ts";
import type { Route } from "./route.ts";

/** What Node's server gives beside the request. */
export type Bindings = { readonly incoming: IncomingMessage; readonly outgoing: ServerResponse };
/** What a request of the REST API carries: who calls is known before a route runs. */
export type RestEnv = { Bindings: Bindings; Variables: { principal: Principal } };
export type RestContext = Context<RestEnv>;

/** Any page may read answers that need no account of the visitor's browser; none may use one. */
const headers = {
  "access-control-allow-origin": "*",
  "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE, OPTIONS",
  "access-control-allow-headers": "*, Authorization, Content-Type",
  "access-control-expose-headers": "ETag, Location, Retry-After",
  "access-control-max-age": "600",
  "x-content-type-options": "nosniff",
} as const;

/**
 * The REST API's frame, to be mounted at `/api/v1`: who may use it, how errors look (problem+json), and its OpenAPI document. Routes are
 * added by `mountRoutes`; a handler beside them finds who calls under `principal`.
 */
export function createRest(parts: ApiParts, authorizer: Authorizer, routes: readonly Route[]): Hono<RestEnv> {
  const app = new Hono<RestEnv>();
  app.onError((error) => refuse(parts, error));
  app.use("*", async (context, next) => {
    await next();
    for (const [name, value] of Object.entries(headers)) context.res.headers.set(name, value);
    if (!context.res.headers.has("cache-control")) context.res.headers.set("cache-control", "no-store");
  });
  app.options("*", (context) => context.body(null, 204));
  // The document tells nothing of this server; whoever writes a client may read it.
  let document: string | undefined;
  app.get("/openapi.json", (context) => {
    document ??= JSON.stringify(openApiDocument(routes, parts.identity.version));
    return context.body(document, 200, { "content-type": "application/json" });
  });
  const resources = [...new Set(routes.map(({ path }) => `/api/v1/${path.split("/")[1]}`))].toSorted();
  const index = JSON.stringify({ openapi: "/api/v1/openapi.json", resources });
  // With or without a slash at the end.
  app.get("*", (context, next) =>
    /^\/api\/v1\/?$/.test(context.req.path) ? Promise.resolve(context.body(index, 200, { "content-type": "application/json" })) : next(),
  );
  app.use("*", async (context, next) => {
    context.set("principal", await principalOf(context.env.incoming, context.req.header(), parts, authorizer));
    await next();
  });
  mountRoutes(app, parts, routes);
  return app;
}

/** Answers what no route has; to be added when all are mounted. */
export function closeRest(app: Hono<RestEnv>, parts: ApiParts): void {
  app.all("*", (context) => refuse(parts, new SluiceError("api.unknown", `There is no ${context.req.method} ${context.req.path}`)));
}

/** Who calls. Throws "api.credentials" or "api.attempts". */
export async function principalOf(
  incoming: IncomingMessage,
  headers: Readonly<Record<string, string>>,
  parts: Pick<ApiParts, "clientAddress" | "peerAddress">,
  authorizer: Authorizer,
): Promise<Principal> {
  const asker = askerOf(parts.peerAddress(incoming.socket), headers, parts.clientAddress);
  const header = headers["authorization"];
  const { principal, reply, refusedHeader } = await authorizer.authorize({
    asker,
    connection: incoming.socket,
    member: undefined,
    header,
    basic: true,
  });
  if (principal) {
    demandOwnPage(incoming, headers, principal);
    return principal;
  }
  const wait = refusedHeader?.retryAfter ?? 0;
  if (wait > 0) throw new SluiceError("api.attempts", reply.error ?? "Too many wrong attempts.", { retryAfterMs: wait * 1000 });
  throw new SluiceError("api.credentials", reply.error ?? "Send a bearer token, or an account's name and password by HTTP Basic.");
}

/**
 * A browser sends a name and password that it knows by itself, whichever page asks; a token it does not. So a foreign page changes
 * nothing without a token.
 */
function demandOwnPage(incoming: IncomingMessage, headers: Readonly<Record<string, string>>, { kind }: Principal): void {
  if (kind === "token" || incoming.method === "GET" || incoming.method === "HEAD" || !isForeignPage(headers)) return;
  throw new SluiceError("api.scope", "A page of another site changes nothing here with an account; give it a bearer token");
}
