import type { z } from "zod";
import { type AccountScope, accountScopes } from "../../config/account.ts";
import type { Principal } from "../principal.ts";

/** What a caller has to be allowed: to look, to act on what runs, to change the configuration and who may call. Each includes the one before. */
export const scopes = accountScopes;
export type ApiScope = AccountScope;

/** What a handler of a route gets; everything was checked by the route's schemas. */
export type RouteInput<P, Q, B> = {
  readonly params: P;
  readonly query: Q;
  readonly body: B;
  readonly principal: Principal;
  /** The request's header, by lower-case name. */
  header(name: string): string | undefined;
};

/** What a handler of a route gives. The route's status and no headers where nothing is said. */
export type RouteOutput<R> = {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Frozen<R>;
  /** Instead of a body, for routes with `produces`; cancelled when the client goes away. */
  readonly stream?: ReadableStream<Uint8Array>;
  /**
   * With `GET`: the part of the body that `If-Match` guards, where that is not all of it (a stream's configuration without its
   * viewers). Plain JSON.
   */
  readonly guarded?: unknown;
};

/** The same value as the server's own types have it: read-only. */
type Frozen<T> = T extends readonly (infer Item)[]
  ? readonly Frozen<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: Frozen<T[Key]> }
    : T;

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
  /** Of a success; left out: 200 with a `response` or `produces`, else 204. */
  readonly status?: 200 | 201 | 202 | 204;
  readonly params?: P;
  readonly query?: Q;
  readonly body?: B;
  /** The answer's body; left out where there is none. */
  readonly response?: R;
  /** Media type of an answer that is no JSON: `text/event-stream`. */
  readonly produces?: string;
  /** An answer as it may look; held to `response` by a test. */
  readonly example?: unknown;
  /** A body as it may be sent; held to `body` by a test. */
  readonly bodyExample?: unknown;
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
