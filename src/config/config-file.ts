import { access, readFile } from "node:fs/promises";
import { isAbsolute, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { messageOf, SluiceError } from "../base/errors.ts";
import type { ModuleGraph } from "./reload/module-graph.ts";

/** A configuration file's content: what it exports, or its JSON. */
export type ConfigFile = {
  /** Absolute path. */
  readonly path: string;
  /** As a person would name it: relative to the working directory if it lies inside. */
  readonly name: string;
  readonly kind: "module" | "json";
  readonly value: unknown;
};

const names = ["sluice.config.ts", "sluice.config.js", "sluice.config.json"];

/**
 * Reads the given file, or the first of sluice.config.ts, .js and .json in `cwd`; undefined if there is none.
 * What of a module's graph changed since the last time is loaded anew, or all of it. Throws `SluiceError` "config.invalid" if the file cannot be read.
 */
export async function readConfigFile(
  cwd: string,
  file: string | undefined,
  graph: ModuleGraph,
  anew: boolean,
): Promise<ConfigFile | undefined> {
  const path = file === undefined ? await findFile(cwd) : resolve(cwd, file);
  if (path === undefined) return undefined;
  const inside = relative(cwd, path);
  const name = inside.startsWith("..") || isAbsolute(inside) ? path : inside;
  if (file !== undefined && !(await exists(path))) {
    throw new SluiceError("config.invalid", `${file}: there is no such file; --config (or SLUICE_CONFIG) must name one`);
  }
  // What is no module is JSON, whatever it is called: MistServer's own file is mistserver.conf.
  if (!/\.[cm]?[jt]s$/i.test(path)) return { path, name, kind: "json", value: await readJson(path, name) };
  return { path, name, kind: "module", value: await importModule(path, name, graph, anew) };
}

async function findFile(cwd: string): Promise<string | undefined> {
  for (const name of names) {
    const path = join(cwd, name);
    if (await exists(path)) return path;
  }
  return undefined;
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

async function readJson(path: string, name: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    throw new SluiceError("config.invalid", `${name} is no valid JSON: ${messageOf(error)}`, { cause: error });
  }
}

async function importModule(path: string, name: string, graph: ModuleGraph, anew: boolean): Promise<unknown> {
  let module: Readonly<Record<string, unknown>>;
  try {
    module = await graph.load(path, anew);
  } catch (error) {
    throw new SluiceError("config.invalid", `${name} cannot be loaded: ${loadFailure(error, path, name)}`, { cause: error });
  }
  if (typeof module["default"] === "object" && module["default"] !== null) return module["default"];
  throw new SluiceError("config.invalid", `${name} has no configuration; write \`export default defineConfig({ ... })\``);
}

/** What Node says, with the place in the file that is meant, if it says so. */
function loadFailure(error: unknown, path: string, name: string): string {
  const message = messageOf(error).replace(/\?v=[0-9a-f]{8}\.\d+/g, "");
  const place = error instanceof Error ? /^(file:\/\/[^\n]*?|\/[^\n]*?)(?:\?v=[0-9a-f.]+)?:(\d+)$/m.exec(error.stack ?? "") : null;
  if (!place?.[1]) return message;
  const file = place[1].startsWith("file:") ? fileURLToPath(place[1]) : place[1];
  return `${message} (${file === path ? name : file}:${place[2]})`;
}
