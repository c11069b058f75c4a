import type { ApiScope } from "./rest/route.ts";

/** Who calls the API, and what it may do there. */
export type Principal = {
  /** `local` for programs on this machine, the account's name, or the token's. */
  readonly name: string;
  readonly kind: "local" | "account" | "token";
  readonly scope: ApiScope;
};
