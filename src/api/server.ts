import { createServer } from "node:http";
import { getRequestListener } from "@hono/node-server";
import { type Context, Hono } from "hono";
import { isSluiceError, messageOf } from "../base/errors.ts";
import type { Listener } from "../protocols/protocol.ts";
import { askerOf } from "./asker.ts";
import { readBody } from "./body.ts";
import { Authenticator } from "./auth/authenticator.ts";
import { answerBody, callbackOf, findCommand } from "./command.ts";
import { metricRoutes } from "./metrics.ts";
import { EventSockets } from "./events/sockets.ts";
import { Authorizer } from "./mist/authorize.ts";
import { callNames, runCommand } from "./mist/calls.ts";
import { scopeOfCall } from "./mist/call-scopes.ts";
import type { ApiParts } from "./parts.ts";
import type { Principal } from "./principal.ts";
import { includes } from "./rest/frame/mount.ts";
import { type Bindings, closeRest, createRest } from "./rest/rest.ts";
import { restRoutes } from "./rest/routes.ts";

/** The API, ready to listen. */
export interface Api {
  /** Opens the port; rejects with `SluiceError` "listen.failed". Dispose to close it. */
  listen(host: string, port: number): Promise<Listener>;
}

/** More than any configuration needs. */
const mostBytes = 4 * 1024 * 1024;

/** Milliseconds without a byte in either direction. */
const silenceMs = 120_000;

/** Any page may ask; none may use a visitor's cookies: MistServer's `*` together with credentials is no valid pair. */
const cors = {
  "access-control-allow-origin": "*",
  "access-control-allow-methods": "GET, POST, OPTIONS, HEAD",
  "access-control-allow-headers": "*, Authorization, Content-Type",
  "access-control-expose-headers": "*",
  "access-control-max-age": "600",
} as const;

const uncached = { "cache-control": "no-cache, no-store, must-revalidate", expires: "0", pragma: "no-cache" } as const;

type ApiContext = Context<{ Bindings: Bindings }>;

/** Puts MistServer's JSON API, `/healthz` and a page that says where things are on one HTTP server. */
export function createApi(parts: ApiParts): Api {
  const authorizer = new Authorizer({ ...parts, authenticator: new Authenticator(parts) });
  const app = new Hono<{ Bindings: Bindings }>();
  app.onError((error, context) => {
    if (isSluiceError(error)) {
      parts.log.write("INFO", `API: ${error.message}`);
      return context.json({ error: error.message }, 400, cors);
    }
    parts.log.write("ERROR", `API: ${messageOf(error)}`);
    return context.json({ error: "The request could not be handled; the log says more." }, 500, cors);
  });
  const rest = createRest(parts, authorizer, restRoutes(parts));
  closeRest(rest, parts);
  app.route("/api/v1", rest);
  app.get("/healthz", (context) => context.text("ok", 200, uncached));
  metricRoutes(app, parts, authorizer);
  app.options("*", (context) => context.body(null, 204, { ...cors, allow: cors["access-control-allow-methods"] }));
  app.on(["GET", "POST", "HEAD"], "*", (context) => answer(context, parts, authorizer));
  app.all("*", (context) => context.json({ error: `${context.req.method} means nothing here; use GET or POST.` }, 405, cors));

  const sockets = new EventSockets(parts, authorizer);
  const listener = getRequestListener(app.fetch, { overrideGlobalObjects: false });
  return {
    async listen(host, port) {
      // A login holds for the connection, so an idle one is kept as long as MistServer keeps it.
      const server = createServer(
        {
          keepAliveTimeout: 60_000,
          requestTimeout: 30_000,
          shouldUpgradeCallback: ({ headers }) => headers.upgrade?.toLowerCase() === "websocket",
        },
        (incoming, outgoing) => void listener(incoming, outgoing),
      );
      // Endless answers show a sign of life more often: who takes nothing of it for so long is gone.
      server.setTimeout(silenceMs);
      server.on("upgrade", (request, socket, head) => void sockets.upgrade(request, socket, head));
      return await parts.open(server, { address: host, port, option: "--api-port" });
    },
  };
}

async function answer(context: ApiContext, parts: ApiParts, authorizer: Authorizer): Promise<Response> {
  const { incoming, outgoing } = context.env;
  const url = new URL(context.req.url);
  const body = context.req.method === "POST" ? await readBody(incoming, mostBytes) : "";
  if (body === undefined)
    return context.json({ error: `A command has at most ${mostBytes} bytes.` }, 413, { ...cors, connection: "close" });
  const found = findCommand({
    method: context.req.method,
    path: url.pathname,
    query: url.searchParams,
    contentType: context.req.header("content-type") ?? "",
    body,
  });
  if (found.kind === "none") return context.html(page, 200, { "x-info": "The JSON API is at /api and /api2" });
  const callback = callbackOf(url.searchParams);
  const send = (reply: Readonly<Record<string, unknown>>): Response =>
    context.body(answerBody(reply, callback), 200, {
      ...cors,
      ...uncached,
      "content-type": "text/javascript",
      "x-content-type-options": "nosniff",
    });
  if (found.kind === "broken") return send({ LTS: 1, error: found.reason });

  const { command } = found;
  const asker = askerOf(parts.peerAddress(incoming.socket), context.req.header(), parts.clientAddress);
  const connection = incoming.socket;
  const authorization = await authorizer.authorize({
    asker,
    connection,
    member: command["authorize"],
    header: context.req.header("authorization"),
  });
  if (authorization.refusedHeader) {
    const { retryAfter } = authorization.refusedHeader;
    return context.body("Not authorized\n", 403, {
      ...cors,
      ...uncached,
      "content-type": "text/plain",
      "www-authenticate": `json ${JSON.stringify(authorization.reply)}`,
      ...(retryAfter > 0 && { "retry-after": String(retryAfter) }),
    });
  }
  if (!authorization.allowed) return send({ authorize: authorization.reply });
  const low = Object.entries(command).find(([name, value]) => isTooLow(authorization.principal, name, value));
  if (low) {
    const [name, value] = low;
    const words = `${name} needs the scope "${scopeOfCall(name, value)}"; ${authorization.principal?.name} has "${authorization.principal?.scope}"`;
    return context.json({ LTS: 1, error: `${words}; nothing was done` }, 403, { ...cors, ...uncached });
  }
  const minimal = url.pathname === "/api2" || Boolean(command["minimal"]);
  const quiet = minimal && !authorizer.hasAccounts() && command["authorize"] === undefined;
  const { reply, afterwards } = await runCommand(command, { parts, asker, minimal, authorize: quiet ? undefined : authorization.reply });
  // As over REST: who may only look does not read the log.
  if (!includes(authorization.principal?.scope ?? "read", "operate")) delete reply["log"];
  if (command["logout"]) authorizer.logout(connection);
  for (const run of afterwards) outgoing.once("close", run);
  return send(reply);
}

/** Unknown members mean nothing, and need nothing. */
function isTooLow(principal: Principal | undefined, name: string, value: unknown): boolean {
  return callNames.includes(name) && !includes(principal?.scope ?? "read", scopeOfCall(name, value));
}

const page = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Sluice</title>
<h1>Sluice</h1>
<ul>
<li><code>POST /api</code>, <code>GET /api?command={...}</code>: MistServer's JSON API; <code>/api2</code> answers only what was asked.</li>
<li><code>/api/v1</code>: the REST API: <a href="/api/v1/status"><code>status</code></a>, <a href="/api/v1/streams"><code>streams</code></a>, <a href="/api/v1/sessions"><code>sessions</code></a>, <a href="/api/v1/triggers"><code>triggers</code></a>, <a href="/api/v1/limits"><code>limits</code></a>, <a href="/api/v1/config"><code>config</code></a>, <a href="/api/v1/tokens"><code>tokens</code></a>, <a href="/api/v1/accounts"><code>accounts</code></a>; all of it in <a href="/api/v1/openapi.json"><code>openapi.json</code></a>.</li>
<li><code>GET /api/v1/events</code>: what happens, as server-sent events; <code>/ws</code>: MistServer's WebSocket.</li>
<li><a href="/metrics"><code>GET /metrics</code></a>: numbers for Prometheus.</li>
<li><code>GET /healthz</code>: 200 while the server runs.</li>
</ul>
<p>Streams are played on the HTTP port: <code>/NAME.html</code>.</p>
</html>
`;
