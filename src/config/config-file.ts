import { access, readFile } from "node:fs/promises";
import { registerHooks } from "node:module";
import { isAbsolute, join, relative, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { messageOf, SluiceError } from "../base/errors.ts";

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
 * A module is imported anew for each other `version`. Throws `SluiceError` "config.invalid" if the file cannot be read.
 */
export async function readConfigFile(cwd: string, file: string | undefined, version: number): Promise<ConfigFile | undefined> {
  const path = file === undefined ? await findFile(cwd) : resolve(cwd, file);
  if (path === undefined) return undefined;
  const inside = relative(cwd, path);
  const name = inside.startsWith("..") || isAbsolute(inside) ? path : inside;
  if (file !== undefined && !(await exists(path))) throw new SluiceError("config.invalid", `--config ${file}: there is no such file`);
  if (/\.json$/i.test(path)) return { path, name, kind: "json", value: await readJson(path, name) };
  return { path, name, kind: "module", value: await importModule(path, name, version) };
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

async function importModule(path: string, name: string, version: number): Promise<unknown> {
  const url = pathToFileURL(path);
  resolveOurselves(new URL("./", url).href, url.href);
  url.searchParams.set("v", String(version));
  let module: { readonly default?: unknown };
  try {
    module = await import(url.href);
  } catch (error) {
    throw new SluiceError("config.invalid", `${name} cannot be loaded: ${messageOf(error)}`, { cause: error });
  }
  if (typeof module.default === "object" && module.default !== null) return module.default;
  throw new SluiceError("config.invalid", `${name} has no configuration; write \`export default defineConfig({ ... })\``);
}

/**
 * `import "sluice"` in a configuration file, and in what lies beside it, means this very Sluice, wherever the file lies and
 * however Sluice was started. The hook stays, since handlers may import later; it touches nothing but that one name.
 */
function resolveOurselves(directory: string, configUrl: string): void {
  const ourselves = new URL(import.meta.url.endsWith(".ts") ? "../index.ts" : "../index.js", import.meta.url).href;
  registerHooks({
    resolve(specifier, context, nextResolve) {
      if (specifier === "sluice" && context.parentURL?.startsWith(directory)) return { url: ourselves, shortCircuit: true };
      return nextResolve(specifier, context);
    },
    load(url, context, nextLoad) {
      // Without a package.json beside it Node would guess the module's kind, and warn that it guessed.
      const isConfig = configUrl.endsWith(".ts") && url.startsWith(`${configUrl}?v=`);
      return nextLoad(url, isConfig ? { ...context, format: "module-typescript" } : context);
    },
  });
}
