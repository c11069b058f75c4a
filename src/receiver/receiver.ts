import { SluiceError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { ServerControl } from "../base/server-control.ts";
import { createClock } from "../host/clock.ts";
import { createTriggers } from "../triggers/bus.ts";
import { isTriggerName } from "../triggers/payload.ts";
import { type TriggerName, triggers } from "../triggers/table.ts";
import type { Handler, HandlerOptions } from "../triggers/trigger.ts";
import { createAnswerer, type Decided } from "./answerer.ts";
import type { MistControl } from "./mist/control.ts";
import { secretCheck } from "./secret.ts";

/** A handler with its options: `onFail` (left out: no, where somebody is let in), `timeoutMs`, `streams`, ... */
export type ReceiverHandler<K extends TriggerName> = { readonly handle: Handler<K> } & Partial<HandlerOptions<K>>;

/** Handlers by trigger, typed as those of a configuration; of several the answers are joined as the reference says. */
export type ReceiverHandlers = {
  readonly [K in TriggerName]?: Handler<K> | ReceiverHandler<K> | readonly (Handler<K> | ReceiverHandler<K>)[];
};

export type ReceiverOptions = {
  /**
   * The secret that a call has to show: `?key=SECRET` in the handler's URL, its last part, or a header. 16 characters or more; several
   * while one is exchanged for another. Left out: everybody may call.
   */
  readonly secret?: string | readonly string[];
  /** Longest call in bytes; 1 MiB if left out. */
  readonly maxBytes?: number;
  /** Milliseconds that a handler may take; 4000 if left out, as a MistServer asks anew after 5 s. */
  readonly timeoutMs?: number;
  /** What handlers get as `server`, such as `createMistControl(...)`. Left out: whatever is asked of it throws, and the handler has failed. */
  readonly server?: ServerControl & Partial<Pick<MistControl, "decided">>;
  /** Takes lines about handlers that fail and calls that cannot be read; standard error if left out. */
  readonly log?: (line: string) => void;
};

/** A standard function from request to response. Dispose it when no more calls come: calls in flight are waited for. */
export type Receiver = ((request: Request) => Promise<Response>) & AsyncDisposable;

const defaultMaxBytes = 1 << 20;
/** Below the 5 s after which a MistServer asks again. */
const defaultTimeoutMs = 4000;

/**
 * Turns handlers into a function that answers the trigger calls of any MistServer: `createReceiver({ USER_NEW: ... })`. It never
 * rejects. A call that cannot be read or does not show the secret, and a handler that throws, is late or answers nonsense, gets
 * the answer that a MistServer reads as no wherever somebody would be let in. Throws "config.invalid" for handlers and
 * options that cannot be used.
 */
export function createReceiver(handlers: ReceiverHandlers, options: ReceiverOptions = {}): Receiver {
  // A secret that was meant and is missing must not open the receiver.
  const secret = "secret" in options ? secretCheck(options.secret ?? []) : undefined;
  const { maxBytes = defaultMaxBytes, timeoutMs = defaultTimeoutMs } = options;
  const server: NonNullable<ReceiverOptions["server"]> = options.server ?? unknownServer;
  const clock = createClock();
  const log = lineLog(options.log ?? ((line) => void process.stderr.write(`${line}\n`)));
  const bus = createTriggers({
    log,
    clock,
    identity: { version: "receiver", instance: "", pid: process.pid, serverId: () => "" },
    control: () => server,
    limits: { nativeMs: timeoutMs },
  });
  for (const [name, setting] of Object.entries(handlers)) {
    if (!isTriggerName(name))
      throw new SluiceError("config.invalid", `createReceiver: there is no trigger ${name}; there are ${Object.keys(triggers).join(", ")}`);
    for (const item of [setting].flat() as readonly unknown[]) {
      const { handle, ...rest } = (typeof item === "function" ? { handle: item } : (item ?? {})) as ReceiverHandler<typeof name>;
      if (typeof handle !== "function")
        throw new SluiceError(
          "config.invalid",
          `createReceiver: ${name} must be a function, or an object with \`handle\`, or a list of those`,
        );
      bus.on(name, handle, rest);
    }
  }
  const answer = createAnswerer({ bus, clock, log, maxBytes, secret, decided: server.decided ?? unlimited });
  return Object.assign(answer, { [Symbol.asyncDispose]: () => bus[Symbol.asyncDispose]() });
}

/** A yes that says how many sessions a viewer may have would be a yes without that limit: a MistServer counts none. */
const unlimited: Decided = (_name, _payload, outcome) =>
  outcome?.kind === "allow" && outcome.limits !== undefined
    ? "a MistServer does not count sessions: give createReceiver a `server`, such as createMistControl({ client }), which does"
    : undefined;

/** A log of lines; what may carry a name or a token of a client has no control characters in it. */
function lineLog(write: (line: string) => void): Log {
  return {
    write: (kind, message) => {
      // oxlint-disable-next-line no-control-regex -- control characters are what this removes
      write(`${kind} ${message.replace(/[\u0000-\u001f\u007f-\u009f]+/g, " ")}`);
    },
  };
}

const unknown = (): never => {
  throw new SluiceError(
    "config.invalid",
    "this receiver does not know its MistServer: give createReceiver a `server`, such as createMistControl({ client })",
  );
};

const unknownServer: ServerControl = {
  liveStreams: unknown,
  viewers: unknown,
  egress: unknown,
  invalidateSessions: unknown,
  keepViewers: unknown,
  publishing: unknown,
  recheckTagged: unknown,
  stopTagged: unknown,
  stopSessions: unknown,
};
