import type { z } from "zod";
import type { Principal } from "../principal.ts";

/** What a caller has to be allowed: to look, to act on what runs, to change the configuration and who may call. Each includes the one before. */
export const scopes = ["read", "operate", "admin"] as const;
export type ApiScope = (typeof scopes)[number];

/** What a handler of a route gets; everything was checked by the route's schemas. */
export type RouteInput<P, Q, B> = {
  readonly params: P;
  readonly query: Q;
  readonly body: B;
  readonly principal: Principal;
  /** The request's header, by lower-case name. */
  header(name: string): string | undefined;
};

/** What a handler of a route gives. Status 200 and no headers where nothing is said; an undefined body is 204. */
export type RouteOutput<R> = {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: R;
};

type Schema = z.ZodType | undefined;
type Value<S extends Schema> = S extends z.ZodType ? z.output<S> : undefined;

/**
 * One call of the REST API: everything that validates it, documents it and runs it. The OpenAPI document is made of these.
 * Handlers throw `SluiceError`; the frame makes it a problem+json answer (RFC 9457) with the status of its code.
 */
export type Route<P extends Schema = Schema, Q extends Schema = Schema, B extends Schema = Schema, R extends Schema = Schema> = {
  readonly method: "get" | "post" | "put" | "patch" | "delete";
  /** Below `/api/v1`, OpenAPI's form: `/sessions/{id}`. */
  readonly path: string;
  /** Name of the operation in generated clients: `listSessions`. */
  readonly operationId: string;
  readonly summary: string;
  /** First word of the path, for grouping: `sessions`. */
  readonly tag: string;
  readonly scope: ApiScope;
  readonly params?: P;
  readonly query?: Q;
  readonly body?: B;
  /** The answer's body; left out where there is none. */
  readonly response?: R;
  /** An answer as it may look; held to `response` by a test. */
  readonly example?: unknown;
  run(input: RouteInput<Value<P>, Value<Q>, Value<B>>): Promise<RouteOutput<Value<R>>> | RouteOutput<Value<R>>;
};

/** Checks a route's shape and keeps its types. */
export function route<
  P extends z.ZodType | undefined = undefined,
  Q extends z.ZodType | undefined = undefined,
  B extends z.ZodType | undefined = undefined,
  R extends z.ZodType | undefined = undefined,
>(definition: Route<P, Q, B, R>): Route {
  return definition as unknown as Route;
}
