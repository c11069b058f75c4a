import { type FSWatcher, readdirSync, statSync, watch } from "node:fs";
import { dirname, join } from "node:path";
import { SluiceError } from "../../base/errors.ts";
import type { Clock } from "../../base/time.ts";
import { type LoadedConfiguration, type LoadOptions, loadConfiguration } from "../load.ts";
import { createModuleGraph } from "./module-graph.ts";

/** The configuration's file with all that it imports, as something that can be loaded again. */
export interface ConfigSource {
  /** Loads what changed, or everything `anew`. Rejects with "config.invalid"; the next time tries again. */
  load(anew?: boolean): Promise<LoadedConfiguration>;
  /** True when a file differs from when it was loaded, or, after a failure, when there are other files beside it. */
  changed(): boolean;
  /**
   * Calls `run` when something happened in the directories of the files, a moment later and once for several changes. Which files
   * there are is looked up again after each call. Dispose to stop.
   */
  watch(clock: Clock, run: () => Promise<void>): Disposable;
}

/** Editors write a file in several steps. */
const calmMs = 100;
/** Something in the directory may never be calm. */
const mostMs = 1000;

/** Makes a source; nothing is read yet. */
export function createConfigSource(options: Omit<LoadOptions, "graph" | "anew">): ConfigSource {
  const graph = createModuleGraph();
  let entry: string | undefined;
  let signature = "";
  /** What lay beside the files when they could not be loaded: a module that was missing may come. */
  let beside: string | undefined;
  const directories = (): ReadonlySet<string> =>
    new Set([...(entry === undefined ? [] : [entry]), ...graph.files()].map((file) => dirname(file)));
  const listing = (): string => [...directories()].map(modulesIn).join("\n");
  return {
    async load(anew = false) {
      if (entry !== undefined) {
        signature = signatureOf(entry);
        // Without its file a server would let in whomever the handlers there refuse.
        if (signature === "") throw new SluiceError("config.invalid", `${entry}: the file is gone`);
      }
      beside = listing();
      const loaded = await loadConfiguration({ ...options, file: entry ?? options.file, graph, anew });
      beside = undefined;
      if (entry !== loaded.path) {
        entry = loaded.path;
        signature = entry === undefined ? "" : signatureOf(entry);
      }
      return loaded;
    },
    changed: () =>
      (entry !== undefined && signatureOf(entry) !== signature) ||
      graph.changed().length > 0 ||
      (beside !== undefined && listing() !== beside),
    watch(clock, run) {
      // Directories and not files: editors and deployments replace files, and a watched file that was replaced is silent.
      const watchers = new Map<string, FSWatcher>();
      let timer: Disposable | undefined;
      let first = 0;
      let done = false;
      const soon = (): void => {
        const now = clock.monotonic();
        if (!timer) first = now;
        else if (now - first > mostMs) return;
        timer?.[Symbol.dispose]();
        timer = clock.after(calmMs, () => {
          timer = undefined;
          void run().finally(look);
        });
      };
      const look = (): void => {
        if (done) return;
        const wanted = directories();
        for (const [directory, watcher] of watchers) {
          if (wanted.has(directory)) continue;
          watcher.close();
          watchers.delete(directory);
        }
        for (const directory of wanted) if (!watchers.has(directory)) add(directory);
      };
      const add = (directory: string): void => {
        try {
          const watcher = watch(directory, { persistent: false }, soon);
          watcher.on("error", () => {
            watcher.close();
            watchers.delete(directory);
          });
          watchers.set(directory, watcher);
        } catch {
          // The directory is gone, or there are no watches left: SIGHUP still reloads.
        }
      };
      look();
      return {
        [Symbol.dispose]() {
          done = true;
          timer?.[Symbol.dispose]();
          for (const watcher of watchers.values()) watcher.close();
          watchers.clear();
        },
      };
    },
  };
}

function signatureOf(path: string): string {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stat ? `${stat.mtimeNs} ${stat.size} ${stat.ino}` : "";
}

function modulesIn(directory: string): string {
  try {
    return readdirSync(directory)
      .filter((name) => /\.([cm]?[jt]s|json)$/.test(name))
      .map((name) => join(directory, name))
      .toSorted()
      .join("\n");
  } catch {
    return "";
  }
}
