import { HandlerFailure, type Reading } from "../answer.ts";
import { CallControl, type CallLimits } from "./call-control.ts";
import type { FailureCause } from "./failure-cause.ts";
import type { Effort, Firing, Listener, Surroundings } from "../listener.ts";
import { consequence, createFailures, type FailurePolicy } from "./on-fail.ts";
import type { TriggerName } from "../table.ts";

/** What a guard has to know of a handler. */
export type Guarded = {
  readonly trigger: TriggerName;
  readonly label: string;
  /** What depends on a failure, when it is not what `policy` says. */
  readonly role: "decides" | "told" | "shadow";
  readonly calls: CallLimits;
  readonly policy: FailurePolicy;
  /** The cause of an error that does not name one. */
  readonly otherCause: FailureCause;
  readonly around: Pick<Surroundings, "clock" | "log">;
};

/** The part of a listener that all sorts have: so many calls at once, a breaker, and what holds on failure. */
export function guarded(
  { trigger, label, role, calls, policy, otherCause, around: { clock, log } }: Guarded,
  ask: Listener["ask"],
): Pick<Listener, "ask" | "failed" | "status"> {
  const failures = createFailures(trigger, policy);
  const then = (cause: FailureCause): string => {
    if (role === "shadow") return "it is a shadow: nothing depends on it";
    return role === "told" ? "nothing depends on it" : consequence(policy[cause]);
  };
  const control = new CallControl(calls, clock, {
    onOpen(pauseMs, count, error) {
      const why = error === undefined ? "" : `, the last one: ${failureWords(error)}`;
      const times = `${count} failure${count === 1 ? "" : "s"}`;
      log.write("WARN", `${trigger}: the handler ${label} is not asked for ${pauseMs / 1000} s after ${times}${why}; ${then("open")}`);
    },
    onClose: () => log.write("INFO", `${trigger}: the handler ${label} answers again and is asked as before`),
  });
  return {
    async ask(firing: Firing, signal: AbortSignal, effort: Effort): Promise<Reading> {
      // A rehearsal shows what the handler says now, and leaves no trace.
      if (firing.mode === "rehearsal") return await ask(firing, signal, effort);
      const reading = await control.run(() => ask(firing, signal, effort), firing.moot ? [signal, firing.moot] : [signal]);
      failures.succeeded(firing.payload, reading);
      return reading;
    },
    failed(firing, error) {
      const cause = error instanceof HandlerFailure ? error.sort : otherCause;
      return { cause, holds: failures.failed(firing.payload, cause), consequence: then(cause) };
    },
    status: () => control.status(),
  };
}

/** An error's words; Node hides those of a refused connection in a list. */
export function failureWords(error: unknown): string {
  if (error instanceof AggregateError && error.message === "") return error.errors.map(failureWords).join(", ");
  return error instanceof Error ? error.message || error.name : String(error);
}
