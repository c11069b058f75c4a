import { type ClientRequest, type IncomingMessage, request } from "node:http";
import { Validator } from "@seriousme/openapi-schema-validator";
import { describe, expect, it } from "vitest";
import { startApi, type TestApi } from "../../../test/support/api-server.ts";
import { openApiDocument } from "./frame/document.ts";
import { includes } from "./frame/mount.ts";
import { problemSchema } from "./frame/problem.ts";
import { restRoutes } from "./routes.ts";
import { type ApiScope, type Route, scopes } from "./route.ts";

const far = { "X-Forwarded-For": "203.0.113.9" };

/** A request for a route, with something in the place of each parameter. */
function requestOf({ method, path }: Route, headers: Readonly<Record<string, string>>) {
  return { method: method.toUpperCase(), path: `/api/v1${path.replace(/\{\w+\}/g, "x")}`, headers: { ...far, ...headers } };
}

/** The status of an answer, and its problem if it is one; the answer itself is thrown away, as it may have no end. */
function begun(api: TestApi, options: ReturnType<typeof requestOf>): Promise<{ readonly status: number; readonly code: string }> {
  return new Promise((resolve, reject) => {
    const sent: ClientRequest = request({ ...options, host: "127.0.0.1", port: api.port, agent: false }, (response: IncomingMessage) => {
      const status = response.statusCode ?? 0;
      if (status < 400) {
        resolve({ status, code: "" });
        response.on("error", () => {}).destroy();
        return;
      }
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      response.on("end", () => {
        const problem = problemSchema.safeParse(JSON.parse(text));
        if (!problem.success || response.headers["content-type"] !== "application/problem+json") reject(new Error(`no problem: ${text}`));
        else resolve({ status, code: problem.data.code });
      });
    });
    sent.on("error", reject);
    sent.end();
  });
}

describe("every route", () => {
  it("is refused without credentials and with a lower scope, and is open with its own and each higher one", async () => {
    await using api = await startApi();
    const tokens = new Map<ApiScope, string>();
    for (const scope of scopes) tokens.set(scope, (await api.parts.apiTokens.create({ name: scope, scope })).text);
    const routes = restRoutes(api.parts);
    expect(routes.length).toBeGreaterThan(30);
    for (const route of routes) {
      const label = `${route.method} ${route.path}`;
      expect(await begun(api, requestOf(route, {})), label).toEqual({ status: 401, code: "api.credentials" });
      for (const [scope, token] of tokens) {
        const { status, code } = await begun(api, requestOf(route, { Authorization: `Bearer ${token}` }));
        if (includes(scope, route.scope)) expect(status, `${label} with ${scope}`).not.toBe(401);
        else expect([status, code], `${label} with ${scope}`).toEqual([403, "api.scope"]);
        expect(code === "api.scope", `${label} with ${scope}`).toBe(!includes(scope, route.scope));
        expect(status, `${label} with ${scope}`).not.toBe(500);
      }
    }
  });

  it("has an operation id of its own, a tag for its group, and examples that its schemas take as they are", async () => {
    await using api = await startApi();
    const routes = restRoutes(api.parts);
    expect(new Set(routes.map(({ operationId }) => operationId)).size).toBe(routes.length);
    expect(new Set(routes.map(({ method, path }) => `${method} ${path}`)).size).toBe(routes.length);
    for (const { path, tag, method, response, produces, example, body, bodyExample, scope } of routes) {
      const label = `${method} ${path}`;
      expect(tag, label).toMatch(/^[a-z-]+$/);
      expect(method === "get" || scope !== "read", label).toBe(true);
      if (response) expect(response.parse(example), `${label}: example`).toEqual(example);
      else expect(example, label).toBeUndefined();
      if (body) expect(body.parse(bodyExample), `${label}: body`).toMatchObject(bodyExample as object);
      if (produces) expect(response, label).toBeUndefined();
    }
  });

  it("stands in a valid OpenAPI 3.1 document, with its scope, its parameters and a problem", async () => {
    await using api = await startApi();
    for (const path of ["/api/v1", "/api/v1/"]) {
      const index = await api.ask({ method: "GET", path, headers: far });
      expect([index.status, index.headers["content-type"], index.json["openapi"]]).toEqual([
        200,
        "application/json",
        "/api/v1/openapi.json",
      ]);
      expect(index.json["resources"]).toEqual(expect.arrayContaining(["/api/v1/status", "/api/v1/streams", "/api/v1/sessions"]));
    }
    const answer = await api.ask({ method: "GET", path: "/api/v1/openapi.json", headers: far });
    expect([answer.status, answer.headers["content-type"]]).toEqual([200, "application/json"]);
    expect(answer.json).toEqual(openApiDocument(restRoutes(api.parts), "0.1.0"));
    expect(await new Validator().validate(structuredClone(answer.json))).toMatchObject({ valid: true });
    expect(await new Validator().validate({ ...structuredClone(answer.json), paths: 5 })).toMatchObject({ valid: false });
    const { paths, components } = answer.json as {
      paths: Record<
        string,
        Record<string, { security: unknown; parameters?: { name: string; in: string }[]; responses: Record<string, unknown> }>
      >;
      components: { schemas: Record<string, unknown>; securitySchemes: Record<string, unknown> };
    };
    for (const { method, path, scope, query } of restRoutes(api.parts)) {
      const operation = paths[path]?.[method];
      expect(operation?.security, path).toEqual([{ bearer: [scope] }, { basic: [scope] }]);
      expect(operation?.responses["default"], path).toEqual({ $ref: "#/components/responses/Problem" });
      const names = (where: string) => (operation?.parameters ?? []).filter((one) => one.in === where).map(({ name }) => name);
      expect(names("path"), path).toEqual([...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name));
      if (query && "shape" in query) expect(names("query"), path).toEqual(Object.keys(query.shape as object));
    }
    expect(Object.keys(components.schemas)).toEqual(expect.arrayContaining(["Problem", "Session", "Stream", "Settings", "Token"]));
    expect(components.securitySchemes).toMatchObject({ bearer: { scheme: "bearer" }, basic: { scheme: "basic" } });
  });
});
