import type { KeyEntry } from "../access/tokens/key-entry.ts";
import type { LogKind } from "../base/log.ts";
import type { KeepRule } from "../base/server-control.ts";
import type { JournalSetting } from "../triggers/journal/journal.ts";
import type { CallLimitOptions } from "../triggers/failure/call-control.ts";
import type { EntryOnFail } from "../triggers/failure/on-fail.ts";
import type { AccessTrigger, TriggerName } from "../triggers/table.ts";
import type { Handler, HandlerOptions } from "../triggers/trigger.ts";
import type { Policy } from "../policies/policy.ts";
import type { PolicyEntry } from "./policy-entries.ts";
import type { LimitRule } from "../access/limits/limit.ts";
import type { ListingEntry } from "../access/live-arrangement.ts";
import type { Account } from "./account.ts";
import type { HttpsSetting, Latency } from "./settings.ts";

/**
 * A handler with its options: which streams, how long it may take, what holds when it fails. Where its answer lets somebody
 * in, `onFail` may not be left out, but for a shadow. (A function alone is the short form: when it fails, a verdict is no.)
 */
export type HandlerSetting<K extends TriggerName> = Partial<HandlerOptions<K>> & { readonly handle: Handler<K> } & (K extends AccessTrigger
    ? Pick<HandlerOptions<K>, "onFail"> | { readonly mode: "shadow" }
    : unknown);

/** An HTTP handler (`http://...`) or an executable (a path), in MistServer's object form. Further keys are kept. */
export type TriggerEntry<K extends TriggerName = TriggerName> = Partial<CallLimitOptions> & {
  readonly handler: string;
  /** True: wait for the answer and use it. */
  readonly sync?: boolean;
  readonly streams?: readonly string[];
  readonly params?: string | null;
  /** The answer when the handler fails. */
  readonly default?: string | null;
  /** What holds when the handler fails, in a word; counts before `default`. */
  readonly onfail?: "deny" | "keep" | "legacy" | "offline" | "use-configured";
  /** What holds when the handler fails, for each cause, in words or as decisions. Counts before `default`; not beside `onfail`. */
  readonly onFail?: EntryOnFail<K>;
  /** HTTP only. `json`: named and typed fields, the client's request, and a decision object as answer. */
  readonly format?: "text" | "json";
  /** Signs the calls of the JSON form by Standard Webhooks: `whsec_...`, or several while one is exchanged. */
  readonly secret?: string | readonly string[];
  /** Certificates that HTTPS trusts beside the usual ones: PEM, or the path of a file. */
  readonly ca?: string;
  /** Milliseconds that an answer may take. */
  readonly timeoutMs?: number;
  /** `shadow`: it is asked, its answer stands in the journal and is not applied. */
  readonly mode?: "live" | "shadow";
  /** `reliable`: kept on disk until the handler has taken it, over restarts of either side; only where a trigger tells and does not ask. */
  readonly delivery?: "direct" | "reliable";
  /** USER_END with reliable delivery: `strict` lets nobody begin a session anew before the handler has taken the end of their last one. */
  readonly order?: "usual" | "strict";
  /** Functions belong into `handle`. */
  readonly handle?: never;
};

/** MistServer's older form: handler, sync, streams. */
export type TriggerTuple = readonly [handler: string, sync?: boolean, streams?: readonly string[], fallback?: string];

/** What may stand for one trigger: a function, or one or more handlers of any form, run in order. */
export type TriggerSetting<K extends TriggerName> =
  | Handler<K>
  | HandlerSetting<K>
  | TriggerEntry<K>
  | readonly (Handler<K> | HandlerSetting<K> | TriggerEntry<K> | TriggerTuple)[];

/** A stream: its source alone, or an object with MistServer's keys. */
export type StreamSetting =
  | string
  | {
      readonly source: string;
      readonly name?: string;
      readonly fallback_stream?: string;
      readonly always_on?: boolean | 0 | 1;
      readonly tags?: readonly string[];
      /** Not in the public list, `/live.json`. */
      readonly hidden?: boolean | 0 | 1;
      /** ms of media kept. */
      readonly DVR?: number;
      /** ms, least length of a segment. */
      readonly segmentsize?: number;
      readonly resume?: boolean | 0 | 1;
      /** s that an unused input stays open. */
      readonly inputtimeout?: number;
      /** Nobody watches without a JWT that holds, nobody pushes without one or a stream key. Left out: what `requireToken` says for all streams. */
      readonly requireToken?: boolean | 0 | 1;
      /** What its viewers are shown while it is offline, on the same connection or playlist: streams, and recordings by path. */
      readonly fallback?: readonly string[] | (Omit<KeepRule, "sources"> & { readonly sources: readonly string[] });
      readonly cut?: number;
      readonly maxkeepaway?: number;
      readonly idleTime?: number;
      readonly pagetimeout?: number;
      readonly stop_sessions?: unknown;
      readonly processes?: unknown;
      readonly debug?: unknown;
    };

/** What a person writes. Everything may be left out; docs and defaults are those of `Settings`. */
export type Config = {
  readonly host?: string;
  readonly rtmpHost?: string;
  readonly httpHost?: string;
  readonly apiHost?: string;
  readonly rtmpPort?: number;
  readonly httpPort?: number;
  readonly apiPort?: number;
  readonly data?: string;
  /** `postgres://USER:PASSWORD@HOST:5432/DATABASE`; left out: SQLite in `data`. */
  readonly store?: string;
  readonly logLevel?: LogKind | Lowercase<LogKind>;
  readonly latency?: Latency;
  readonly serverid?: string;
  readonly streams?: Readonly<Record<string, StreamSetting>>;
  readonly defaultSource?: string;
  readonly defaultStream?: string;
  readonly trustedproxy?: readonly string[];
  /** Connections from trusted proxies may begin with a PROXY header (v1 or v2), on every TCP port. */
  readonly proxyProtocol?: boolean;
  /** The HTTP port's content over TLS. The port is 4433 if left out. */
  readonly https?: Omit<HttpsSetting, "port"> & { readonly port?: number };
  readonly sessionViewerMode?: number;
  /** What makes one viewer the same viewer, in place of the mode: "stream, claim:sub | token". */
  readonly sessionIdentity?: string | readonly string[];
  readonly sessionInputMode?: number;
  readonly sessionOutputMode?: number;
  readonly sessionUnspecifiedMode?: number;
  readonly sessionStreamInfoMode?: number;
  readonly tknMode?: number;
  readonly accesslog?: string;
  readonly account?: Readonly<Record<string, Account>>;
  readonly apiLocalAccess?: boolean;
  /** Keys that JWTs are checked with: a JWK, a JWKS or the address of one (or of an OpenID document), alone or as `[key, permissions]`. */
  readonly jwks?: readonly KeyEntry[];
  /** Secret names to push to, and the streams that they stand for: `{ "k7-random": "live" }`. */
  readonly streamkeys?: Readonly<Record<string, string>>;
  /** For all streams that do not say it themselves. */
  readonly requireToken?: boolean;
  /** What is written down of the calls of triggers: "full" (the default), "sampled" or "off". */
  readonly journal?: JournalSetting["mode"] | Partial<JournalSetting>;
  /** The public list of what plays, `/live.json` on the HTTP port: on if left out, without viewers; false switches it off. */
  readonly liveList?: boolean | { readonly viewers?: boolean; readonly readers?: number };
  /** What that list shows of streams, by full name or base name: `{ "live+final": { metadata: { title: "The final" } } }`. */
  readonly listing?: Readonly<Record<string, ListingEntry>>;
  /** How many viewers and how much bandwidth: `{ "two-screens": { by: "user", sessions: 2 } }`. See docs/recipes/limits.md. */
  readonly limits?: Readonly<Record<string, LimitRule>>;
  readonly triggers?: { readonly [K in TriggerName]?: TriggerSetting<K> };
  /** Ready-made sets of handlers: `policies: [pushTokens()]`. They are asked before `triggers`. */
  readonly policies?: readonly (Policy | PolicyEntry | string)[] | Readonly<Record<string, Policy | PolicyEntry>>;
  readonly protocols?: Readonly<Record<string, unknown>>;
};

/** Gives the configuration back as it is; it is there for the types: handlers get and answer what the trigger table says. */
export function defineConfig(config: Config): Config {
  return config;
}
