import { z } from "zod";
import { durationMs } from "../../base/time.ts";
import { isTriggerName } from "../../triggers/payload.ts";
import { type TriggerName, triggers } from "../../triggers/table.ts";

/** The name of a trigger. */
export const triggerName = z
  .string("the name of a trigger")
  .refine((name): name is TriggerName => isTriggerName(name), `one of ${Object.keys(triggers).join(", ")}`);

/** A moment: Unix milliseconds, an ISO 8601 date, or how long ago ("10m"). `since` makes Unix milliseconds of it. */
const moment = z.string().refine((text) => since(text, 0) !== undefined, 'a date, Unix milliseconds, or how long ago, such as "10m"');

/** Which recorded calls are wanted. */
export const callQuery = z.strictObject({
  trigger: triggerName.optional(),
  stream: z.string().optional(),
  since: moment.optional(),
  decision: z.enum(["allow", "deny", "rewrite", "keep"], "one of allow, deny, rewrite, keep").optional(),
  /** A token, key or name that occurs in the call; secrets are found by their mark. */
  find: z.string().optional(),
  limit: z.coerce.number("a number").int("a whole number").min(1, "1 to 10000").max(10_000, "1 to 10000").optional(),
});

/** A payload to try: MistServer's lines, or an object with fields. */
export const testBody = z.strictObject({
  trigger: triggerName,
  payload: z.union([z.string(), z.record(z.string(), z.unknown())], "an object with fields, or a text with a line for each field"),
});

/** One handler in MistServer's shape. */
export const handlerBody = z.strictObject({
  trigger: triggerName,
  entry: z.union([z.record(z.string(), z.unknown()), z.array(z.unknown())], "an object with `handler`, or a list [handler, sync, streams]"),
});

/** Unix milliseconds of a moment; undefined when it is none. */
export function since(text: string, now: number): number | undefined {
  if (/^\d{5,}$/.test(text)) return Number(text);
  try {
    return now - durationMs(text as `${number}s`);
  } catch {
    const time = Date.parse(text);
    return Number.isNaN(time) ? undefined : time;
  }
}
