import { isSluiceError, messageOf } from "../base/errors.ts";
import type { Protocol } from "../protocols/protocol.ts";
import { triggers } from "../triggers/table.ts";
import { type Account, accountSchema } from "./account.ts";
import { readPolicies } from "./policy-entries.ts";
import { readLimits } from "./limit-rule.ts";
import { readListings } from "./listing.ts";
import { problem } from "./problem.ts";
import { parseLooseStream, parseSetting, type settingSchemas } from "./schema.ts";
import { jwksSchema, problemOfStreamKey } from "./token-settings.ts";
import type { ConnectorEntry, SettingValues, Settings, StreamEntry } from "./settings.ts";
import { checkEntries } from "./trigger-entries.ts";

/** A change of settings: a member that is not there stays as it is, null goes back to the default. */
export type SettingsPatch = { readonly [K in keyof Settings]?: Settings[K] | null | undefined };

type Reading = { readonly where: string; readonly protocols: readonly Protocol[]; readonly warn: (text: string) => void };

/** Keys at the top of a MistServer configuration file that our own shape does not have. */
const topKeys = [
  "config",
  "auto_push",
  "autopushes",
  "bandwidth",
  "external_writers",
  "extwriters",
  "push_settings",
  "tags",
  "ui_settings",
  "variables",
];

/** Those of them that are kept for the API. */
const keptKeys = ["bandwidth", "push_settings", "tags", "ui_settings", "variables"];

/** Connectors whose port and interface are settings of ours; HTTPS has one for all of its options. */
const listeners = { HTTP: ["httpPort", "httpHost"], RTMP: ["rtmpPort", "rtmpHost"] } as const;

/** MistServer reads 0 as "not set" in these. */
const zeroIsUnset = ["sessionViewerMode", "sessionInputMode", "sessionOutputMode", "sessionStreamInfoMode"];

/** True if a JSON configuration has the shape of a MistServer's. */
export function isMistShape(value: unknown): value is Readonly<Record<string, unknown>> {
  return isObject(value) && topKeys.some((key) => Object.hasOwn(value, key));
}

/**
 * Reads a MistServer configuration. What Sluice does not have is a warning; a wrong type is `SluiceError` "config.invalid".
 */
export function readMistShape(
  raw: Readonly<Record<string, unknown>>,
  where: string,
  protocols: readonly Protocol[],
): { readonly values: SettingValues; readonly warnings: readonly string[] } {
  const warnings: string[] = [];
  const warn = (text: string): void => void warnings.push(`${where}: ${text}`);
  const config = raw["config"] ?? {};
  if (!isObject(config)) throw problem(where, ["config"], config, "an object");
  const values: Record<string, unknown> = {};
  for (const [member, value] of Object.entries(config)) {
    const unset = value === null || value === undefined || (value === 0 && zeroIsUnset.includes(member));
    if (unset) continue;
    const { kept, ...patch } = readConfigMember(member, value, { where, protocols, warn }) ?? {};
    for (const [key, setting] of Object.entries(patch)) if (setting !== null) values[key] = setting;
    if (kept) values["kept"] = { ...(values["kept"] as Settings["kept"] | undefined), ...kept };
  }
  values["streams"] = readStreams(raw["streams"], where, warn);
  values["account"] = readAccounts(raw["account"], where);
  if (raw["jwks"] !== undefined && raw["jwks"] !== null) values["jwks"] = readKeys(raw["jwks"], warn);
  if (raw["streamkeys"] !== undefined && raw["streamkeys"] !== null) values["streamkeys"] = readStreamKeys(raw["streamkeys"], where, warn);
  const { entries: policies } = readPolicies(raw["policies"], where);
  if (Object.keys(policies).length > 0) values["policies"] = policies;
  if (raw["listing"] !== undefined && raw["listing"] !== null) values["listing"] = readListings(raw["listing"], where);
  Object.assign(values, readLimitMember(raw["limits"], ["limits"], { where, protocols, warn }));
  const beside = keptKeys.filter((key) => hasContent(raw[key])).map((key) => [key, raw[key]] as const);
  if (beside.length > 0) values["kept"] = { ...(values["kept"] as Settings["kept"] | undefined), ...Object.fromEntries(beside) };
  const without = topKeys.slice(1).filter((key) => !keptKeys.includes(key) && hasContent(raw[key]));
  if (without.length > 0) warn(`Sluice has nothing for ${without.join(", ")}; they are ignored`);
  return { values, warnings };
}

/**
 * The change that one member of MistServer's `config` means, from a file or from the API; undefined for members that
 * MistServer does not take either. Null resets. Throws `SluiceError` "config.invalid" if the value is of the wrong kind.
 */
export function readConfigMember(member: string, value: unknown, reading: Reading): SettingsPatch | undefined {
  const { where } = reading;
  switch (member) {
    case "controller":
      return readController(value, where);
    case "protocols":
      return readConnectors(value, reading);
    case "triggers":
      return { triggers: readTriggerEntries(value, reading) };
    case "trustedproxy":
      return { trustedproxy: readProxies(value, where) };
    case "sessionViewerMode":
    case "sessionInputMode":
    case "sessionOutputMode":
    case "sessionUnspecifiedMode":
    case "sessionStreamInfoMode":
    case "tknMode":
      return { [member]: value === null ? null : parseMember(member, wholeNumber(value), where) };
    case "serverid":
    case "sessionIdentity":
    case "accesslog":
    case "defaultStream":
      return { [member]: value === null ? null : parseMember(member, value, where) };
    case "limits":
      return value === null ? { limits: null } : readLimitMember(value, ["config", "limits"], reading);
    case "prometheus":
    case "debug":
    case "location":
      return { kept: { [member]: value } };
    default:
      return undefined;
  }
}

/** Limits are ours; lists of that name in very old MistServer configurations mean nothing to a new one either. */
function readLimitMember(value: unknown, path: readonly PropertyKey[], { where, warn }: Reading): SettingsPatch | undefined {
  if (value === undefined || value === null) return undefined;
  if (!Array.isArray(value)) return { limits: readLimits(value, where, path) };
  if (value.length > 0) warn(`${path.join(".")} is a list of an older MistServer, and is ignored; see docs/recipes/limits.md`);
  return undefined;
}

function parseMember<K extends keyof typeof settingSchemas>(member: K, value: unknown, where: string): unknown {
  return parseSetting(member, value, where, ["config", member]);
}

function readController(value: unknown, where: string): SettingsPatch {
  if (value === null) return { apiPort: null, apiHost: null, kept: { controllerUser: undefined } };
  if (!isObject(value)) throw problem(where, ["config", "controller"], value, "an object with `port` and `interface`");
  const username = value["username"];
  return {
    ...listening(value, ["apiPort", "apiHost"], where, ["config", "controller"]),
    ...(typeof username === "string" && { kept: { controllerUser: username } }),
  };
}

function readConnectors(value: unknown, { where, protocols, warn }: Reading): SettingsPatch {
  const reset = { connectors: null, httpPort: null, httpHost: null, rtmpPort: null, rtmpHost: null };
  if (value === null) return { ...reset, https: null };
  if (!Array.isArray(value)) throw problem(where, ["config", "protocols"], value, "a list of objects with a `connector`");
  const connectors: ConnectorEntry[] = [];
  let patch: SettingsPatch = reset;
  const unknown: string[] = [];
  for (const [index, item] of value.entries()) {
    const path = ["config", "protocols", index];
    const connector = isObject(item) ? item["connector"] : undefined;
    if (!isObject(item) || typeof connector !== "string") throw problem(where, path, item, "an object with a `connector`");
    const { online: _online, ...options } = item;
    const entry = { ...options, connector };
    if (connectors.some((other) => sameJson(other, entry))) continue;
    connectors.push(entry);
    if (!isKnownConnector(connector, protocols)) unknown.push(connector);
    if (connector === "HTTP" || connector === "RTMP") patch = { ...patch, ...listening(item, listeners[connector], where, path) };
  }
  if (unknown.length > 0) warn(`Sluice does not have the connector${unknown.length > 1 ? "s" : ""} ${[...new Set(unknown)].join(", ")}`);
  return { ...patch, connectors, https: readHttps(connectors, where, warn) };
}

/** True for connectors that Sluice has. */
export function isKnownConnector(connector: string, protocols: readonly Protocol[]): boolean {
  return connector in listeners || connector === "HTTPS" || protocols.some((protocol) => protocol.connector === connector);
}

/**
 * The setting that the last of the connectors named HTTPS means; null if there is none. Null, too, with a warning, for one without
 * files: MistServer starts it, and it answers nobody. Throws "config.invalid".
 */
export function readHttps(connectors: readonly ConnectorEntry[], where: string, warn: (text: string) => void): Settings["https"] | null {
  const at = connectors.findLastIndex(({ connector }) => connector === "HTTPS");
  const entry = connectors[at];
  if (!entry) return null;
  const { port, interface: host, cert, key } = entry;
  // MistServer keeps the certificates as a list of files.
  const files = (Array.isArray(cert) ? (cert as unknown[]) : [cert]).filter((file) => file !== "" && file !== null && file !== undefined);
  if (files.length === 0 || key === undefined || key === null || key === "") {
    warn("the connector HTTPS has no `cert` or no `key`; it is not started");
    return null;
  }
  if (files.length > 1) warn("the connector HTTPS has several files in `cert`; the first counts, and must have the whole chain");
  return parseSetting(
    "https",
    {
      port: port === undefined || port === null || port === "" ? undefined : wholeNumber(port),
      host: host === undefined || host === null || host === "" ? undefined : host,
      cert: files[0],
      key,
    },
    where,
    ["config", "protocols", at],
  );
}

function listening(
  value: Readonly<Record<string, unknown>>,
  [portKey, hostKey]: readonly ["apiPort" | "httpPort" | "rtmpPort", "apiHost" | "httpHost" | "rtmpHost"],
  where: string,
  path: readonly PropertyKey[],
): SettingsPatch {
  const port = value["port"];
  const address = value["interface"];
  if (address !== undefined && address !== null && typeof address !== "string") {
    throw problem(where, [...path, "interface"], address, "an address to listen on");
  }
  return {
    [portKey]:
      port === undefined || port === null || port === "" ? null : parseSetting(portKey, wholeNumber(port), where, [...path, "port"]),
    [hostKey]: address === undefined || address === null || address === "" ? null : address,
  };
}

/** The whole object as it is, for exact read-back; a value that is no object means no triggers. */
function readTriggerEntries(value: unknown, { where, warn }: Reading): Settings["triggers"] | null {
  if (!isObject(value)) return null;
  checkEntries(value, where, "config.triggers");
  const strangers = Object.keys(value).filter((name) => !Object.hasOwn(triggers, name));
  if (strangers.length > 0) warn(`triggers that never fire here: ${strangers.join(", ")}`);
  return value;
}

function readProxies(value: unknown, where: string): readonly string[] | null {
  if (value === null) return null;
  if (typeof value === "string") return value.split(/[\s,]+/).filter((entry) => entry !== "");
  return parseSetting("trustedproxy", value, where, ["config", "trustedproxy"]);
}

function readStreams(value: unknown, where: string, warn: (text: string) => void): Readonly<Record<string, StreamEntry>> {
  if (value === undefined || value === null) return {};
  if (!isObject(value)) throw problem(where, ["streams"], value, "an object with stream names as keys");
  const streams: [string, StreamEntry][] = [];
  for (const [name, entry] of Object.entries(value)) {
    try {
      streams.push([name, parseLooseStream(name, entry, where)]);
    } catch (error) {
      if (!isSluiceError(error, "config.invalid")) throw error;
      warn(`${messageOf(error).replace(`${where}: `, "")}; the stream is left out`);
    }
  }
  return Object.fromEntries(streams);
}

function readAccounts(value: unknown, where: string): Readonly<Record<string, Account>> {
  if (value === undefined || value === null) return {};
  if (!isObject(value)) throw problem(where, ["account"], value, "an object with user names as keys");
  return Object.fromEntries(
    Object.entries(value).map(([name, account]): [string, Account] => {
      const password = isObject(account) ? account["password"] : undefined;
      // Our own form may stand in MistServer's file, too.
      const isOwn = isObject(account) && ["scrypt", "scope", "md5"].some((key) => Object.hasOwn(account, key));
      const own = isOwn ? accountSchema.safeParse(account) : undefined;
      if (own?.success) return [name, own.data];
      if (own) throw problem(where, ["account", name], account, own.error.issues[0]?.message ?? "an account");
      if (typeof password !== "string") throw problem(where, ["account", name, "password"], password, "the MD5 of the password");
      return [name, { password: password.toLowerCase() }];
    }),
  );
}

/** Keys of JWTs; one that is none is left out, with a warning that does not show it. */
function readKeys(value: unknown, warn: (text: string) => void): Settings["jwks"] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  return list.flatMap((entry, index) => {
    const read = jwksSchema.safeParse([entry]);
    if (read.success) return read.data;
    warn(`jwks[${index}] is not ${read.error.issues[0]?.message}; it is left out`);
    return [];
  });
}

function readStreamKeys(value: unknown, where: string, warn: (text: string) => void): Settings["streamkeys"] {
  if (!isObject(value)) throw problem(where, ["streamkeys"], value, "an object with stream keys as keys");
  const good = Object.entries(value).filter(([key, stream]) => {
    const wrong = problemOfStreamKey(key, stream);
    if (wrong !== undefined) warn(`streamkeys: ${wrong}; one is left out`);
    return wrong === undefined;
  });
  return Object.fromEntries(good) as Settings["streamkeys"];
}

/** MistServer takes numbers as text too. */
function wholeNumber(value: unknown): unknown {
  return typeof value === "string" && /^\d+$/.test(value) ? Number(value) : value;
}

function hasContent(value: unknown): boolean {
  return typeof value === "object" && value !== null ? Object.keys(value).length > 0 : false;
}

function sameJson(left: unknown, right: unknown): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
