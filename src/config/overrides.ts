import { SluiceError } from "../base/errors.ts";
import { settingSchemas } from "./schema.ts";
import type { SettingValues } from "./settings.ts";

/** Settings that can be given at the start, by flag or by environment variable. */
const overridable = {
  data: { flag: "--data", variable: "SLUICE_DATA" },
  store: { flag: "--store", variable: "SLUICE_STORE" },
  host: { flag: "--host", variable: "SLUICE_HOST" },
  rtmpPort: { flag: "--rtmp-port", variable: "SLUICE_RTMP_PORT" },
  httpPort: { flag: "--http-port", variable: "SLUICE_HTTP_PORT" },
  apiPort: { flag: "--api-port", variable: "SLUICE_API_PORT" },
  logLevel: { flag: "--log-level", variable: "SLUICE_LOG_LEVEL" },
} as const;

/** What was given on the command line, as text. */
export type Flags = { readonly [K in keyof typeof overridable]?: string | undefined };

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads flags and `SLUICE_*` variables; a flag counts before its variable, and an empty variable is none.
 * `--host` is for all ports, also where the file gives them addresses of their own.
 * Throws `SluiceError` "config.invalid" naming the flag or variable.
 */
export function readOverrides(flags: Flags, environment: Environment): SettingValues {
  const values: Record<string, unknown> = {};
  for (const [key, { flag, variable }] of Object.entries(overridable)) {
    const name = key as keyof typeof overridable;
    const given = flags[name];
    const text = given ?? (environment[variable] || undefined);
    if (text === undefined) continue;
    const isPort = key.endsWith("Port");
    const result = settingSchemas[name].safeParse(isPort && /^\d+$/.test(text) ? Number(text) : text);
    if (!result.success) {
      const label = given === undefined ? variable : flag;
      // The store's address may hold a password.
      const is = name === "store" ? "wrong" : JSON.stringify(text);
      throw new SluiceError("config.invalid", `${label} is ${is}; it must be ${result.error.issues[0]?.message}`);
    }
    values[key] = result.data;
  }
  const { host } = values;
  return host === undefined ? values : { ...values, rtmpHost: host as string, httpHost: host as string, apiHost: host as string };
}
