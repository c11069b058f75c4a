import type { LimitRule } from "../access/limits/limit.ts";
import type { Arranged, Arrangement } from "../access/live-arrangement.ts";
import type { Log } from "../base/log.ts";
import type { ServerControl } from "../base/server-control.ts";
import type { Clock } from "../base/time.ts";
import type { TokenBook } from "../store/token-book.ts";
import type { Triggers } from "../triggers/trigger.ts";

/** What a policy gets of the server: what operator code has, too, and the store behind its tokens. */
export interface PolicyContext {
  /** Registers a handler; it runs before those of the configuration. Dispose to take it away. */
  readonly on: Triggers["on"];
  readonly server: ServerControl;
  readonly tokens: TokenBook;
  /** Limits beside those of the configuration; dispose to take one away. */
  readonly limits: { add(name: string, rule: LimitRule): Disposable };
  /** The public list of what plays. */
  readonly liveList: { arrange(arrangement: Arrangement): Arranged };
  /** Names that are configured under `streams`. */
  isConfigured(name: string): boolean;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * A ready-made set of handlers: one entry under `policies` of the configuration. `name` and `options` are what stands in
 * JSON (`{ "use": "pushTokens", ...options }`); options may hold functions when the configuration is TypeScript.
 */
export type Policy = {
  readonly name: string;
  readonly options: Readonly<Record<string, unknown>>;
  /** Registers its handlers. Dispose what comes back to take the policy out of force; what it stored stays. */
  start(context: PolicyContext): Disposable | Promise<Disposable>;
};
