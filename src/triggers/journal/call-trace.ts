import type { Rewriting, Verdict } from "../../base/decision.ts";
import type { Clock } from "../../base/time.ts";
import type { Reading } from "../answer.ts";
import type { CallRecord, HandlerTrace } from "./call-record.ts";
import type { Firing, Listener } from "../listener.ts";

type Draft = { -readonly [K in keyof HandlerTrace]: HandlerTrace[K] };

/** What is written down about one handler while it works. */
export interface HandlerNote {
  answered(reading: Reading, attempts: number): void;
  /** `holds` is what counts instead of an answer. */
  failed(words: string, holds: Reading, attempts: number): void;
}

/** Follows one call from the firing to the last handler's end. */
export interface CallTrace {
  skipped(listener: Listener, why: string): void;
  asked(listener: Listener): HandlerNote;
  decided(decision: Verdict | Rewriting | undefined): void;
  /** Was any handler asked or told? */
  readonly wasAsked: boolean;
  /** As far as it is known now. */
  record(): CallRecord;
}

/** Begins to follow a call. */
export function traceCall(firing: Firing, stream: string, unixMillis: number, clock: Clock): CallTrace {
  const started = clock.monotonic();
  const handlers: Draft[] = [];
  let decision: Verdict | Rewriting | undefined;
  let ms = 0;
  const since = (from: number): number => Math.round((clock.monotonic() - from) * 1000) / 1000;
  const begin = (listener: Listener): Draft => {
    const draft: Draft = {
      id: listener.id,
      handler: listener.label,
      role: listener.shadow ? "shadow" : listener.sync ? "decides" : "told",
    };
    handlers.push(draft);
    return draft;
  };
  return {
    skipped: (listener, why) => void (begin(listener).notAsked = why),
    asked(listener) {
      const draft = begin(listener);
      const from = clock.monotonic();
      const end = (reading: Reading, attempts: number): void => {
        draft.ms = since(from);
        if (reading !== undefined) draft.answer = reading;
        if (attempts > 0) draft.attempts = attempts;
      };
      return {
        answered: end,
        failed(words, holds, attempts) {
          end(holds, attempts);
          draft.failure = words;
        },
      };
    },
    get wasAsked() {
      return handlers.some(({ notAsked }) => notAsked === undefined);
    },
    decided(value) {
      decision = value;
      ms = since(started);
    },
    record: () => ({
      id: firing.id,
      time: unixMillis,
      trigger: firing.name,
      stream,
      payload: firing.payload,
      handlers: handlers.map((draft) => ({ ...draft })),
      ...(decision && { decision }),
      ms,
    }),
  };
}
