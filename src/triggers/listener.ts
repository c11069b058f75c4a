import { SluiceError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { ServerControl } from "../base/server-control.ts";
import type { Clock } from "../base/time.ts";
import { HandlerFailure, type Reading, readNative, readReply, readText, functionFailure } from "./answer.ts";
import type { CallMode } from "./journal/call-record.ts";
import { readJson } from "./decision-object.ts";
import { type CallStatus, readCallLimits } from "./failure/call-control.ts";
import { entryPolicy, type HandlerEntry, handlerLabel, isUrl } from "./entry.ts";
import { defaultExecLimits, type ExecLimits, execLimits, runExecutable } from "./call/exec.ts";
import type { FailureCause } from "./failure/failure-cause.ts";
import { type StreamFilter, type StreamTags, streamFilter } from "./filter.ts";
import { guarded } from "./failure/guard.ts";
import type { HttpCaller } from "./call/http.ts";
import { alwaysOnFail, readOnFail } from "./failure/on-fail.ts";
import { httpMessage } from "./call/json-form.ts";
import { type Payload, type TriggerName, triggers } from "./table.ts";
import type { Handler, HandlerOptions } from "./trigger.ts";
import { environment, type Raise, type ServerIdentity } from "./wire.ts";

/** One firing as a listener gets it; the text is made when the first one needs it. */
export type Firing = {
  readonly name: TriggerName;
  /** UUID of the call: all handlers and all attempts share it. */
  readonly id: string;
  readonly mode: CallMode;
  readonly payload: Readonly<Record<string, unknown>>;
  readonly raise: () => Raise;
  /** Aborted when nobody needs the answer any more: who still waits to be asked is not asked. */
  readonly moot?: AbortSignal | undefined;
};

/** A handler of any sort, as the bus sees it. */
export interface Listener {
  readonly trigger: TriggerName;
  /** Names it in the API. */
  readonly id: string;
  /** Code of this process, or an entry of MistServer's shape. */
  readonly source: "function" | "entry";
  /** Names it in the log. */
  readonly label: string;
  readonly filter: StreamFilter;
  /** The argument's condition on the payload. */
  readonly accepts: (payload: Readonly<Record<string, unknown>>) => boolean;
  /** False: it is told and not asked; its answer does not count. */
  readonly sync: boolean;
  /** True: it is asked beside the others, and its answer is only written down. */
  readonly shadow: boolean;
  /** The address under which the outbox keeps what this handler must get; undefined when it is called directly. */
  readonly reliable: string | undefined;
  readonly streams: readonly string[];
  /** What was configured; undefined for a function. */
  readonly entry: HandlerEntry | undefined;
  /** Asks once. Rejects when there is no usable answer, and at once with the signal's reason when that is aborted. */
  ask(firing: Firing, signal: AbortSignal, effort: Effort): Promise<Reading>;
  /** What holds when `ask` has rejected with `error`, why, and the end of a sentence about that for the log. */
  failed(firing: Firing, error: unknown): { readonly cause: FailureCause; readonly holds: Reading; readonly consequence: string };
  /** Calls in flight and waiting, and the breaker. */
  status(): CallStatus;
}

/** What an asking has cost so far; the handler's side counts it up. */
export type Effort = { attempts: number };

/** Time limits in milliseconds. */
export type TriggerLimits = ExecLimits & {
  /** A function, when its options do not say. */
  readonly nativeMs: number;
  /** An HTTP handler that is waited for. */
  readonly httpMs: number;
  /** An HTTP handler that is only told: nobody waits, and to hang up early would abort its work. */
  readonly httpAsyncMs: number;
  /** How long disposal waits for handlers that still run. */
  readonly drainMs: number;
  /** The part of a function before its first `await` blocks every viewer: from here on the log names it. */
  readonly blockedMs: number;
};

export const defaultLimits: TriggerLimits = {
  nativeMs: 5000,
  httpMs: 10_000,
  httpAsyncMs: 60_000,
  ...defaultExecLimits,
  drainMs: 5000,
  blockedMs: 100,
};

/** What listeners use of the bus. */
export type Surroundings = {
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: TriggerLimits;
  readonly server: ServerIdentity;
  readonly http: HttpCaller;
  readonly tagsOf: StreamTags;
  /** What functions may do with the server. */
  readonly control: () => ServerControl;
  /** Writes a complaint about a handler, once for each kind. */
  readonly complain: (kind: string, message: string) => void;
};

/** A function as listener. Throws "config.invalid" when an option cannot be used. */
export function nativeListener<K extends TriggerName>(
  trigger: K,
  handler: Handler<K>,
  options: Partial<HandlerOptions<K>>,
  around: Surroundings,
  ordinal: number,
): Listener {
  const label = `function ${handler.name && handler.name !== trigger && handler.name !== "handle" ? `"${handler.name}"` : `#${ordinal}`}`;
  const limitMs = options.timeoutMs ?? around.limits.nativeMs;
  if (!(limitMs > 0)) throw new SluiceError("config.invalid", `${trigger}: timeoutMs is ${limitMs}; there must be milliseconds above 0`);
  if (options.mode !== undefined && options.mode !== "live" && options.mode !== "shadow") {
    throw new SluiceError("config.invalid", `${trigger}: mode is ${JSON.stringify(options.mode)}; it must be "live" or "shadow"`);
  }
  const shadow = options.mode === "shadow";
  const asked = triggers[trigger].answer !== "notify";
  const guard = {
    trigger,
    label,
    role: shadow ? "shadow" : asked ? "decides" : "told",
    calls: readCallLimits(options, "function", asked, `${trigger}: `),
    policy:
      options.onFail === undefined ? alwaysOnFail(functionFailure(trigger)) : readOnFail(trigger, options.onFail, `${trigger}: onFail`),
    otherCause: "error",
    around,
  } as const;
  return {
    trigger,
    id: `function-${ordinal}`,
    source: "function",
    label,
    shadow,
    reliable: undefined,
    streams: options.streams ?? [],
    entry: undefined,
    filter: streamFilter(options.streams ?? [], around.tagsOf),
    accepts: () => true,
    sync: true,
    ...guarded(guard, async ({ name, payload, mode }, signal) => {
      using limited = limit(around.clock, signal, limitMs);
      const started = around.clock.monotonic();
      const answer = handler(payload as Payload<K>, { signal: limited.signal, server: around.control(), mode });
      const blocked = Math.round(around.clock.monotonic() - started);
      if (blocked >= around.limits.blockedMs) {
        around.complain(
          `${trigger} ${label} blocked`,
          `${trigger}: ${label} blocked the server for ${blocked} ms before it gave its answer or waited for something; use await, or a worker`,
        );
      }
      return readNative(name, await unlessAborted(answer, limited.signal));
    }),
  };
}

/** An entry of a MistServer-shaped configuration as listener. */
export function configuredListener(trigger: TriggerName, id: string, entry: HandlerEntry, around: Surroundings): Listener {
  const label = handlerLabel(entry);
  const shadow = entry.mode === "shadow";
  const asked = entry.sync && triggers[trigger].answer !== "notify";
  const guard = {
    trigger,
    label,
    role: shadow ? "shadow" : asked ? "decides" : "told",
    calls: entry.calls ?? readCallLimits({}, isUrl(entry.handler) ? "http" : "exec", asked, ""),
    policy: entryPolicy(trigger, entry),
    otherCause: "connection",
    around,
  } as const;
  const ask = isUrl(entry.handler) ? askHttp : askExec;
  return {
    trigger,
    id,
    source: "entry",
    label,
    shadow,
    reliable: entry.delivery === "reliable" ? entry.handler : undefined,
    streams: entry.streams,
    entry,
    filter: streamFilter(entry.streams, around.tagsOf),
    accepts: argumentCondition(trigger, entry.params),
    sync: entry.sync,
    ...guarded(guard, (firing, signal, effort) => ask(firing, entry, around, signal, effort)),
  };
}

async function askHttp(firing: Firing, entry: HandlerEntry, around: Surroundings, signal: AbortSignal, effort: Effort): Promise<Reading> {
  const { timeoutMs = entry.sync ? around.limits.httpMs : around.limits.httpAsyncMs } = entry.call;
  using limited = limit(around.clock, signal, timeoutMs);
  const { delivery } = firing.raise();
  const reply = await around.http.call({
    url: entry.handler,
    ca: entry.call.ca,
    message: (attempt) => {
      effort.attempts = attempt;
      const message = httpMessage(entry.call, firing, around, attempt);
      return firing.mode === "live" ? message : { ...message, headers: { ...message.headers, "X-Trigger-Mode": firing.mode } };
    },
    // What must arrive has arrived with status 2xx, and nothing that is said with it is of interest.
    wantsAnswer: entry.sync && !delivery,
    ...(delivery && { attempts: 1 }),
    signal: limited.signal,
  });
  if (!entry.sync || delivery) return undefined;
  return entry.call.format === "json" ? readJson(firing.name, reply.text) : readReply(firing.name, reply);
}

async function askExec(firing: Firing, entry: HandlerEntry, around: Surroundings, signal: AbortSignal, effort: Effort): Promise<Reading> {
  effort.attempts = 1;
  const raise = firing.raise();
  const reply = await runExecutable({
    path: entry.handler,
    argument: raise.name,
    body: raise.body,
    environment: {
      ...environment(raise, around.server, entry.default),
      ...(firing.mode !== "live" && { MIST_TRIGGER_MODE: firing.mode }),
    },
    // What must arrive has arrived when the program says so, within the time of one that is waited for.
    wantsAnswer: entry.sync || raise.delivery !== undefined,
    mustSucceed: raise.delivery !== undefined,
    limits: execLimits(entry.call.timeoutMs, around.limits),
    clock: around.clock,
    signal,
  });
  return entry.sync ? readText(firing.name, reply.text) : undefined;
}

/** LIVE_BANDWIDTH fires from `params` bytes per second on; no other trigger has an argument. */
function argumentCondition(trigger: TriggerName, params: string | undefined): Listener["accepts"] {
  if (trigger !== "LIVE_BANDWIDTH") return () => true;
  const least = Number.parseInt(params ?? "0", 10) || 0;
  return (payload) => Number(payload.bytesPerSecond) >= least;
}

/** A signal that is aborted with `outer`, or after `ms`. Dispose when the work is done. */
function limit(clock: Clock, outer: AbortSignal, ms: number): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  const onOuter = (): void => controller.abort(outer.reason);
  if (outer.aborted) onOuter();
  outer.addEventListener("abort", onOuter, { once: true });
  const timer = clock.after(ms, () => controller.abort(new HandlerFailure(`it gave no answer within ${ms} ms`, { sort: "timeout" })));
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      timer[Symbol.dispose]();
      outer.removeEventListener("abort", onOuter);
    },
  };
}

/** The promise, unless the signal is aborted first; what the promise does afterwards is nobody's business any more. */
function unlessAborted<T>(value: T | Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    Promise.resolve(value)
      .then(resolve, reject)
      .finally(() => signal.removeEventListener("abort", onAbort));
  });
}
