import type { Reading } from "../answer.ts";
import { type TriggerDefinition, type TriggerName, triggers } from "../table.ts";

/** Answers that one handler remembers; the least recently used one is forgotten first. */
const most = 10_000;

/** What one handler last answered to which question. */
export interface LastKnown {
  remember(payload: Readonly<Record<string, unknown>>, reading: Reading): void;
  /** Undefined: it was never asked this, or that was too long ago. */
  recall(payload: Readonly<Record<string, unknown>>): { readonly reading: Reading } | undefined;
}

/**
 * Makes an empty memory. It is the same question when it is about the same session, or, for triggers without a session,
 * when all lines of the payload are the same: an answer never holds for another address or token than the handler has seen.
 */
export function createLastKnown(name: TriggerName): LastKnown {
  const answers = new Map<string, { readonly reading: Reading }>();
  const { fields }: TriggerDefinition = triggers[name];
  const keyOf = (payload: Readonly<Record<string, unknown>>): string => {
    if (typeof payload.sessionId === "string" && payload.sessionId !== "") return payload.sessionId;
    return JSON.stringify(Object.keys(fields).map((field) => payload[field] ?? null));
  };
  return {
    remember(payload, reading) {
      const key = keyOf(payload);
      answers.delete(key);
      answers.set(key, { reading });
      if (answers.size <= most) return;
      const [oldest] = answers.keys();
      if (oldest !== undefined) answers.delete(oldest);
    },
    recall(payload) {
      const key = keyOf(payload);
      const answer = answers.get(key);
      if (answer === undefined) return undefined;
      answers.delete(key);
      answers.set(key, answer);
      return answer;
    },
  };
}
