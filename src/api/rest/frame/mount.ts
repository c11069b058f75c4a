import type { Hono } from "hono";
import { z } from "zod";
import { messageOf, SluiceError } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import type { RestContext, RestEnv } from "../rest.ts";
import { type ApiScope, type Route, type RouteInput, type RouteOutput, scopes } from "../route.ts";
import { checked, jsonOf, queryOf } from "./checked.ts";
import { entityTag, isKnown, isMatch } from "./etag.ts";
import { problemOf, problemType } from "./problem.ts";

type Parts = { readonly log: Log };

/**
 * Puts routes on the REST API, each behind its scope and its schemas. Single paths (`/triggers/test`) go before those with a
 * parameter (`/triggers/{id}`), in whatever order they come.
 */
export function mountRoutes(app: Hono<RestEnv>, parts: Parts, routes: readonly Route[]): void {
  const locks = new Locks();
  for (const route of routes.toSorted((one, other) => (rank(one) < rank(other) ? -1 : 1))) {
    const reader = routes.find((other) => other.method === "get" && other.path === route.path && !other.produces);
    app.on(route.method.toUpperCase(), honoPath(route.path), async (context) => {
      try {
        return await answer(route, reader, context, locks);
      } catch (error) {
        return refuse(parts, error);
      }
    });
  }
}

/** The answer to an error, with what it says about waiting. Unexpected ones go to the log. */
export function refuse({ log }: Parts, error: unknown): Response {
  const problem = problemOf(error);
  if (problem.status === 500) log.write("ERROR", `API: ${messageOf(error)}`);
  const headers = {
    "content-type": problemType,
    ...(problem.retryAfter !== undefined && { "retry-after": String(problem.retryAfter) }),
    ...(problem.code === "api.credentials" && { "www-authenticate": 'Basic realm="Sluice", charset="UTF-8", Bearer realm="Sluice"' }),
    // What was not read of such a body would be taken for the next request.
    ...(problem.code === "input.oversized" && { connection: "close" }),
  };
  return new Response(JSON.stringify(problem), { status: problem.status, headers });
}

/** True when who has `scope` may do what needs `needed`. */
export function includes(scope: ApiScope, needed: ApiScope): boolean {
  return scopes.indexOf(scope) >= scopes.indexOf(needed);
}

/** Throws "api.scope" when the caller may not do what needs this scope. */
export function demandScope({ name, scope }: { readonly name: string; readonly scope: ApiScope }, needed: ApiScope, what: string): void {
  if (!includes(scope, needed)) {
    throw new SluiceError("api.scope", `${what} needs the scope "${needed}"; ${JSON.stringify(name)} has "${scope}"`);
  }
}

async function answer(route: Route, reader: Route | undefined, context: RestContext, locks: Locks): Promise<Response> {
  demandScope(context.get("principal"), route.scope, `${route.method.toUpperCase()} ${route.path}`);
  const input = await inputOf(route, context);
  const ifMatch = context.req.header("if-match");
  const onlyNew = route.method === "put" && context.req.header("if-none-match") === "*";
  const changes = route.method === "put" || route.method === "patch" || route.method === "delete";
  if (!changes || (ifMatch === undefined && !onlyNew)) return await send(route, await route.run(input), context);
  // One conditional change after the other: of two that read the same tag, one comes too late.
  return await locks.run(context.req.path, async () => {
    const tag = reader && (await currentTag(reader, input));
    if (onlyNew && tag !== undefined) throw new SluiceError("api.changed", "It is there already, and If-None-Match: * wants a new one");
    if (ifMatch !== undefined && !isMatch(ifMatch, tag)) {
      throw new SluiceError(
        "api.changed",
        tag === undefined ? "There is nothing that If-Match could mean" : `It has changed; its tag is ${tag}`,
      );
    }
    return await send(route, await route.run(input), context);
  });
}

async function inputOf(route: Route, context: RestContext): Promise<RouteInput<unknown, unknown, unknown>> {
  return {
    params: checked(route.params ?? nothing, context.req.param(), "path"),
    query: checked(route.query ?? nothing, queryOf(new URL(context.req.url).searchParams), "query"),
    body: route.body && checked(route.body, await jsonOf(context.env.incoming), "body"),
    principal: context.get("principal"),
    header: (name) => context.req.header(name),
  };
}

const nothing = z.strictObject({});

/** The tag of what is there now; undefined when there is nothing. */
async function currentTag(reader: Route, input: RouteInput<unknown, unknown, unknown>): Promise<string | undefined> {
  try {
    const output = await reader.run({ ...input, query: checked(reader.query ?? nothing, {}, "query"), body: undefined });
    return tagOf(output, JSON.stringify(output.body));
  } catch (error) {
    if (error instanceof SluiceError && error.status === 404) return undefined;
    throw error;
  }
}

function tagOf({ guarded }: RouteOutput<unknown>, body: string): string {
  return entityTag(body, guarded === undefined ? body : JSON.stringify(guarded));
}

async function send(route: Route, output: RouteOutput<unknown>, context: RestContext): Promise<Response> {
  const { status = statusOf(route), headers = {}, body, stream } = output;
  if (stream) return context.body(stream, status as 200, { "content-type": route.produces ?? "application/octet-stream", ...headers });
  if (body === undefined) return context.body(null, status as 204, headers);
  const text = JSON.stringify(body);
  const type = { "content-type": "application/json", ...headers };
  if (route.method !== "get" || status !== 200) return context.body(text, status as 200, type);
  const etag = tagOf(output, text);
  if (isKnown(context.req.header("if-none-match"), etag)) return context.body(null, 304, { etag });
  // With a tag a client may keep the answer, if it asks each time whether it still holds.
  return context.body(text, 200, { ...type, etag, "cache-control": "private, no-cache" });
}

/** The status of a success. */
export function statusOf(route: Route): number {
  return route.status ?? (route.response || route.produces ? 200 : 204);
}

function honoPath(path: string): string {
  return path.replace(/\{(\w+)\}/g, ":$1");
}

function rank({ path }: Route): string {
  return path.replaceAll("{", "\uffff");
}

/** Runs what has the same name one after the other. */
class Locks {
  readonly #tails = new Map<string, Promise<unknown>>();

  async run<T>(name: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(name) ?? Promise.resolve();
    const mine = before.then(work, work);
    this.#tails.set(name, mine);
    try {
      return await mine;
    } finally {
      if (this.#tails.get(name) === mine) this.#tails.delete(name);
    }
  }
}
