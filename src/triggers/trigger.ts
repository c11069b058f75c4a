import type { Allow, Deny, Keep, Rewrite, Rewriting, Verdict, Yes } from "../base/decision.ts";
import type { ServerControl } from "../base/server-control.ts";
import type { CallMode, CallRecord } from "./journal/call-record.ts";
import type { CallLimitOptions } from "./failure/call-control.ts";
import type { OnFail } from "./failure/on-fail.ts";
import type { Payload, TriggerName, triggers } from "./table.ts";

type Kind<K extends TriggerName> = (typeof triggers)[K]["answer"];

/** What a native handler may return; another kind does not compile, and neither does a yes with a life but for USER_NEW. A plain boolean or string is the short form. */
export type Answer<K extends TriggerName> =
  Kind<K> extends "verdict"
    ? (K extends "USER_NEW" ? Allow : Yes) | Deny | boolean
    : Kind<K> extends "rewrite"
      ? Rewrite | Keep | Deny | string
      : void;

/** What firing a trigger ends in. */
export type Decision<K extends TriggerName> = Kind<K> extends "verdict" ? Verdict : Kind<K> extends "rewrite" ? Rewriting : void;

/** What a native handler gets beside the payload. */
export type HandlerContext = {
  /** Aborted when the time limit has passed. */
  readonly signal: AbortSignal;
  /** The server that asks. */
  readonly server: ServerControl;
  /** `shadow`, `rehearsal`: the answer is only shown to people, so the question must not change anything (use up a token). */
  readonly mode: CallMode;
};

/** Code that answers a trigger. */
export type Handler<K extends TriggerName> = (payload: Payload<K>, context: HandlerContext) => Answer<K> | Promise<Answer<K>>;

export type HandlerOptions<K extends TriggerName> = CallLimitOptions & {
  /** Stream filter as in MistServer: names, base names, `a+`, `#tag`, `*`, `!` negation. Empty: all streams. */
  readonly streams: readonly string[];
  /** `shadow`: it is asked beside the others, and its answer stands in the journal and is not applied. */
  readonly mode: "live" | "shadow";
  /** Milliseconds that the handler may take. */
  readonly timeoutMs: number;
  /** What holds when it throws, is too slow, answers nonsense or is not asked. Left out: the table's `fail`; a rewrite keeps its value. */
  readonly onFail: OnFail<K>;
};

/** Takes what became of one call; `kept`: the journal has it, too (unless it keeps samples only). */
export type CallTold = (record: CallRecord, kept: boolean) => void;

/** Asks and tells. The gate and the server's parts know triggers only by this. */
export interface Triggers {
  /** True if some handler listens for this trigger on this stream; synchronous, so that payloads are built only for a listener. */
  wants(name: TriggerName, stream?: string): boolean;
  on<K extends TriggerName>(name: K, handler: Handler<K>, options?: Partial<HandlerOptions<K>>): Disposable;
  /**
   * Runs the handlers that match, one after the other, and combines their answers as the reference says.
   * Never rejects: failures follow their policy. Resolves at once with allow or keep when nobody listens.
   * When `moot` is aborted nobody needs the answer any more, and a handler that has not been asked yet is spared.
   * `told` gets who was asked and what they answered, before this resolves; it is not called when there is no handler.
   */
  fire<K extends TriggerName>(name: K, payload: Payload<K>, moot?: AbortSignal, told?: CallTold): Promise<Decision<K>>;
  /** True if a handler of the stream's USER_END says that nobody begins a session anew before the end of the last one has arrived. */
  holdsSuccessors(stream: string): boolean;
}
