import { allow, keep, type Rewriting, type Verdict } from "../base/decision.ts";
import type { Log } from "../base/log.ts";
import type { ServerControl } from "../base/server-control.ts";
import type { Clock } from "../base/time.ts";
import { HandlerFailure, joinVerdicts, type Reading, tableFailure } from "./answer.ts";
import type { BreakerStatus } from "./failure/breaker.ts";
import type { CallStatus } from "./failure/call-control.ts";
import type { CallMode, CallRecord, CallSink } from "./journal/call-record.ts";
import { type CallTrace, type HandlerNote, traceCall } from "./journal/call-trace.ts";
import { configuredListeners } from "./configured-listeners.ts";
import { parseTriggerEntries, type TriggerEntries } from "./entry.ts";
import { createFailureLog } from "./failure/failures.ts";
import { filterBase, type StreamTags } from "./filter.ts";
import { failureWords } from "./failure/guard.ts";
import { createHttpCaller } from "./call/http.ts";
import {
  defaultLimits,
  type Effort,
  type Firing,
  type Listener,
  nativeListener,
  type Surroundings,
  type TriggerLimits,
} from "./listener.ts";
import type { Outbox } from "./delivery/outbox.ts";
import { deliverTo, letterOf } from "./delivery/reliable.ts";
import { withoutSecrets } from "./call/secrets.ts";
import { type Payload, type TriggerDefinition, type TriggerName, triggers } from "./table.ts";
import type { CallTold, Decision, Triggers } from "./trigger.ts";
import { createTurns } from "./turns.ts";
import { payloadText, type Raise, type ServerIdentity } from "./wire.ts";

export type TriggerOptions = {
  readonly log: Log;
  readonly clock: Clock;
  readonly identity: ServerIdentity;
  /** For `#tag` in stream filters; called synchronously by `wants` and `fire`. */
  readonly streamTags?: StreamTags;
  /** What functions get as `server`; read at each call, so that it may come to life after the bus. Left out: a server without streams. */
  readonly control?: () => ServerControl;
  /** Where calls are written down; left out: nowhere. */
  readonly journal?: CallSink;
  /** Keeps what reliable handlers must get; left out: they are called directly. The bus ends it. */
  readonly outbox?: Outbox;
  /** Other time limits than MistServer's and our own; for tests. */
  readonly limits?: Partial<TriggerLimits>;
};

/** Of one trigger: runs of handlers, milliseconds that they took together, and how many failed. A no is no failure. */
export type TriggerStats = {
  readonly count: number;
  readonly ms: number;
  readonly fails: number;
  /** Handlers that are left alone now, because they failed again and again; absent when there is none. */
  readonly breakers?: readonly (BreakerStatus & { readonly handler: string })[];
};

/** A handler as lists show it. */
export type HandlerInfo = {
  /** Of entries: made from what the entry says, and so the same after a restart. Of functions: their number since the start. */
  readonly id: string;
  readonly trigger: TriggerName;
  readonly source: Listener["source"];
  /** The URL without its query, the path, or the function's name. */
  readonly handler: string;
  readonly mode: "live" | "shadow";
  readonly sync: boolean;
  readonly streams: readonly string[];
  /** Calls in flight, waiting, and the state of the breaker, now. */
  readonly calls: CallStatus;
};

/** All handlers of a server: functions and MistServer-shaped configuration. Dispose waits a while for those that still run. */
export interface TriggerBus extends Triggers, AsyncDisposable {
  /**
   * Replaces everything that is configured, at once; handlers of `on` stay. Takes MistServer's shape (null is nothing),
   * or what `parseTriggerEntries` made of it. Throws "config.invalid" and changes nothing when it is wrong.
   */
  configure(entries: unknown): void;
  /** What is configured, as it was given but for secrets, which are masked. */
  entries(): Readonly<Record<string, unknown>>;
  /** All handlers that are there now, in the order in which each trigger asks them. */
  handlers(): readonly HandlerInfo[];
  /**
   * What would happen: asks all handlers that match, shadows too, with mode "rehearsal". Who is only told is not. Nothing is
   * counted, journalled or applied. The payload may be of any trigger; it is not checked here.
   */
  rehearse(name: TriggerName, payload: Readonly<Record<string, unknown>>): Promise<CallRecord>;
  /** Since the start, of triggers that had a handler. */
  stats(): Record<string, TriggerStats>;
}

/**
 * Makes the bus. The handlers of a trigger run one after the other, all of them, each with the original payload: functions
 * first, in the order of `on`, then what is configured, in its order; a no that is `final` ends that. Yes-or-no: the first
 * no is the answer. Values: the last one that was given. Who is only told (`sync: false`) and who has failed with no policy adds nothing.
 */
export function createTriggers(options: TriggerOptions): TriggerBus {
  const { log, clock, identity, journal, outbox } = options;
  const failures = createFailureLog(log, clock);
  const http = createHttpCaller();
  const around: Surroundings = {
    clock,
    log,
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

  const ask = async (listener: Listener, firing: Firing, note: HandlerNote | undefined): Promise<Reading> => {
    const { trigger } = listener;
    const counts = firing.mode === "live";
    const started = clock.monotonic();
    const counter = (counts && counters.get(trigger)) || { count: 0, ms: 0, fails: 0 };
    if (counts) counters.set(trigger, counter);
    counter.count++;
    const effort: Effort = { attempts: 0 };
    try {
      if (closed) throw serverEnds();
      const reading = await listener.ask(firing, closing.signal, effort);
      note?.answered(reading, effort.attempts);
      return reading;
    } catch (error) {
      const { cause, consequence, ...failed } = listener.failed(firing, error);
      const holds = asFailure(failed.holds);
      const moot = firing.moot?.aborted === true && error === firing.moot.reason;
      if (!moot) counter.fails++;
      note?.failed(failureWords(error), holds, effort.attempts);
      // A breaker that opens has said so itself, once.
      if (firing.mode === "rehearsal" || moot || cause === "open") return holds;
      const sort = error instanceof Error ? error.name : typeof error;
      failures.report(
        `${trigger} ${listener.label} ${sort}`,
        `${trigger}: the handler ${listener.label} failed: ${failureWords(error)}; ${consequence}`,
      );
      return holds;
    } finally {
      counter.ms += clock.monotonic() - started;
    }
  };

  /** Starts a handler, in its turn if the trigger is ordered. Never rejects. */
  const run = (listener: Listener, firing: Firing, stream: string, note: HandlerNote | undefined): Promise<Reading> => {
    const task = (): Promise<Reading> => ask(listener, firing, note);
    const { ordered } = triggers[firing.name] as TriggerDefinition;
    const promise = ordered ? turns.take(listener, stream, task) : task();
    running.add(promise);
    void promise.then(() => running.delete(promise));
    return promise;
  };

  const listeners = (name: TriggerName): readonly Listener[] => [...(native.get(name) ?? []), ...(configured.get(name) ?? [])];

  outbox?.deliverBy(deliverTo((name, handler) => configured.get(name)?.find((listener) => listener.reliable === handler)));

  /** Posts what reliable handlers must get, before anything else is done: with what the caller keeps in the same turn. */
  const post = (firing: Firing, stream: string, trace: CallTrace | undefined): readonly Promise<void>[] => {
    if (!outbox || firing.mode !== "live" || triggers[firing.name].answer !== "notify") return [];
    const takes = listens(firing.name, stream);
    const recipients = (configured.get(firing.name) ?? []).filter((one) => one.reliable && takes(one) && one.accepts(firing.payload));
    return recipients.map((listener) => {
      const note = trace?.asked(listener);
      const counter = counters.get(firing.name) ?? { count: 0, ms: 0, fails: 0 };
      counters.set(firing.name, counter);
      counter.count++;
      return outbox.send(letterOf(firing, listener.reliable ?? "", clock.now())).then(() => note?.answered(undefined, 0));
    });
  };

  /** Lets the handlers decide; what they do besides, and those whose answers are only written down, go into `aside`. */
  const decide = async (
    firing: Firing,
    stream: string,
    trace: CallTrace | undefined,
    aside: (() => Promise<unknown>)[],
  ): Promise<Verdict | Rewriting> => {
    const { name, payload } = firing;
    const kind = triggers[name].answer;
    const takes = listens(name, stream);
    let verdict: Verdict | undefined;
    let value: Rewriting = keep();
    let final = false;
    const posted = post(firing, stream, trace);
    for (const listener of listeners(name)) {
      const why = takes(listener) ? (listener.accepts(payload) ? undefined : "its argument does not match") : `its filter does not match`;
      if (why !== undefined || final) {
        trace?.skipped(listener, why ?? "the no before it is final");
        continue;
      }
      if (outbox && listener.reliable !== undefined && firing.mode === "live") continue;
      if (listener.shadow) {
        aside.push(() => run(listener, firing.mode === "live" ? { ...firing, mode: "shadow" } : firing, stream, trace?.asked(listener)));
        continue;
      }
      if (!listener.sync && firing.mode === "rehearsal") {
        trace?.skipped(listener, "it is only told, and nothing happened");
        continue;
      }
      const answer = run(listener, firing, stream, trace?.asked(listener));
      if (!listener.sync) {
        if (trace) aside.push(() => answer);
        continue;
      }
      const reading = await answer;
      if (reading === undefined) continue;
      if (reading.kind === "allow" || (reading.kind === "deny" && kind === "verdict"))
        verdict = verdict ? joinVerdicts(verdict, reading) : reading;
      else value = reading;
      if (reading.kind === "deny" && reading.final) final = true;
    }
    await Promise.all(posted);
    const decision = kind === "verdict" ? (verdict ?? allow()) : value;
    trace?.decided(kind === "notify" ? undefined : decision);
    return decision;
  };

  const fire = async (
    name: TriggerName,
    payload: Readonly<Record<string, unknown>>,
    moot: AbortSignal | undefined,
    told: CallTold | undefined,
  ): Promise<Verdict | Rewriting> => {
    if (!native.get(name)?.length && !configured.get(name)?.length) return triggers[name].answer === "verdict" ? allow() : keep();
    const stream = streamOf(name, payload);
    const now = clock.now();
    const firing: Firing = { ...createFiring(name, payload, now, "live"), moot };
    const trace = journal?.on || told ? traceCall(firing, stream, now, clock) : undefined;
    const aside: (() => Promise<unknown>)[] = [];
    const decision = await decide(firing, stream, trace, aside);
    if (trace) told?.(trace.record(), journal?.on === true);
    if (aside.length > 0) void keepAside(aside, trace);
    else if (trace && (trace.wasAsked || tellsOfSilence(name))) journal?.add(trace.record());
    return decision;
  };

  /** Asks the shadows when the answer is on its way, and writes the call down when all have ended; what is known by then, if that takes long. */
  const keepAside = async (aside: readonly (() => Promise<unknown>)[], trace: CallTrace | undefined): Promise<void> => {
    const all = new Promise<void>((resolve) => setImmediate(resolve)).then(() => Promise.all(aside.map((start) => start())));
    running.add(all);
    const late = trace && clock.after(lateMs, () => journal?.add(trace.record()));
    await all;
    late?.[Symbol.dispose]();
    running.delete(all);
    if (trace) journal?.add(trace.record());
  };

  return {
    wants(name, stream = "") {
      if (journal?.on && tellsOfSilence(name)) return Boolean(native.get(name)?.length || configured.get(name)?.length);
      const takes = listens(name, stream);
      return (native.get(name)?.some(takes) ?? false) || (configured.get(name)?.some(takes) ?? false);
    },
    holdsSuccessors(stream) {
      const takes = listens("USER_END", stream);
      return configured.get("USER_END")?.some((listener) => listener.entry?.order === "strict" && takes(listener)) ?? false;
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
    async fire<K extends TriggerName>(name: K, payload: Payload<K>, moot?: AbortSignal, told?: CallTold): Promise<Decision<K>> {
      const decision = await fire(name, payload as Readonly<Record<string, unknown>>, moot, told).catch((error: unknown) => {
        log.write("ERROR", `${name} could not be fired: ${failureWords(error)}`);
        return tableFailure(name) ?? keep();
      });
      return (triggers[name].answer === "notify" ? undefined : decision) as Decision<K>;
    },
    configure(value) {
      const entries = isParsed(value) ? value : parseTriggerEntries(value, "config.triggers");
      configured = configuredListeners(entries, configured, around);
      given = entries.given;
      for (const name of entries.unknown)
        log.write("WARN", `config.triggers.${name}: no trigger has this name; it is kept and never fires`);
    },
    entries: () => withoutSecrets(given),
    handlers: () => (Object.keys(triggers) as TriggerName[]).flatMap((name) => listeners(name).map(infoOf)),
    async rehearse(name, payload) {
      const stream = streamOf(name, payload);
      const now = clock.now();
      const firing = createFiring(name, payload, now, "rehearsal");
      const trace = traceCall(firing, stream, now, clock);
      const aside: (() => Promise<unknown>)[] = [];
      await decide(firing, stream, trace, aside);
      await Promise.all(aside.map((start) => start()));
      return trace.record();
    },
    stats: () =>
      Object.fromEntries(
        [...counters].map(([name, { count, ms, fails }]) => {
          const breakers = listeners(name).flatMap((one) => {
            const { breaker } = one.status();
            return breaker && breaker.state !== "closed" ? [{ handler: one.label, ...breaker }] : [];
          });
          return [name, { count, ms: Math.round(ms), fails, ...(breakers.length > 0 && { breakers }) }];
        }),
      ),
    async [Symbol.asyncDispose]() {
      await outbox?.[Symbol.asyncDispose]();
      closed = true;
      const { promise: late, resolve } = Promise.withResolvers<void>();
      const timer = clock.after(around.limits.drainMs, resolve);
      await Promise.race([Promise.all(running), late]);
      timer[Symbol.dispose]();
      closing.abort(serverEnds());
      await Promise.all(running);
      failures[Symbol.dispose]();
      await http[Symbol.asyncDispose]();
    },
  };
}

/** A call that is still going on is written down after this time, and again when it has ended. */
const lateMs = 2000;

/** Is it worth a line in the journal that no handler matched? It is where somebody waits for an answer. */
function tellsOfSilence(name: TriggerName): boolean {
  const { answer, argument }: TriggerDefinition = triggers[name];
  return answer !== "notify" && argument === undefined;
}

const emptyServer: ServerControl = {
  liveStreams: () => [],
  viewers: () => [],
  egress: () => 0,
  invalidateSessions: () => Promise.resolve(0),
  keepViewers: () => ({ [Symbol.dispose]: () => {} }),
  publishing: () => false,
  recheckTagged: () => Promise.resolve(0),
  stopTagged: () => 0,
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
function createFiring(name: TriggerName, payload: Readonly<Record<string, unknown>>, unixMillis: number, mode: CallMode): Firing {
  let raise: Raise | undefined;
  const id = crypto.randomUUID();
  return {
    name,
    id,
    mode,
    payload: Object.freeze({ ...payload }),
    raise: () => (raise ??= { name, uuid: id, unixMillis, body: payloadText(name, payload as Payload<typeof name>) }),
  };
}

function infoOf(listener: Listener): HandlerInfo {
  const { trigger, id, source, label, sync, shadow, streams } = listener;
  return { id, trigger, source, handler: label, mode: shadow ? "shadow" : "live", sync, streams, calls: listener.status() };
}

/** Nobody is asked any more; it says nothing about the handler. */
function serverEnds(): HandlerFailure {
  return new HandlerFailure("the server ends", { sort: "busy" });
}

function isParsed(value: unknown): value is TriggerEntries {
  return typeof value === "object" && value !== null && "handlers" in value && value.handlers instanceof Map;
}
