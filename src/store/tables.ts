/** Rows of the database; `Generated` columns have a default. */
import type { Generated } from "kysely";

export type Tables = {
  config_change: {
    key: string;
    /** JSON. */
    value: string;
    /** Unix milliseconds. */
    changed_at: number;
  };
  outbox: {
    /** The sequence number; never used twice. */
    id: Generated<number>;
    trigger_name: string;
    /** URL or path. */
    handler: string;
    order_key: string;
    /** JSON. */
    payload: string;
    uuid: string;
    /** Unix milliseconds. */
    created_at: number;
    attempts: Generated<number>;
    /** Unix milliseconds. */
    next_at: Generated<number>;
    state: Generated<"waiting" | "dead">;
    error: Generated<string>;
  };
  open_session: {
    id: string;
    /** JSON. */
    value: string;
  };
  live_stream: {
    name: string;
    /** Unix milliseconds. */
    since: number;
  };
  api_token: {
    id: string;
    name: string;
    /** SHA-256 of the token's text, hexadecimal. */
    hash: string;
    scope: "read" | "operate" | "admin";
    /** Unix milliseconds, as are the next two. */
    created_at: number;
    expires_at: number | null;
    last_used_at: number | null;
  };
  operator_token: {
    /** Rises with time. */
    id: string;
    kind: "push" | "view";
    /** SHA-256 of its text, hexadecimal. */
    hash: string;
    hint: string;
    stream: string;
    /** JSON: all that was said when it was made. */
    spec: string;
    /** Unix milliseconds, as all times. */
    created_at: number;
    uses: number | null;
    not_before: number | null;
    expires_at: number | null;
    lifetime_ms: number | null;
    used: number;
    first_used_at: number | null;
    bound_to: string | null;
    revoked_at: number | null;
  };
};
