import { z } from "zod";
import { createDocument, type ZodOpenApiOperationObject, type ZodOpenApiPathsObject } from "zod-openapi";
import { type ApiScope, type Route, scopes } from "../route.ts";
import { statusOf } from "./mount.ts";
import { problemSchema, problemType } from "./problem.ts";

/** What each scope lets its owner do. */
export const scopeWords: Readonly<Record<ApiScope, string>> = {
  read: "look at everything but secrets",
  operate: "what `read` may, and act on what runs: end, ask again, tag, try again",
  admin: "what `operate` may, and change the configuration, accounts and tokens",
};

/** The OpenAPI 3.1 document of the REST API, made of the schemas that check it. Plain JSON. */
export function openApiDocument(routes: readonly Route[], version: string): Readonly<Record<string, unknown>> {
  const paths: Record<string, Record<string, ZodOpenApiOperationObject>> = {};
  for (const route of routes) (paths[route.path] ??= {})[route.method] = operationOf(route, routes);
  const tags = [...new Set(routes.map(({ tag }) => tag))].toSorted();
  const document = createDocument({
    openapi: "3.1.0",
    info: {
      title: "Sluice",
      version,
      description: [
        "Who calls shows a bearer token (`POST /tokens` makes them) or an account's name and password by HTTP Basic. Programs on the server's",
        `own machine need neither, unless \`apiLocalAccess\` is off. Scopes: ${scopes.map((one) => `\`${one}\` (${scopeWords[one]})`).join("; ")}.`,
      ].join(" "),
    },
    servers: [{ url: "/api/v1" }],
    tags: tags.map((name) => ({ name })),
    security: [{ bearer: [] }, { basic: [] }],
    paths: paths as ZodOpenApiPathsObject,
    components: {
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer", description: "A token of `POST /tokens`, or a JWT with the permission `admin`." },
        basic: { type: "http", scheme: "basic", description: "An account's name and password." },
      },
      responses: {
        Problem: { description: "What was wrong, where, and what would be right.", content: { [problemType]: { schema: problemSchema } } },
      },
    },
  });
  // Without undefined members, as a reader of the JSON sees it.
  return JSON.parse(JSON.stringify(document)) as Readonly<Record<string, unknown>>;
}

function operationOf(route: Route, routes: readonly Route[]): ZodOpenApiOperationObject {
  const { params, query, body, response, produces, example, bodyExample } = route;
  const tagged = route.method === "get" && response !== undefined && !produces;
  const guarded =
    ["put", "patch", "delete"].includes(route.method) && routes.some(({ method, path }) => method === "get" && path === route.path);
  const header = tagged
    ? { "if-none-match": tagHeader("The tag of an answer that the client has: if nothing is new, the status is 304.") }
    : guarded
      ? {
          "if-match": tagHeader("The tag of what was read: if it was changed since, nothing happens and the status is 412."),
          ...(route.method === "put" && { "if-none-match": tagHeader("`*`: only if there is none yet; else the status is 412.") }),
        }
      : undefined;
  return {
    operationId: route.operationId,
    summary: route.summary,
    description: `Scope: \`${route.scope}\`.`,
    tags: [route.tag],
    security: [{ bearer: [route.scope] }, { basic: [route.scope] }],
    requestParams: {
      ...(params && { path: params as z.ZodObject }),
      ...(query && { query: query as z.ZodObject }),
      ...(header && { header: z.object(header) }),
    },
    ...(body && {
      requestBody: {
        required: true,
        content: { "application/json": { schema: body, ...(bodyExample !== undefined && { example: bodyExample }) } },
      },
    }),
    responses: {
      [`${statusOf(route)}` as "200"]: {
        description: "It is done.",
        ...(produces && { content: { [produces]: { schema: z.string() } } }),
        ...(response && { content: { "application/json": { schema: response, ...(example !== undefined && { example }) } } }),
      },
      ...(tagged && { "304": { description: "Nothing is new." } }),
      default: { $ref: "#/components/responses/Problem" },
    },
  };
}

function tagHeader(description: string): z.ZodType {
  return z.string().optional().meta({ description });
}
