import { randomBytes } from "node:crypto";
import { realpathSync, statSync } from "node:fs";
import { registerHooks } from "node:module";
import { dirname } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/**
 * A module and the local modules that it imports, loaded again when they change. Node keeps each module that was ever loaded, so
 * only what changed and what imports it becomes a new module (another `?v=` in its URL): a module that did not change keeps its
 * state and costs nothing, one that did leaves its old code in memory until the process ends.
 */
export interface ModuleGraph {
  /**
   * Imports the module at `path`, always the same one. Files that changed since the last time, and the files that import them, are
   * loaded anew; all of them with `anew`. Rejects with what Node says; the next time tries the same files again.
   */
  load(path: string, anew?: boolean): Promise<Readonly<Record<string, unknown>>>;
  /** Absolute paths of all that was loaded so far: the module and what lies in its directory or below, `node_modules` aside. */
  files(): readonly string[];
  /** The files that differ from when they were loaded. */
  changed(): readonly string[];
}

/** Makes a graph. Its hook into Node's loader stays, since handlers may import later; it touches only the graph's own files. */
export function createModuleGraph(): ModuleGraph {
  const tag = randomBytes(4).toString("hex");
  /** By URL without version. */
  const versions = new Map<string, number>();
  const importers = new Map<string, Set<string>>();
  const signatures = new Map<string, string>();
  const dirty = new Set<string>();
  let generation = 0;
  /** Where own files lie. A configuration may be a link, and where it points to may change. */
  const roots = new Set<string>();

  const versioned = (url: string): string => `${url}?v=${tag}.${versions.get(url) ?? generation}`;
  const meet = (url: string): void => {
    if (versions.has(url)) return;
    versions.set(url, generation);
    signatures.set(url, signatureOf(url));
  };
  /** The graph's own file behind a versioned URL. */
  const own = (url: string | undefined): string | undefined => {
    const at = url?.lastIndexOf(`?v=${tag}.`) ?? -1;
    return at < 0 ? undefined : url?.slice(0, at);
  };
  const changed = (): string[] => [...signatures].filter(([url, signature]) => signatureOf(url) !== signature).map(([url]) => url);

  const inside = (url: string | undefined): boolean => url !== undefined && [...roots].some((root) => url.startsWith(root));
  const hook = (): void => {
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
    const door = (path: string): string => new URL(`../../${path}.${extension}`, import.meta.url).href;
    const doors: Readonly<Record<string, string>> = { sluice: door("index"), "sluice/receiver": door("receiver/index") };
    registerHooks({
      resolve(specifier, context, nextResolve) {
        // This very Sluice, wherever the file lies and however Sluice was started.
        const opened = Object.hasOwn(doors, specifier) ? doors[specifier] : undefined;
        if (opened !== undefined && inside(context.parentURL)) return { url: opened, shortCircuit: true };
        const resolved = nextResolve(specifier, context);
        const parent = own(context.parentURL);
        const { url, format } = resolved;
        // CommonJS modules are kept by their path, so another URL would not load them anew.
        const plain = url.includes("?") || /\.(cjs|cts|node)$/.test(url) || format === "commonjs" || format === "commonjs-typescript";
        if (parent === undefined || plain || !inside(url) || url.includes("/node_modules/")) return resolved;
        meet(url);
        importers.set(url, (importers.get(url) ?? new Set()).add(parent));
        return { ...resolved, url: versioned(url) };
      },
      load(url, context, nextLoad) {
        // Without a package.json beside it Node would guess the module's kind, and warn that it guessed.
        const guessed = own(url)?.endsWith(".ts") && !context.format;
        return nextLoad(url, guessed ? { ...context, format: "module-typescript" } : context);
      },
    });
  };

  return {
    async load(path, anew = false) {
      const real = realpathSync(path);
      const entry = pathToFileURL(real).href;
      if (roots.size === 0) hook();
      for (const file of [path, real]) roots.add(pathToFileURL(`${dirname(file)}/`).href);
      for (const url of anew ? versions.keys() : changed()) dirty.add(url);
      for (const url of dirty) for (const importer of importers.get(url) ?? []) dirty.add(importer);
      generation++;
      for (const url of dirty) {
        versions.set(url, generation);
        signatures.set(url, signatureOf(url));
      }
      meet(entry);
      try {
        const module = (await import(versioned(entry))) as Readonly<Record<string, unknown>>;
        dirty.clear();
        return module;
      } catch (error) {
        // Node remembers modules that failed, and those that wait for one.
        for (const [url, version] of versions) if (version === generation) dirty.add(url);
        dirty.add(entry);
        throw error;
      }
    },
    files: () => [...versions.keys()].map((url) => fileURLToPath(url)),
    changed: () => changed().map((url) => fileURLToPath(url)),
  };
}

/** Another text when the file was written, replaced or deleted. */
function signatureOf(url: string): string {
  const stat = statSync(fileURLToPath(url), { bigint: true, throwIfNoEntry: false });
  return stat ? `${stat.mtimeNs} ${stat.size} ${stat.ino}` : "";
}
