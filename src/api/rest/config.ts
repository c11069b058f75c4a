import { z } from "zod";
import { SluiceError } from "../../base/errors.ts";
import { parseSetting, settingSchemas } from "../../config/schema.ts";
import type { Settings } from "../../config/settings.ts";
import type { ApiParts } from "../parts.ts";
import { maskedSource } from "./masked-source.ts";
import { type Route, route } from "./route.ts";

type SettingName = keyof typeof settingSchemas;

/** Keys and the password of a store are secrets; where the data are kept cannot be changed while they are open. */
const hidden: readonly SettingName[] = ["jwks", "store"];
const fixed: readonly SettingName[] = ["data"];

const names = (Object.keys(settingSchemas) as SettingName[]).filter((name) => !hidden.includes(name));
const changeable = names.filter((name) => !fixed.includes(name));

/** Settings whose form as it is kept differs from the one that a person writes; they are merged, and checked as a whole. */
const merged: ReadonlySet<SettingName> = new Set(names.filter((name) => !isPlain(settingSchemas[name])));
const asKept = (name: SettingName) => (merged.has(name) ? z.unknown() : settingSchemas[name]);

const settings = z
  .object(
    Object.fromEntries(names.map((name) => [name, asKept(name).optional()])) as unknown as Record<SettingName, z.ZodOptional<z.ZodType>>,
  )
  .meta({
    id: "Settings",
    description: "Settings that stand for themselves; streams, accounts, tokens, keys and handlers have calls of their own.",
  });
const patch = z
  .strictObject(
    Object.fromEntries(changeable.map((name) => [name, asKept(name).nullable().optional()])) as unknown as Record<SettingName, z.ZodType>,
    "an object with settings",
  )
  .meta({ id: "SettingsPatch", description: "A JSON merge patch (RFC 7396): null goes back to what holds without a setting." });

const example = {
  apiPort: 4242,
  httpPort: 8080,
  rtmpPort: 1935,
  latency: "normal",
  logLevel: "INFO",
  sessionViewerMode: 14,
  trustedproxy: [],
};

/** `/config`: the settings, and a change of some of them. It survives a restart; ports of HTTP and of the API count from the next start. */
export function configRoutes({ configuration, log }: Pick<ApiParts, "configuration" | "log">): readonly Route[] {
  return [
    route({
      method: "get",
      path: "/config",
      operationId: "getConfig",
      summary: "The settings in force, without secrets",
      tag: "config",
      scope: "read",
      response: settings,
      example,
      run: () => ({ body: shown(configuration.settings) }),
    }),
    route({
      method: "patch",
      path: "/config",
      operationId: "changeConfig",
      summary: "Change settings; all or, if one is wrong, none",
      tag: "config",
      scope: "admin",
      body: patch,
      bodyExample: { latency: "low", sessionViewerMode: null },
      response: settings,
      example,
      async run({ body }) {
        const given = Object.entries(body) as [SettingName, unknown][];
        await configuration.change((before) => {
          const change = Object.fromEntries(
            given.filter(([, value]) => value !== undefined).map(([name, value]) => [name, valueOf(name, value, before)]),
          );
          checkWayIn(before, change);
          return change;
        });
        if (given.length > 0) log.write("CONF", `Configuration changed through the API: ${given.map(([name]) => name).join(", ")}`);
        return { body: shown(configuration.settings) };
      },
    }),
  ];
}

function valueOf(name: SettingName, value: unknown, before: Settings): unknown {
  if (value === null) return null;
  // What was read with a mask is written back as it was.
  if (name === "defaultSource" && value === maskedSource(before.defaultSource ?? "")) return before.defaultSource;
  return merged.has(name) ? parseSetting(name, mergePatch(before[name], value), "the body") : value;
}

/** RFC 7396. */
function mergePatch(target: unknown, change: unknown): unknown {
  if (!isObject(change)) return change;
  const result = new Map(Object.entries(isObject(target) ? target : {}));
  for (const [name, value] of Object.entries(change)) {
    if (value === null) result.delete(name);
    else result.set(name, mergePatch(result.get(name), value));
  }
  return Object.fromEntries(result);
}

/** Nobody may shut the last door from inside. */
function checkWayIn({ account }: Settings, change: Readonly<Record<string, unknown>>): void {
  const admins = Object.values(account).filter(({ scope = "admin" }) => scope === "admin");
  if (change["apiLocalAccess"] !== false || admins.length > 0) return;
  throw new SluiceError(
    "api.conflict",
    "apiLocalAccess can be switched off when there is an account with the scope admin: else nobody could get in again",
  );
}

function shown(all: Settings): Partial<Record<SettingName, unknown>> {
  const { defaultSource } = all;
  const given = Object.fromEntries(names.map((name) => [name, all[name]]));
  return { ...given, ...(defaultSource !== undefined && { defaultSource: maskedSource(defaultSource) }) };
}

/** True when the document can say what comes out of the schema. */
function isPlain(schema: z.ZodType): boolean {
  try {
    z.toJSONSchema(schema);
    return true;
  } catch {
    return false;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
