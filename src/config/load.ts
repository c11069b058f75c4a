import { SluiceError, isSluiceError, messageOf } from "../base/errors.ts";
import type { Protocol } from "../protocols/protocol.ts";
import { protocols as registry } from "../protocols.ts";
import { readConfigFile } from "./config-file.ts";
import { createModuleGraph, type ModuleGraph } from "./reload/module-graph.ts";
import { readListings } from "./listing.ts";
import { isMistShape, readMistShape } from "./mist-shape.ts";
import { type Environment, type Flags, readOverrides } from "./overrides.ts";
import type { NamedPolicy } from "../policies/active.ts";
import { readPolicies } from "./policy-entries.ts";
import { describeUnknown } from "./problem.ts";
import { parseOwnShape } from "./schema.ts";
import { type SettingValues, type Settings, type StreamEntry, withDefaults } from "./settings.ts";
import { type NativeTrigger, readTriggers } from "./trigger-entries.ts";

/** A configuration as it was read, before what the API has changed is laid over it. */
export type LoadedConfiguration = {
  /** The file's name for people; undefined without a file. */
  readonly file: string | undefined;
  /** Its absolute path. */
  readonly path?: string | undefined;
  /** What the file says. */
  readonly values: SettingValues;
  /** What flags and environment variables say; it counts before everything else. */
  readonly overrides: SettingValues;
  /** Both, with the defaults. */
  readonly settings: Settings;
  /** Handlers that are functions. */
  readonly handlers: readonly NativeTrigger[];
  /** Policies that TypeScript made: they may hold functions. */
  readonly policies: readonly NamedPolicy[];
  /** The file's content, if it has MistServer's shape. */
  readonly mist: Readonly<Record<string, unknown>> | undefined;
  /** What a person should know, one sentence each. */
  readonly warnings: readonly string[];
};

export type LoadOptions = {
  /** The file given by `--config`; else SLUICE_CONFIG, else sluice.config.ts, .js or .json in `cwd`. */
  readonly file?: string | undefined;
  readonly cwd: string;
  readonly environment?: Environment;
  readonly flags?: Flags;
  readonly protocols?: readonly Protocol[];
  /** Loads only what changed since its last load; left out: everything is loaded anew. */
  readonly graph?: ModuleGraph;
  /** True: the graph loads everything anew. */
  readonly anew?: boolean;
};

/** Reads file, flags and environment. Throws `SluiceError` "config.invalid" that names the file or flag and the field. */
export async function loadConfiguration(options: LoadOptions): Promise<LoadedConfiguration> {
  const { cwd, environment = {}, flags = {}, graph = createModuleGraph(), anew = false } = options;
  const overrides = readOverrides(flags, environment);
  const file = await readConfigFile(cwd, options.file ?? (environment["SLUICE_CONFIG"] || undefined), graph, anew);
  const parsed = readConfiguration(file?.value ?? {}, file?.name ?? "the configuration", options.protocols);
  return { ...parsed, file: file?.name, path: file?.path, overrides, settings: withDefaults({ ...parsed.values, ...overrides }) };
}

/**
 * Reads a configuration that is there already: `createServer(config)`. `where` names it in errors.
 * Throws `SluiceError` "config.invalid".
 */
export function readConfiguration(
  value: unknown,
  where: string,
  protocols: readonly Protocol[] = registry,
): Omit<LoadedConfiguration, "file" | "path" | "overrides"> {
  if (isMistShape(value)) {
    const { values, warnings } = readMistShape(value, where, protocols);
    return { values, settings: withDefaults(values), handlers: [], policies: [], mist: value, warnings };
  }
  const { triggers, streams, policies, listing, ...plain } = parseOwnShape(value, where);
  const { made, entries: policyEntries } = readPolicies(policies, where);
  const { handlers, entries } = readTriggers(triggers ?? {}, where);
  checkProtocols(plain.protocols ?? {}, where, protocols);
  const values: SettingValues = {
    ...plain,
    ...(streams !== undefined && { streams: streams as Readonly<Record<string, StreamEntry>> }),
    triggers: entries,
    ...(Object.keys(policyEntries).length > 0 && { policies: policyEntries }),
    ...(listing !== undefined && { listing: readListings(listing, where) }),
  };
  return { values, settings: withDefaults(values), handlers, policies: made, mist: undefined, warnings: [] };
}

function checkProtocols(options: Readonly<Record<string, unknown>>, where: string, protocols: readonly Protocol[]): void {
  for (const [name, value] of Object.entries(options)) {
    const protocol = protocols.find((candidate) => candidate.name === name);
    if (!protocol) {
      const known = protocols.map((candidate) => candidate.name);
      throw new SluiceError("config.invalid", `${where}: ${describeUnknown(["protocols", name], known, "protocol")}`);
    }
    try {
      protocol.parseOptions(value);
    } catch (error) {
      if (!isSluiceError(error, "config.invalid")) throw error;
      throw new SluiceError("config.invalid", `${where}: protocols.${name}: ${messageOf(error)}`, { cause: error });
    }
  }
}
