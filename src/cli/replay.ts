import { basename, resolve } from "node:path";
import { isSluiceError, messageOf, SluiceError } from "../base/errors.ts";
import type { Clock } from "../base/time.ts";
import { type LoadedConfiguration, loadConfiguration, readConfiguration } from "../config/load.ts";
import { createModuleGraph } from "../config/reload/module-graph.ts";
import { streamSettings } from "../config/settings.ts";
import { registerHandlers } from "../config/trigger-entries.ts";
import { createTriggers } from "../triggers/bus.ts";
import { type CallRecord, sameDecision } from "../triggers/journal/call-record.ts";
import { isTriggerName } from "../triggers/payload.ts";

/** What came of recorded calls when other handlers were asked. */
export type Replay = {
  /** Calls whose decision is another one now. */
  readonly different: readonly { readonly before: CallRecord; readonly after: CallRecord }[];
  readonly same: number;
  /** Calls of triggers that the new file has no handler for. */
  readonly unhandled: number;
  /** Calls whose payload has masked fields: who decides by them decides otherwise. */
  readonly masked: number;
};

/**
 * Asks the handlers of a file about recorded calls, one after the other, in the order given, with mode "rehearsal". The file is a
 * configuration, or a module that exports handlers under the names of triggers. Nothing of a server is there: functions that ask
 * `context.server` see no streams and no viewers. Rejects with "config.invalid" when the file cannot be used.
 */
export async function replayCalls(file: string, calls: readonly CallRecord[], clock: Clock, log: (line: string) => void): Promise<Replay> {
  const { handlers, settings } = await loadHandlers(file);
  await using bus = createTriggers({
    log: { write: (kind, message) => log(`${kind} ${message}`) },
    clock,
    identity: { version: "replay", instance: "", pid: process.pid, serverId: () => settings.serverid },
    streamTags: (stream) => {
      const entry = settings.streams[stream.split("+", 1)[0] ?? ""];
      return (entry && streamSettings(entry).tags) ?? [];
    },
  });
  registerHandlers(bus, handlers);
  bus.configure(settings.triggers);
  const known = new Set<string>(bus.handlers().map(({ trigger }) => trigger));
  const different: { before: CallRecord; after: CallRecord }[] = [];
  let [same, unhandled, masked] = [0, 0, 0];
  for (const before of calls) {
    if (!isTriggerName(before.trigger) || !known.has(before.trigger)) {
      unhandled++;
      continue;
    }
    if (/[":/=]#[0-9a-f]{12}/.test(JSON.stringify(before.payload))) masked++;
    const after = await bus.rehearse(before.trigger, before.payload);
    const changed = before.decision && after.decision ? !sameDecision(before.decision, after.decision) : before.decision !== after.decision;
    if (changed) different.push({ before, after });
    else same++;
  }
  return { different, same, unhandled, masked };
}

async function loadHandlers(file: string): Promise<Pick<LoadedConfiguration, "handlers" | "settings">> {
  if (/\.json$/i.test(file)) return await loadConfiguration({ cwd: process.cwd(), file });
  const name = basename(file);
  let module: Readonly<Record<string, unknown>>;
  try {
    module = await createModuleGraph().load(resolve(file));
  } catch (error) {
    if (isSluiceError(error)) throw error;
    throw new SluiceError("config.invalid", `${name} cannot be loaded: ${messageOf(error)}`, { cause: error });
  }
  if (module["default"] !== undefined) return readConfiguration(module["default"], name);
  const exported = Object.entries(module).filter(([key]) => isTriggerName(key));
  if (exported.length === 0) {
    throw new SluiceError("config.invalid", `${name} exports neither a configuration (default) nor a handler under the name of a trigger`);
  }
  return readConfiguration({ triggers: Object.fromEntries(exported) }, name);
}
