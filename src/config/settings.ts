import type { ListingEntry } from "../access/live-arrangement.ts";
import type { LiveListSetting } from "../access/live-list.ts";
import type { StreamSettings } from "../access/settings.ts";
import type { LimitRule } from "../access/limits/limit.ts";
import type { KeyEntry } from "../access/tokens/key-entry.ts";
import type { StreamKeyTable } from "../access/tokens/stream-keys.ts";
import type { LogKind } from "../base/log.ts";
import type { SessionIdentity } from "../base/session-identity.ts";
import type { Account } from "./account.ts";
import type { PolicyEntry } from "./policy-entries.ts";
import { fallbackOf } from "./fallback-shape.ts";
import { defaultJournal, type JournalSetting } from "../triggers/journal/journal.ts";

/** How long packets may be gathered before they are written: less delay costs more writes. */
export const latencies = ["low", "normal", "high"] as const;
export type Latency = (typeof latencies)[number];

/** A configured stream as it was written, MistServer's keys; `streamSettings` reads it. Unknown keys are kept. */
export type StreamEntry = { readonly source: string | null } & Readonly<Record<string, unknown>>;

/** One listener or output as MistServer's `config.protocols` has it. Unknown keys are kept. */
export type ConnectorEntry = { readonly connector: string } & Readonly<Record<string, unknown>>;

/** The port for HTTPS. `cert` and `key` are paths of PEM files; they are read again when they change. */
export type HttpsSetting = { readonly port: number; readonly host?: string; readonly cert: string; readonly key: string };

/** The whole configuration in force. Plain data: it can be stored, compared and shown (but for `account`, `jwks` and `streamkeys`). */
export type Settings = {
  /** Address that all ports listen on unless the three below say otherwise. */
  readonly host: string;
  readonly rtmpHost: string;
  readonly httpHost: string;
  readonly apiHost: string;
  /** TCP ports; 0 takes any free one. */
  readonly rtmpPort: number;
  readonly httpPort: number;
  readonly apiPort: number;
  /** Directory for what must survive. */
  readonly data: string;
  /** Address of the PostgreSQL database that keeps what `data` keeps otherwise, but for the journal of calls. May hold a password. */
  readonly store: string | undefined;
  /** The least urgent kind of line that is written. */
  readonly logLevel: LogKind;
  readonly latency: Latency;
  /** Name for people; goes to handlers as `X-Name`. */
  readonly serverid: string;
  readonly streams: Readonly<Record<string, StreamEntry>>;
  /** Source of names that are not configured; undefined refuses them. */
  readonly defaultSource: string | undefined;
  /** Shown instead of a stream that cannot be opened; empty: none. */
  readonly defaultStream: string;
  /** Addresses, ranges and host names that may say for whom they speak; loopback always may. */
  readonly trustedproxy: readonly string[];
  /** Connections from such proxies may begin with a PROXY header, on every TCP port. */
  readonly proxyProtocol: boolean;
  /** Undefined: no HTTPS. */
  readonly https: HttpsSetting | undefined;
  readonly sessionViewerMode: number;
  /** What makes one viewer the same viewer, in place of `sessionViewerMode`; empty: the mode counts. */
  readonly sessionIdentity: SessionIdentity;
  readonly sessionInputMode: number;
  readonly sessionOutputMode: number;
  readonly sessionUnspecifiedMode: number;
  readonly sessionStreamInfoMode: number;
  readonly tknMode: number;
  /** "": none, "LOG": a line in the log, else a file's path. */
  readonly accesslog: string;
  readonly account: Readonly<Record<string, Account>>;
  /** Programs on this very machine need no password for the API. */
  readonly apiLocalAccess: boolean;
  /** Keys that JWTs are checked with: JWKs, JWKSs and addresses of them, alone or as pairs with permissions. Secret. */
  readonly jwks: readonly KeyEntry[];
  /** Secret names to push to, and the streams that they stand for. */
  readonly streamkeys: StreamKeyTable;
  /** What holds for streams that do not say `requireToken` themselves: without a JWT that holds nobody may watch, without one or a stream key nobody may push. */
  readonly requireToken: boolean;
  /** What viewers and publishers may use, by names of limits. */
  readonly limits: Readonly<Record<string, LimitRule>>;
  /** HTTP and executable handlers, MistServer's shape, exactly as they were given. */
  readonly triggers: Readonly<Record<string, unknown>>;
  /** Ready-made policies as JSON has them, by name; those that TypeScript made are not here. */
  readonly policies: Readonly<Record<string, PolicyEntry>>;
  /** What is written down of the calls of triggers. */
  readonly journal: JournalSetting;
  /** What `/live.json` on the HTTP port shows; false: there is none. */
  readonly liveList: LiveListSetting | false;
  /** What was set for streams of that list, by full name, or by base name for all of its `base+name`. */
  readonly listing: Readonly<Record<string, ListingEntry>>;
  /** Options by protocol name. */
  readonly protocols: Readonly<Record<string, unknown>>;
  /** MistServer's list of connectors; undefined: all that Sluice has. */
  readonly connectors: readonly ConnectorEntry[] | undefined;
  /** Settings of MistServer that are kept and shown. `prometheus` opens the metrics (api/metrics.ts), `tags`, `bandwidth`, `ui_settings`, `push_settings`, `variables` are calls of the API, `debug` and `location` have no effect. */
  readonly kept: Readonly<Record<string, unknown>>;
};

/** What the public list shows when nothing is said. */
export const defaultLiveList: LiveListSetting = { viewers: false, readers: 10_000 };

/** One object, so that a change of something else does not look like a change of limits. */
const noLimits: Settings["limits"] = {};
const noListing: Settings["listing"] = {};

/** Settings before the defaults are filled in. */
export type SettingValues = { readonly [K in keyof Settings]?: Settings[K] | undefined };

/** Fills in the defaults. Without any `streams` every name may be pushed to; with some, only those. */
export function withDefaults(values: SettingValues): Settings {
  const host = values.host ?? "0.0.0.0";
  return {
    host,
    rtmpHost: values.rtmpHost ?? host,
    httpHost: values.httpHost ?? host,
    apiHost: values.apiHost ?? host,
    rtmpPort: values.rtmpPort ?? 1935,
    httpPort: values.httpPort ?? 8080,
    apiPort: values.apiPort ?? 4242,
    data: values.data ?? "data",
    store: values.store,
    logLevel: values.logLevel ?? "INFO",
    latency: values.latency ?? "normal",
    serverid: values.serverid ?? "",
    streams: values.streams ?? {},
    defaultSource: values.defaultSource ?? (values.streams === undefined ? "push://" : undefined),
    defaultStream: values.defaultStream ?? "",
    trustedproxy: values.trustedproxy ?? [],
    proxyProtocol: values.proxyProtocol ?? false,
    https: values.https,
    sessionViewerMode: values.sessionViewerMode ?? 14,
    sessionIdentity: values.sessionIdentity ?? [],
    sessionInputMode: values.sessionInputMode ?? 15,
    sessionOutputMode: values.sessionOutputMode ?? 15,
    sessionUnspecifiedMode: values.sessionUnspecifiedMode ?? 0,
    sessionStreamInfoMode: values.sessionStreamInfoMode ?? 1,
    tknMode: values.tknMode ?? 15,
    accesslog: values.accesslog ?? "",
    account: values.account ?? {},
    apiLocalAccess: values.apiLocalAccess ?? true,
    jwks: values.jwks ?? [],
    streamkeys: values.streamkeys ?? {},
    requireToken: values.requireToken ?? false,
    limits: values.limits ?? noLimits,
    triggers: values.triggers ?? {},
    policies: values.policies ?? {},
    journal: values.journal ?? defaultJournal,
    liveList: values.liveList ?? defaultLiveList,
    listing: values.listing ?? noListing,
    protocols: values.protocols ?? {},
    connectors: values.connectors,
    kept: values.kept ?? {},
  };
}

/** Reads an entry. MistServer writes switches as 0 and 1, and its web interface writes numbers as text at times. */
export function streamSettings(entry: StreamEntry): StreamSettings {
  return {
    source: entry.source ?? "",
    fallback_stream: typeof entry["fallback_stream"] === "string" ? entry["fallback_stream"] : undefined,
    always_on: switchOf(entry["always_on"]),
    hidden: switchOf(entry["hidden"]),
    tags: tagsOf(entry["tags"]),
    DVR: numberOf(entry["DVR"]),
    segmentsize: numberOf(entry["segmentsize"]),
    resume: switchOf(entry["resume"]),
    inputtimeout: numberOf(entry["inputtimeout"]),
    requireToken: switchOf(entry["requireToken"]),
    fallback: fallbackOf(entry["fallback"]),
  };
}

function switchOf(value: unknown): boolean | undefined {
  return value === undefined || value === null ? undefined : value === true || value === 1 || value === "1" || value === "true";
}

function numberOf(value: unknown): number | undefined {
  if (typeof value === "string" && value.trim() === "") return undefined;
  const number = typeof value === "number" || typeof value === "string" ? Number(value) : Number.NaN;
  return Number.isFinite(number) ? number : undefined;
}

function tagsOf(value: unknown): readonly string[] | undefined {
  if (typeof value === "string") return value === "" ? [] : [value];
  return Array.isArray(value) ? value.filter((tag) => typeof tag === "string") : undefined;
}
