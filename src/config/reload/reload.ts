import { messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Clock } from "../../base/time.ts";
import type { LoadedConfiguration } from "../load.ts";
import type { Settings } from "../settings.ts";
import type { ConfigSource } from "./source.ts";

/** What became of the configuration's file. */
export type ReloadStatus = {
  /** The file's name; absent when the server runs without one. */
  readonly file?: string;
  /** How often it was loaded since the start; 1 is the start. */
  readonly loads: number;
  /** Unix milliseconds of the last time. */
  readonly loadedAt: number;
  /** Why what stands in the file now is not in force. */
  readonly error?: { readonly time: number; readonly message: string };
};

/** Loads the configuration again while the server runs. Dispose to stop. */
export interface Reloader extends Disposable {
  readonly status: () => ReloadStatus;
  /** Loads everything anew. Resolves with true when it is in force; never rejects: what is wrong stands in log and status. */
  reload(reason: string): Promise<boolean>;
}

export type ReloaderOptions = {
  readonly loaded: LoadedConfiguration;
  /** Left out: there is no file, and nothing is ever loaded again. */
  readonly source: ConfigSource | undefined;
  readonly clock: Clock;
  readonly log: Log;
  /** Puts a configuration in force. When it rejects, nothing may have changed. Resolves with what did not count. */
  readonly apply: (loaded: LoadedConfiguration) => Promise<readonly string[]>;
};

/** Settings that the server looks at once, when it starts. */
const atStart: readonly (keyof Settings)[] = [
  ...([
    "host",
    "rtmpHost",
    "httpHost",
    "apiHost",
    "rtmpPort",
    "httpPort",
    "apiPort",
    "data",
    "store",
    "logLevel",
    "connectors",
    "protocols",
  ] as const),
];

/** Begins to watch the files of the configuration, if there are any. */
export function createReloader({ loaded, source, clock, log, apply }: ReloaderOptions): Reloader {
  let current = loaded;
  let status: ReloadStatus = { ...(loaded.file !== undefined && { file: loaded.file }), loads: 1, loadedAt: clock.now() };
  let queue: Promise<unknown> = Promise.resolve();

  const load = async (from: ConfigSource, reason: string, anew: boolean): Promise<boolean> => {
    const started = clock.monotonic();
    try {
      const next = await from.load(anew);
      const hidden = await apply(next);
      const later = atStart.filter((key) => JSON.stringify(next.settings[key]) !== JSON.stringify(current.settings[key]));
      current = next;
      status = { ...(next.file !== undefined && { file: next.file }), loads: status.loads + 1, loadedAt: clock.now() };
      log.write(
        "CONF",
        `${next.file ?? "The configuration"} was loaded again (${reason}) in ${Math.round(clock.monotonic() - started)} ms`,
      );
      for (const warning of next.warnings) log.write("WARN", warning);
      if (later.length > 0) log.write("WARN", `${next.file}: ${later.join(", ")} changed; that counts from the next start on`);
      if (hidden.length > 0) {
        log.write("WARN", `${next.file}: ${hidden.join(", ")} changed, but was changed through the API before, and that counts first`);
      }
      return true;
    } catch (error) {
      const message = messageOf(error);
      if (status.error?.message !== message) log.write("ERROR", `${message}; the configuration that was in force stays`);
      status = { ...status, error: { time: clock.now(), message } };
      return false;
    }
  };
  const enqueue = (run: () => Promise<boolean>): Promise<boolean> => {
    const done = queue.then(run);
    queue = done;
    return done;
  };

  const watching = source?.watch(clock, async () => {
    await enqueue(async () => (source.changed() ? await load(source, "it changed", false) : true));
  });
  return {
    status: () => status,
    reload: (reason) => (source && loaded.file !== undefined ? enqueue(() => load(source, reason, true)) : Promise.resolve(false)),
    [Symbol.dispose]: () => watching?.[Symbol.dispose](),
  };
}
