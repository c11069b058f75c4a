import { allow, keep } from "../base/decision.ts";
import { SluiceError } from "../base/errors.ts";
import { checkFailed, offline, type Reading, readText, tableFailure } from "./answer.ts";
import { type CallLimits, readCallLimits } from "./failure/call-control.ts";
import { type CallOptions, parseCallOptions, plainCall } from "./call/http-options.ts";
import { alwaysOnFail, type FailurePolicy, readEntryOnFail } from "./failure/on-fail.ts";
import { type TriggerDefinition, type TriggerName, triggers } from "./table.ts";

/** What holds when a handler fails: `legacy` is MistServer's reading (`default`, else yes), the others say it in words. */
type OnFail = "deny" | "keep" | "legacy" | "offline" | "use-configured";

/** One handler of a MistServer-shaped configuration, read. */
export type HandlerEntry = {
  /** `http://...` and `https://...` are called, anything else is run. */
  readonly handler: string;
  /** True: wait for the answer. False: only tell. */
  readonly sync: boolean;
  readonly streams: readonly string[];
  /** The argument of the few triggers that take one. */
  readonly params: string | undefined;
  /** The answer when the handler fails, as text. */
  readonly default: string | undefined;
  readonly onfail: OnFail | undefined;
  /** Our own `onFail`, which may say something else for each cause. */
  readonly onFail?: FailurePolicy | undefined;
  /** How many calls it gets at once; undefined: as many as its sort gets. */
  readonly calls?: CallLimits | undefined;
  /** How it is called. */
  readonly call: CallOptions;
  /** `shadow`: asked beside the others, its answer is only written down. */
  readonly mode: "live" | "shadow";
  /** `reliable`: kept until the handler has taken it; only of triggers that tell and do not ask. */
  readonly delivery: "direct" | "reliable";
  /** USER_END only: who comes back is not let in before this handler has taken the end of the session before. */
  readonly order: "usual" | "strict";
};

/** `config.triggers`: as it was given, and read. */
export type TriggerEntries = {
  /** Exactly what was given, for reading back. */
  readonly given: Readonly<Record<string, unknown>>;
  readonly handlers: ReadonlyMap<TriggerName, readonly HandlerEntry[]>;
  /** Names that no trigger has; they are kept and never fire. */
  readonly unknown: readonly string[];
};

/** True for the name of a trigger. */
function isTriggerName(name: string): name is TriggerName {
  return Object.hasOwn(triggers, name);
}

/**
 * Reads `config.triggers` in MistServer's shape. `path` is the field's place in the configuration, for messages. Nothing
 * at all (null, undefined) means no handlers. Throws "config.invalid" that names the field and what may stand there.
 */
export function parseTriggerEntries(value: unknown, path = "triggers"): TriggerEntries {
  const handlers = new Map<TriggerName, readonly HandlerEntry[]>();
  const unknown: string[] = [];
  if (value === undefined || value === null) return { given: {}, handlers, unknown };
  if (!isObject(value)) throw wrong(path, value, "an object with a list of handlers for each trigger name");
  for (const [name, list] of Object.entries(value)) {
    if (!isTriggerName(name)) {
      unknown.push(name);
      continue;
    }
    if (list === null) continue;
    if (!Array.isArray(list)) throw wrong(`${path}.${name}`, list, "a list of handlers");
    const entries = list.map((entry: unknown, index) => parseEntry(name, entry, `${path}.${name}[${index}]`));
    if (entries.length > 0) handlers.set(name, entries);
  }
  return { given: structuredClone(value), handlers, unknown };
}

/** What holds when this handler fails: `onfail`, then `default` as MistServer reads it, then the table. */
export function entryFailure(name: TriggerName, entry: HandlerEntry): Reading {
  if (entry.onfail === "deny") return checkFailed;
  if (entry.onfail === "keep") return undefined;
  if (entry.onfail === "use-configured") return keep();
  if (entry.onfail === "offline") return offline();
  if (entry.default !== undefined) {
    const reading = readText(name, entry.default);
    return reading?.kind === "deny" ? checkFailed : reading;
  }
  if (entry.onfail === "legacy") return (triggers[name] as TriggerDefinition).answer === "verdict" ? allow() : undefined;
  return tableFailure(name);
}

/** What holds for each cause: `onFail` before all, else the same for every cause. */
export function entryPolicy(name: TriggerName, entry: HandlerEntry): FailurePolicy {
  return entry.onFail ?? alwaysOnFail(entryFailure(name, entry));
}

/** The handler for log lines: of a URL only scheme, host and path, for the rest may hold a secret. */
export function handlerLabel(entry: HandlerEntry): string {
  return addressLabel(entry.handler);
}

/** An address without what may be secret. */
export function addressLabel(handler: string): string {
  if (!isUrl(handler)) return handler;
  const url = new URL(handler);
  return `${url.origin}${url.pathname}`;
}

/** MistServer's rule: the prefix decides. */
export function isUrl(handler: string): boolean {
  return handler.startsWith("http://") || handler.startsWith("https://");
}

function parseEntry(name: TriggerName, value: unknown, path: string): HandlerEntry {
  if (Array.isArray(value)) {
    const [handler, sync, streams] = value.filter((element) => element !== null) as unknown[];
    return {
      handler: parseHandler(handler, `${path}[0]`),
      sync: parseTruth(sync, `${path}[1]`),
      streams: parseStreams(streams, `${path}[2]`),
      params: undefined,
      default: undefined,
      onfail: undefined,
      call: plainCall,
      mode: "live",
      delivery: "direct",
      order: "usual",
    };
  }
  if (!isObject(value)) throw wrong(path, value, "an object { handler, sync, streams, default } or a list [handler, sync, streams]");
  const sync = parseTruth(value.sync, `${path}.sync`);
  const handler = parseHandler(value.handler, `${path}.handler`);
  return {
    handler,
    sync,
    streams: parseStreams(value.streams, `${path}.streams`),
    params: parseText(value.params, `${path}.params`),
    default: parseText(value.default, `${path}.default`),
    onfail: parseOnFail(name, sync, value.onfail, `${path}.onfail`),
    ...parseFailing(name, sync, value, path),
    call: parseCallOptions(value, isUrl(handler), path),
    mode: parseMode(value.mode, `${path}.mode`),
    delivery: parseDelivery(name, value.delivery, value.mode, `${path}.delivery`),
    order: parseOrder(name, value.order, value.delivery, `${path}.order`),
  };
}

/** The keys about failure that MistServer does not have. */
function parseFailing(
  name: TriggerName,
  sync: boolean,
  value: Readonly<Record<string, unknown>>,
  path: string,
): Pick<HandlerEntry, "onFail" | "calls"> {
  const { handler, onFail, onfail, maxCalls, maxWaitMs, breaker } = value;
  if (onFail !== undefined && !sync) throw wrong(`${path}.onFail`, onFail, "nothing where sync is false: such a handler gives no answer");
  if (onFail !== undefined && onfail !== undefined && onfail !== null)
    throw wrong(`${path}.onFail`, onFail, "nothing beside `onfail`: only one of them can hold");
  const limited = maxCalls !== undefined || maxWaitMs !== undefined || breaker !== undefined;
  const asked = sync && (triggers[name] as TriggerDefinition).answer !== "notify";
  const kind = isUrl(String(handler)) ? "http" : "exec";
  return {
    ...(onFail !== undefined && { onFail: readEntryOnFail(name, onFail, `${path}.onFail`) }),
    ...(limited && { calls: readCallLimits({ maxCalls, maxWaitMs, breaker }, kind, asked, `${path}.`) }),
  };
}

function parseHandler(value: unknown, path: string): string {
  if (typeof value !== "string" || value.trim() === "" || value.includes("\0")) {
    throw wrong(path, value, "the URL of an HTTP handler or the path of an executable");
  }
  if (isUrl(value) && !URL.canParse(value)) throw wrong(path, value, "a complete URL such as http://localhost:3000/triggers");
  return value;
}

function parseTruth(value: unknown, path: string): boolean {
  if (value === undefined || value === null) return false;
  if (typeof value === "boolean" || typeof value === "number") return Boolean(value);
  if (typeof value === "string") return !["", "0", "false"].includes(value);
  throw wrong(path, value, "true (wait for the answer) or false (only tell)");
}

function parseStreams(value: unknown, path: string): readonly string[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw wrong(path, value, "a list of stream names");
  return value
    .filter((entry: unknown) => entry !== null)
    .map((entry: unknown, index) => {
      if (typeof entry !== "string" || entry === "") throw wrong(`${path}[${index}]`, entry, 'a name, "live+", "#tag", "a*" or "!name"');
      return entry;
    });
}

function parseMode(value: unknown, path: string): HandlerEntry["mode"] {
  if (value === undefined || value === null || value === "" || value === "live") return "live";
  if (value === "shadow") return "shadow";
  throw wrong(path, value, '"live", or "shadow" for a handler that is asked and whose answer is only written down');
}

function parseDelivery(name: TriggerName, value: unknown, mode: unknown, path: string): HandlerEntry["delivery"] {
  if (value === undefined || value === null || value === "" || value === "direct") return "direct";
  if (value !== "reliable")
    throw wrong(path, value, '"direct", or "reliable" for a notification that is kept until its handler has taken it');
  if (triggers[name].answer !== "notify") {
    throw wrong(
      path,
      value,
      `nothing: ${name} asks, and an answer that comes later helps nobody; what only tells, such as USER_END, can be reliable`,
    );
  }
  if (mode === "shadow") throw wrong(path, value, 'nothing beside mode "shadow"');
  return "reliable";
}

function parseOrder(name: TriggerName, value: unknown, delivery: unknown, path: string): HandlerEntry["order"] {
  if (value === undefined || value === null || value === "" || value === "usual") return "usual";
  if (value !== "strict")
    throw wrong(path, value, '"usual", or "strict": the next session of a viewer waits for the end of the one before');
  if (name !== "USER_END") throw wrong(path, value, "left out: only the end of a session has a successor that can wait for it (USER_END)");
  if (delivery !== "reliable") throw wrong(path, value, 'beside delivery "reliable": an end that may be lost cannot be waited for');
  return "strict";
}

/** MistServer takes an empty text for none. */
function parseText(value: unknown, path: string): string | undefined {
  if (value === undefined || value === null || value === "") return undefined;
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return String(value);
  throw wrong(path, value, "a text");
}

function parseOnFail(name: TriggerName, sync: boolean, value: unknown, path: string): OnFail | undefined {
  if (value === undefined || value === null || value === "") return undefined;
  const { answer } = triggers[name] as TriggerDefinition;
  const words: readonly string[] =
    answer === "rewrite" ? ["deny", "keep", "legacy"] : answer === "verdict" ? ["deny", "legacy"] : ["legacy"];
  const may = name === "STREAM_SOURCE" ? [...words, "offline", "use-configured"] : words;
  if (typeof value !== "string" || !may.includes(value)) throw wrong(path, value, `for ${name} one of ${may.join(", ")}`);
  if (!sync) throw wrong(path, value, "left out where sync is false: such a handler gives no answer");
  return value as OnFail;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function wrong(path: string, value: unknown, wanted: string): SluiceError {
  const stands = value === undefined ? "nothing" : JSON.stringify(value).slice(0, 80);
  return new SluiceError("config.invalid", `${path}: here stands ${stands}; there must be ${wanted}`);
}
