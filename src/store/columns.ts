import type { Tables } from "./tables.ts";

/** What a column holds; a `?` means that it may be null. JSON columns hold a text that is JSON. */
export type ColumnKind = "text" | "json" | "integer" | "text?" | "integer?";

export type TableName = keyof Tables;

/** All that an export has, in the order in which it is written and read. The first column finds a row, and orders them. */
export const columns = {
  config_change: { key: "text", value: "json", changed_at: "integer" },
  api_token: {
    id: "text",
    name: "text",
    hash: "text",
    scope: "text",
    created_at: "integer",
    expires_at: "integer?",
    last_used_at: "integer?",
  },
  operator_token: {
    id: "text",
    kind: "text",
    hash: "text",
    hint: "text",
    stream: "text",
    spec: "json",
    created_at: "integer",
    uses: "integer?",
    not_before: "integer?",
    expires_at: "integer?",
    lifetime_ms: "integer?",
    used: "integer",
    first_used_at: "integer?",
    bound_to: "text?",
    revoked_at: "integer?",
  },
  outbox: {
    id: "integer",
    trigger_name: "text",
    handler: "text",
    order_key: "text",
    payload: "json",
    uuid: "text",
    created_at: "integer",
    attempts: "integer",
    next_at: "integer",
    state: "text",
    error: "text",
  },
  open_session: { id: "text", value: "json" },
  live_stream: { name: "text", since: "integer" },
} as const satisfies { readonly [T in TableName]: Readonly<Record<keyof Tables[T], ColumnKind>> };

export const tableNames = Object.keys(columns) as TableName[];

/** What is wrong with a value, or undefined. */
export function faultOf(kind: ColumnKind, value: unknown): string | undefined {
  if (kind.endsWith("?") && value === null) return undefined;
  if (kind.startsWith("integer")) return Number.isSafeInteger(value) ? undefined : "must be a whole number";
  if (typeof value !== "string") return "must be a text";
  if (kind !== "json") return undefined;
  try {
    JSON.parse(value);
    return undefined;
  } catch {
    return "must be a text that is JSON";
  }
}
