import { isSluiceError, messageOf, SluiceError } from "../base/errors.ts";
import { parseTriggerEntries } from "../triggers/entry.ts";
import { readCallLimits } from "../triggers/failure/call-control.ts";
import { onFailWords, readOnFail } from "../triggers/failure/on-fail.ts";
import { type TriggerDefinition, type TriggerName, triggers } from "../triggers/table.ts";
import type { Handler, HandlerOptions, Triggers } from "../triggers/trigger.ts";
import { describeUnknown, fieldPath, problem } from "./problem.ts";

/** A function of the configuration, ready for `Triggers.on`. */
export type NativeTrigger<K extends TriggerName = TriggerName> = {
  [N in K]: { readonly name: N; readonly handle: Handler<N>; readonly options: Partial<HandlerOptions<N>> };
}[K];

/** What `triggers` says, parted: functions to register, and MistServer's entries as they were written. */
export type TriggerParts = { readonly handlers: readonly NativeTrigger[]; readonly entries: Readonly<Record<string, unknown>> };

const words = "a function, an object with `handle` (a function) or `handler` (a URL or path), or a list of those";
const nativeKeys = ["handle", "streams", "timeoutMs", "onFail", "mode", "maxCalls", "maxWaitMs", "breaker"];

/** Reads `triggers` of our own shape. Throws `SluiceError` "config.invalid" naming the field. */
export function readTriggers(value: Readonly<Record<string, unknown>>, where: string): TriggerParts {
  const handlers: NativeTrigger[] = [];
  const entries: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries(value)) {
    if (!Object.hasOwn(triggers, name)) {
      throw new SluiceError("config.invalid", `${where}: ${describeUnknown(["triggers", name], Object.keys(triggers), "trigger")}`);
    }
    if (setting === undefined || setting === null) continue;
    const kept: unknown[] = [];
    const listed = Array.isArray(setting);
    for (const [index, item] of (listed ? setting : [setting]).entries()) {
      const path = listed ? ["triggers", name, index] : ["triggers", name];
      const native = readNative(name as TriggerName, item, path, where);
      if (native) handlers.push(native);
      else kept.push(readEntry(item, path, where));
    }
    if (kept.length > 0) entries[name] = kept;
  }
  checkEntries(entries, where, "triggers");
  return { handlers, entries };
}

/** Throws "config.invalid" unless the trigger bus can work with these entries of MistServer's shape, which stand at `path`. */
export function checkEntries(entries: unknown, where: string, path: string): void {
  try {
    parseTriggerEntries(entries, path);
  } catch (error) {
    if (!isSluiceError(error, "config.invalid")) throw error;
    throw new SluiceError("config.invalid", `${where}: ${messageOf(error)}`, { cause: error });
  }
}

/** Registers the functions of the configuration; dispose what comes back to take them away again. */
export function registerHandlers(bus: Pick<Triggers, "on">, handlers: readonly NativeTrigger[]): Disposable {
  using registered = new DisposableStack();
  for (const { name, handle, options } of handlers) {
    // Name, handler and options come from one row of `NativeTrigger`; TypeScript cannot follow that through a union.
    registered.use(bus.on(name, handle as Handler<TriggerName>, options as Partial<HandlerOptions<TriggerName>>));
  }
  return registered.move();
}

function readNative(name: TriggerName, item: unknown, path: readonly PropertyKey[], where: string): NativeTrigger | undefined {
  if (typeof item === "function") return { name, handle: item, options: {} } as NativeTrigger;
  if (!isObject(item) || !Object.hasOwn(item, "handle")) return undefined;
  if (item.delivery !== undefined) {
    const why = "left out: a function ends with this process; what must arrive is taken by an HTTP handler or an executable (`handler`)";
    throw problem(where, [...path, "delivery"], item.delivery, why);
  }
  for (const key of Object.keys(item)) {
    if (!nativeKeys.includes(key)) throw new SluiceError("config.invalid", `${where}: ${describeUnknown([...path, key], nativeKeys)}`);
  }
  const { handle, streams, timeoutMs, onFail, mode, ...calls } = item;
  if (typeof handle !== "function") throw problem(where, [...path, "handle"], handle, "a function");
  if (streams !== undefined && !isTexts(streams)) throw problem(where, [...path, "streams"], streams, "a list of stream names");
  if (timeoutMs !== undefined && !(typeof timeoutMs === "number" && timeoutMs > 0)) {
    throw problem(where, [...path, "timeoutMs"], timeoutMs, "a number of milliseconds above 0");
  }
  if (mode !== undefined && mode !== "live" && mode !== "shadow") throw problem(where, [...path, "mode"], mode, '"live" or "shadow"');
  const place = `${where}: ${fieldPath(path)}.`;
  if (onFail !== undefined) readOnFail(name, onFail, `${place}onFail`);
  else if ((triggers[name] as TriggerDefinition).access && mode !== "shadow")
    throw problem(where, [...path, "onFail"], undefined, `said, because ${name} lets somebody in: ${onFailWords(name)}`);
  readCallLimits(calls, "function", triggers[name].answer !== "notify", place);
  const options = Object.fromEntries(
    Object.entries({ streams, timeoutMs, onFail, mode, ...calls }).filter(([, value]) => value !== undefined),
  );
  return { name, handle, options } as NativeTrigger;
}

/** One entry of MistServer's shape, as it is: unknown keys are kept, as its web interface adds some. */
function readEntry(item: unknown, path: readonly PropertyKey[], where: string): unknown {
  if (Array.isArray(item) || (isObject(item) && Object.hasOwn(item, "handler"))) return item;
  throw problem(where, path, item, words);
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
