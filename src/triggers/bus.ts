import { allow, keep, type Rewriting, type Verdict } from "../base/decision.ts";
import type { Log } from "../base/log.ts";
import type { ServerControl } from "../base/server-control.ts";
import type { Clock } from "../base/time.ts";
import { HandlerFailure, joinVerdicts, type Reading, tableFailure } from "./answer.ts";
import { parseTriggerEntries, type TriggerEntries } from "./entry.ts";
import { createFailureLog } from "./failures.ts";
import { filterBase, type StreamTags } from "./filter.ts";
import { createHttpCaller } from "./http.ts";
import {
  configuredListener,
  defaultLimits,
  type Firing,
  type Listener,
  nativeListener,
  type Surroundings,
  type TriggerLimits,
} from "./listener.ts";
import { type Payload, type TriggerDefinition, type TriggerName, triggers } from "./table.ts";
import type { Decision, Triggers } from "./trigger.ts";
import { payloadText, type Raise, type ServerIdentity } from "./wire.ts";

export type TriggerOptions = {
  readonly log: Log;
  readonly clock: Clock;
  readonly identity: ServerIdentity;
  /** For `#tag` in stream filters; called synchronously by `wants` and `fire`. */
  readonly streamTags?: StreamTags;
  /** What functions get as `server`; read at each call, so that it may come to life after the bus. Left out: a server without streams. */
  readonly control?: () => ServerControl;
  /** Other time limits than MistServer's and our own; for tests. */
  readonly limits?: Partial<TriggerLimits>;
};

/** Of one trigger: runs of handlers, milliseconds that they took together, and how many failed. A no is no failure. */
export type TriggerStats = { readonly count: number; readonly ms: number; readonly fails: number };

/** All handlers of a server: functions and MistServer-shaped configuration. Dispose waits a while for those that still run. */
export interface TriggerBus extends Triggers, AsyncDisposable {
  /**
   * Replaces everything that is configured, at once; handlers of `on` stay. Takes MistServer's shape (null is nothing),
   * or what `parseTriggerEntries` made of it. Throws "config.invalid" and changes nothing when it is wrong.
   */
  configure(entries: unknown): void;
  /** What is configured, as it was given. */
  entries(): Readonly<Record<string, unknown>>;
  /** Since the start, of triggers that had a handler. */
  stats(): Record<string, TriggerStats>;
}

/**
 * Makes the bus. The handlers of a trigger run one after the other, all of them, each with the original payload: functions
 * first, in the order of `on`, then what is configured, in its order; a no that is `final` ends that. Yes-or-no: the first
 * no is the answer. Values: the last one that was given. Who is only told (`sync: false`) and who has failed with no policy adds nothing.
 */
export function createTriggers(options: TriggerOptions): TriggerBus {
  const { log, clock, identity } = options;
  const failures = createFailureLog(log, clock);
  const http = createHttpCaller();
  const around: Surroundings = {
    clock,
    limits: { ...defaultLimits, ...options.limits },
    server: identity,
    http,
    tagsOf: options.streamTags ?? (() => []),
    control: options.control ?? (() => emptyServer),
    complain: failures.report,
  };
  const native = new Map<TriggerName, readonly Listener[]>();
  let configured = new Map<TriggerName, readonly Listener[]>();
  let given: Readonly<Record<string, unknown>> = {};
  const counters = new Map<TriggerName, { count: number; ms: number; fails: number }>();
  const running = new Set<Promise<unknown>>();
  const turns = createTurns();
  const closing = new AbortController();
  let closed = false;
  let ordinal = 0;

  const listens = (name: TriggerName, stream: string): ((listener: Listener) => boolean) => {
    const definition: TriggerDefinition = triggers[name];
    const filtered = definition.filterOnBase ? filterBase(stream) : stream;
    return (listener) => definition.filter === undefined || listener.filter(filtered);
  };

  const ask = async (listener: Listener, firing: Firing): Promise<Reading> => {
    const { trigger } = listener;
    const started = clock.monotonic();
    const counter = counters.get(trigger) ?? { count: 0, ms: 0, fails: 0 };
    counters.set(trigger, counter);
    counter.count++;
    try {
      if (closed) throw new HandlerFailure("the server ends");
      return await listener.ask(firing, closing.signal);
    } catch (error) {
      counter.fails++;
      const sort = error instanceof Error ? error.name : typeof error;
      failures.report(
        `${trigger} ${listener.label} ${sort}`,
        `${trigger}: the handler ${listener.label} failed: ${words(error)}; ${consequence(listener)}`,
      );
      return asFailure(listener.onFailure);
    } finally {
      counter.ms += clock.monotonic() - started;
    }
  };

  /** Starts a handler, in its turn if the trigger is ordered. Never rejects. */
  const run = (listener: Listener, firing: Firing, stream: string): Promise<Reading> => {
    const task = (): Promise<Reading> => ask(listener, firing);
    const { ordered } = triggers[firing.name] as TriggerDefinition;
    const promise = ordered ? turns.take(listener, stream, task) : task();
    running.add(promise);
    void promise.then(() => running.delete(promise));
    return promise;
  };

  const fire = async (name: TriggerName, payload: Readonly<Record<string, unknown>>): Promise<Verdict | Rewriting> => {
    const kind = triggers[name].answer;
    const stream = streamOf(name, payload);
    const takes = listens(name, stream);
    const chosen = [...(native.get(name) ?? []), ...(configured.get(name) ?? [])].filter((one) => takes(one) && one.accepts(payload));
    let verdict: Verdict | undefined;
    let value: Rewriting = keep();
    if (chosen.length === 0) return kind === "verdict" ? allow() : value;
    const firing = createFiring(name, payload, clock.now());
    for (const listener of chosen) {
      const answer = run(listener, firing, stream);
      if (!listener.sync) continue;
      const reading = await answer;
      if (reading === undefined) continue;
      if (reading.kind === "allow" || (reading.kind === "deny" && kind === "verdict"))
        verdict = verdict ? joinVerdicts(verdict, reading) : reading;
      else value = reading;
      if (reading.kind === "deny" && reading.final) break;
    }
    return kind === "verdict" ? (verdict ?? allow()) : value;
  };

  return {
    wants(name, stream = "") {
      const takes = listens(name, stream);
      return (native.get(name)?.some(takes) ?? false) || (configured.get(name)?.some(takes) ?? false);
    },
    on(name, handler, handlerOptions = {}) {
      const listener = nativeListener(name, handler, handlerOptions, around, ++ordinal);
      native.set(name, [...(native.get(name) ?? []), listener]);
      return {
        [Symbol.dispose]: () => {
          native.set(
            name,
            (native.get(name) ?? []).filter((other) => other !== listener),
          );
        },
      };
    },
    async fire<K extends TriggerName>(name: K, payload: Payload<K>): Promise<Decision<K>> {
      const decision = await fire(name, payload as Readonly<Record<string, unknown>>).catch((error: unknown) => {
        log.write("ERROR", `${name} could not be fired: ${words(error)}`);
        return tableFailure(name) ?? keep();
      });
      return (triggers[name].answer === "notify" ? undefined : decision) as Decision<K>;
    },
    configure(value) {
      const entries = isParsed(value) ? value : parseTriggerEntries(value, "config.triggers");
      configured = new Map(
        [...entries.handlers].map(([name, list]) => [name, list.map((entry) => configuredListener(name, entry, around))]),
      );
      given = entries.given;
      for (const name of entries.unknown)
        log.write("WARN", `config.triggers.${name}: no trigger has this name; it is kept and never fires`);
    },
    entries: () => given,
    stats: () => Object.fromEntries([...counters].map(([name, { count, ms, fails }]) => [name, { count, ms: Math.round(ms), fails }])),
    async [Symbol.asyncDispose]() {
      closed = true;
      const { promise: late, resolve } = Promise.withResolvers<void>();
      const timer = clock.after(around.limits.drainMs, resolve);
      await Promise.race([Promise.all(running), late]);
      timer[Symbol.dispose]();
      closing.abort(new HandlerFailure("the server ends"));
      await Promise.all(running);
      failures[Symbol.dispose]();
      await http[Symbol.asyncDispose]();
    },
  };
}

const emptyServer: ServerControl = {
  liveStreams: () => [],
  viewers: () => [],
  egress: () => 0,
  invalidateSessions: () => Promise.resolve(0),
  stopSessions: () => 0,
};

/** Marks a no that nobody said: the handler could not be asked, and who is watching already is not touched by that. */
function asFailure(reading: Reading): Reading {
  return reading?.kind === "deny" ? { ...reading, failed: true } : reading;
}

/** The stream that filters look at; of a list the first one; empty when the trigger is about none. */
function streamOf(name: TriggerName, payload: Readonly<Record<string, unknown>>): string {
  const { filter } = triggers[name] as TriggerDefinition;
  const value = filter === undefined ? undefined : payload[filter];
  return typeof value !== "string" ? "" : filter === "streams" ? (value.split(",")[0] ?? "") : value;
}

/** A copy of the payload that no handler can change for the next one, and its text when somebody needs it. */
function createFiring(name: TriggerName, payload: Readonly<Record<string, unknown>>, unixMillis: number): Firing {
  let raise: Raise | undefined;
  return {
    name,
    payload: Object.freeze({ ...payload }),
    raise: () => (raise ??= { name, uuid: crypto.randomUUID(), unixMillis, body: payloadText(name, payload as Payload<typeof name>) }),
  };
}

/** Lets tasks about the same stream go to a listener one after the other. */
function createTurns(): { take<T>(listener: Listener, stream: string, task: () => Promise<T>): Promise<T> } {
  const tails = new WeakMap<Listener, Map<string, Promise<unknown>>>();
  return {
    take(listener, stream, task) {
      const byStream = tails.get(listener) ?? new Map<string, Promise<unknown>>();
      tails.set(listener, byStream);
      const tail = byStream.get(stream);
      const turn = tail ? tail.then(task) : task();
      byStream.set(stream, turn);
      void turn.then(() => {
        if (byStream.get(stream) === turn) byStream.delete(stream);
      });
      return turn;
    },
  };
}

function isParsed(value: unknown): value is TriggerEntries {
  return typeof value === "object" && value !== null && "handlers" in value && value.handlers instanceof Map;
}

/** An error's words; Node hides those of a refused connection in a list. */
function words(error: unknown): string {
  if (error instanceof AggregateError && error.message === "") return error.errors.map(words).join(", ");
  return error instanceof Error ? error.message || error.name : String(error);
}

function consequence({ trigger, sync, onFailure }: Listener): string {
  if (!sync || triggers[trigger].answer === "notify") return "nothing depends on it";
  if (onFailure === undefined || onFailure.kind === "keep") return "the value stays as it was";
  if (onFailure.kind === "rewrite") return "the configured value is used";
  return onFailure.kind === "deny" ? "the answer is no" : "the answer is yes";
}
