import { z } from "zod";
import { durationMs } from "../../base/time.ts";
import { isTriggerName } from "../../triggers/payload.ts";
import { type TriggerName, triggers } from "../../triggers/table.ts";

/** The name of a trigger. */
export const triggerName = z
  .string("the name of a trigger")
  .refine((name): name is TriggerName => isTriggerName(name), `one of ${Object.keys(triggers).join(", ")}`)
  .meta({ examples: ["USER_NEW"] });

/** A moment: Unix milliseconds, an ISO 8601 date, or how long ago ("10m"). `since` makes Unix milliseconds of it. */
const moment = z
  .string()
  .refine((text) => since(text, 0) !== undefined, 'a date, Unix milliseconds, or how long ago, such as "10m"')
  .meta({ description: 'A date, Unix milliseconds, or how long ago, such as "10m".' });

/** Which recorded calls are wanted. */
export const callQuery = z.strictObject({
  trigger: triggerName.optional(),
  stream: z.string().optional(),
  since: moment.optional(),
  decision: z.enum(["allow", "deny", "rewrite", "keep"], "one of allow, deny, rewrite, keep").optional(),
  find: z.string().optional().meta({ description: "A token, key or name that occurs in the call; secrets are found by their mark." }),
  limit: z.coerce.number("a number").int("a whole number").min(1, "1 to 10000").max(10_000, "1 to 10000").optional(),
});

/** A payload to try: MistServer's lines, or an object with fields. */
export const testBody = z
  .strictObject({
    trigger: triggerName,
    payload: z.union([z.string(), z.record(z.string(), z.unknown())], "an object with fields, or a text with a line for each field"),
  })
  .meta({ id: "TriggerTest" });

/** One handler in MistServer's shape. */
export const handlerBody = z
  .strictObject({
    trigger: triggerName,
    entry: z.union(
      [z.record(z.string(), z.unknown()), z.array(z.unknown())],
      "an object with `handler`, or a list [handler, sync, streams]",
    ),
  })
  .meta({ id: "NewHandler" });

const decision = z
  .looseObject({ kind: z.enum(["allow", "deny", "rewrite", "keep"]) })
  .meta({ id: "TriggerDecision", description: "`deny` has a `reason`, `rewrite` has `to`, `allow` what it says about the viewer." });

/** A recorded call of a trigger. */
export const callSchema = z
  .object({
    id: z.string(),
    time: z.number().meta({ description: "Unix milliseconds at which it was fired." }),
    trigger: z.string(),
    stream: z.string(),
    payload: z.record(z.string(), z.unknown()),
    handlers: z.array(
      z.object({
        id: z.string(),
        handler: z.string(),
        role: z.enum(["decides", "told", "shadow"]),
        notAsked: z.string().optional(),
        answer: decision.optional(),
        ms: z.number().optional(),
        attempts: z.int().optional(),
        failure: z.string().optional(),
      }),
    ),
    decision: decision.optional(),
    ms: z.number(),
  })
  .meta({ id: "TriggerCall" });

/** A handler as lists show it. */
export const handlerSchema = z
  .object({
    id: z.string(),
    trigger: z.string(),
    source: z.enum(["entry", "function"]),
    handler: z.string().meta({ description: "The URL without its query, the path, or the function's name." }),
    mode: z.enum(["live", "shadow"]),
    sync: z.boolean(),
    streams: z.array(z.string()),
    calls: z.record(z.string(), z.unknown()).meta({ description: "Calls in flight, waiting, and the state of the breaker, now." }),
  })
  .meta({ id: "Handler" });

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
