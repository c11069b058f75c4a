import { isSluiceError, messageOf } from "../../../base/errors.ts";
import { readConfigMember, type SettingsPatch } from "../../../config/mist-shape.ts";
import { withSecrets } from "../../../triggers/call/secrets.ts";
import type { ApiParts } from "../../parts.ts";
import { replaceStreams } from "../../stream-changes.ts";
import { type Call, type CallContext, complain, isObject } from "../call.ts";
import { configReply } from "./config.ts";
import { readEntries } from "../streams/streams.ts";

/** What stands beside `config` and `streams` in a MistServer's configuration, and is only kept. */
const beside = ["bandwidth", "push_settings", "tags", "ui_settings", "variables"];

/** Members of `config` that a restored configuration puts back to their default when it does not have them. */
const members = [
  "accesslog",
  "debug",
  "defaultStream",
  "location",
  "prometheus",
  "serverid",
  "sessionInputMode",
  "sessionOutputMode",
  "sessionStreamInfoMode",
  "sessionUnspecifiedMode",
  "sessionViewerMode",
  "tknMode",
  "triggers",
  "trustedproxy",
];

/** `config_backup`, `config_reload`, `config_restore`: the configuration as a whole, in MistServer's shape. */
export const wholeConfigCalls: readonly Call[] = [
  {
    name: "config_backup",
    run(_value, { parts }, reply) {
      reply["config_backup"] = backup(parts);
    },
  },
  {
    name: "config_reload",
    async run(_value, context, reply) {
      if (await context.parts.reload("config_reload")) return;
      complain(context, reply, "config_reload: nothing was loaded; there is no configuration file, or the log says what is wrong in it");
    },
  },
  {
    name: "config_restore",
    async run(value, context, reply) {
      if (!isObject(value) || !isObject(value["config"]) || !isObject(value["streams"])) {
        complain(
          context,
          reply,
          "config_restore takes what config_backup gave: an object with `config` and `streams`; nothing was changed",
        );
        return;
      }
      try {
        await restore(value["config"], value, context);
      } catch (error) {
        if (!isSluiceError(error, "config.invalid")) throw error;
        complain(context, reply, `${messageOf(error)}; nothing was changed`);
        return;
      }
      await replaceStreams(readEntries(value["streams"], context), context.parts);
      context.parts.log.write("CONF", "The configuration was restored through the API");
    },
  },
];

/** All that `config_restore` needs, and no secret: accounts are not in it, secrets of handlers are masked. */
function backup(parts: ApiParts): Readonly<Record<string, unknown>> {
  const { iid: _iid, time: _time, version: _version, protocols, ...config } = configReply(parts);
  const { settings } = parts.configuration;
  const connectors = (protocols as readonly Readonly<Record<string, unknown>>[]).map(({ online: _online, ...entry }) => entry);
  return {
    ...Object.fromEntries(beside.filter((name) => settings.kept[name] !== undefined).map((name) => [name, settings.kept[name]])),
    config: { ...config, protocols: connectors },
    streams: Object.fromEntries(Object.entries(settings.streams).map(([name, entry]) => [name, { ...entry, name }])),
  };
}

async function restore(
  config: Readonly<Record<string, unknown>>,
  whole: Readonly<Record<string, unknown>>,
  { parts }: CallContext,
): Promise<void> {
  let patch: SettingsPatch = {};
  let kept: Readonly<Record<string, unknown>> = Object.fromEntries(beside.map((name) => [name, whole[name]]));
  const warn = (text: string): void => parts.log.write("WARN", `API: ${text}`);
  // Ports that are not named stay: a server that nobody reaches any more helps nobody.
  const ports = ["controller", "protocols"].filter((member) => config[member] !== undefined && config[member] !== null);
  for (const member of [...members, ...ports]) {
    const given = config[member] ?? null;
    const setting = member === "triggers" ? withSecrets(given, parts.configuration.settings.triggers) : given;
    const { kept: more, ...changed } =
      readConfigMember(member, setting, { where: "config_restore", protocols: parts.protocols, warn }) ?? {};
    patch = { ...patch, ...changed };
    kept = { ...kept, ...more };
  }
  if (whole["account"] !== undefined) warn("config_restore leaves accounts as they are");
  const present = Object.entries(kept).filter(([, value]) => value !== null && value !== undefined);
  await parts.configuration.change(() => ({ ...patch, kept: Object.fromEntries(present) }));
}
