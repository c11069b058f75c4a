import { isSluiceError, messageOf } from "../../../base/errors.ts";
import { connectorEntries } from "../../../config/connector-entries.ts";
import { isKnownConnector, readConfigMember, readHttps, type SettingsPatch } from "../../../config/mist-shape.ts";
import type { ConnectorEntry, Settings } from "../../../config/settings.ts";
import { withoutSecrets, withSecrets } from "../../../triggers/call/secrets.ts";
import type { ApiParts } from "../../parts.ts";
import { type Call, type CallContext, complain, isObject } from "../call.ts";

/** Settings that count from the next start on. */
const atStart: readonly (keyof Settings)[] = ["apiPort", "apiHost", "httpPort", "httpHost"];

/** `config`: each member that is there replaces the stored one; null resets. A member of the wrong kind is left out, logged, and told as `error`. */
export const configCall: Call = {
  name: "config",
  async run(value, { parts }, reply) {
    if (!isObject(value)) return;
    let patch: SettingsPatch = {};
    let kept: Settings["kept"] = {};
    const refused: string[] = [];
    const warn = (text: string): void => parts.log.write("WARN", `API: ${text}`);
    for (const [member, setting] of Object.entries(value)) {
      try {
        const whole = member === "triggers" ? withSecrets(setting, parts.configuration.settings.triggers) : setting;
        const { kept: more, ...changed } = readConfigMember(member, whole, { where: "API", protocols: parts.protocols, warn }) ?? {};
        patch = { ...patch, ...changed };
        kept = { ...kept, ...more };
      } catch (error) {
        if (!isSluiceError(error, "config.invalid")) throw error;
        refused.push(`${messageOf(error)}; it stays as it was`);
      }
    }
    for (const line of refused) complain({ parts }, reply, line);
    await parts.configuration.change((settings) => ({ ...patch, kept: { ...settings.kept, ...kept } }));
    const changed = Object.keys(value).join(", ");
    if (changed !== "") parts.log.write("CONF", `Configuration changed through the API: ${changed}`);
    const later = atStart.filter((key) => patch[key] !== undefined && patch[key] !== null);
    if (later.length > 0) parts.log.write("WARN", "Changed ports of HTTP and of the API count from the next start on");
  },
};

/** `addprotocol`, `deleteprotocol`: one connector, or a list of them. `updateprotocol`: `[old, new]`. */
export const protocolCalls: readonly Call[] = [
  {
    name: "addprotocol",
    run: (value, context) => changeConnectors(value, context, (list, one) => [...list.filter((e) => !same(e, one)), one]),
  },
  { name: "deleteprotocol", run: (value, context) => changeConnectors(value, context, (list, one) => list.filter((e) => !same(e, one))) },
  {
    name: "updateprotocol",
    async run(value, context, reply) {
      const [old, next] = Array.isArray(value) ? (value as readonly unknown[]) : [];
      if (!isConnector(old) || !isConnector(next)) {
        complain(context, reply, "updateprotocol takes two objects with a `connector`: the old one, and what it is to be");
        return;
      }
      const { settings } = context.parts.configuration;
      if (!connectorEntries(settings, context.parts.protocols).some((entry) => same(entry, plain(old)))) {
        complain(context, reply, `updateprotocol: no ${old.connector} has these options`);
        return;
      }
      await changeConnectors(next, context, (list, one) => list.map((entry) => (same(entry, plain(old)) ? one : entry)));
    },
  },
];

async function changeConnectors(
  value: unknown,
  { parts }: CallContext,
  change: (list: readonly ConnectorEntry[], one: ConnectorEntry) => readonly ConnectorEntry[],
): Promise<void> {
  const entries = (Array.isArray(value) ? value : [value]).filter(isConnector).map(plain);
  if (entries.length === 0) return;
  await parts.configuration.change((settings) => {
    const connectors = entries.reduce(change, connectorEntries(settings, parts.protocols));
    return { connectors, https: readHttps(connectors, "API", (text) => parts.log.write("WARN", text)) };
  });
  parts.log.write("CONF", "Protocols changed through the API");
}

/** The `config` member of an answer. Accounts are never part of it. */
export function configReply(parts: ApiParts): Readonly<Record<string, unknown>> {
  const { settings } = parts.configuration;
  const { controllerUser, prometheus, debug, location } = settings.kept;
  return {
    accesslog: settings.accesslog,
    controller: { interface: settings.apiHost, port: settings.apiPort, username: controllerUser ?? null },
    ...(debug !== undefined && { debug }),
    ...(location !== undefined && { location }),
    defaultStream: settings.defaultStream === "" ? null : settings.defaultStream,
    iid: parts.identity.instance,
    prometheus: prometheus ?? null,
    protocols: connectorEntries(settings, parts.protocols).map((entry) => ({
      ...entry,
      online: onlineState(entry.connector, parts),
    })),
    serverid: settings.serverid,
    sessionInputMode: settings.sessionInputMode,
    sessionOutputMode: settings.sessionOutputMode,
    sessionStreamInfoMode: settings.sessionStreamInfoMode,
    sessionUnspecifiedMode: settings.sessionUnspecifiedMode,
    sessionViewerMode: settings.sessionViewerMode,
    time: Math.floor(parts.clock.now() / 1000),
    tknMode: settings.tknMode,
    triggers: Object.keys(settings.triggers).length === 0 ? null : withoutSecrets(settings.triggers),
    trustedproxy: settings.trustedproxy,
    version: parts.identity.version,
  };
}

/** 1 or 0 for those with a port of their own, a text for those that live on HTTP's. */
function onlineState(connector: string, { protocols, listening }: ApiParts): 0 | 1 | "Enabled" | "Not installed" {
  const ports = listening();
  const own = ports.find((port) => port.connector === connector);
  const shared = connector !== "HTTP" && own?.port === ports.find((port) => port.connector === "HTTP")?.port;
  if (own && !shared) return 1;
  if (connector === "HTTP" || connector === "HTTPS" || connector === "RTMP") return 0;
  return isKnownConnector(connector, protocols) ? "Enabled" : "Not installed";
}

function isConnector(value: unknown): value is ConnectorEntry {
  return isObject(value) && typeof value["connector"] === "string";
}

/** Without what answers add to it. */
function plain({ online: _online, ...entry }: ConnectorEntry): ConnectorEntry {
  return entry as ConnectorEntry;
}

/** Deleting `{"connector":"WAV"}` means every WAV entry whose other keys are the given ones. */
function same(entry: ConnectorEntry, wanted: ConnectorEntry): boolean {
  return Object.entries(wanted).every(([key, value]) => JSON.stringify(entry[key]) === JSON.stringify(value));
}
