import { z } from "zod";
import type { LimitRule } from "../access/limits/limit.ts";
import { duration } from "./options.ts";

const nameWords = "1 to 64 letters, digits, `_`, `.` and `-`";
const streamWords = 'a list of 1 to 100 stream names and patterns, such as ["live", "live+"]; leave it out for all';
const safeWords = "a number from 0 to 1";
const reasonWords = "a text of 1 to 500 characters without control characters";
const actionWords = '"refuse", "end-oldest" or { "fallback": "the name of a stream" }';

/** What both limits have. */
export const limitShape = {
  /** Names the limit in the API, in metrics and in `sluice why`; two of the same name are told apart by `-2`. */
  name: z
    .string(nameWords)
    .regex(/^(?!__proto__$)[\w.-]{1,64}$/, nameWords)
    .optional(),
  /** Streams that it is for: names, `live+`, patterns, `#tag`. Left out: all. */
  streams: z
    .array(z.string(streamWords).min(1, streamWords).max(200, streamWords), streamWords)
    .min(1, streamWords)
    .max(100, streamWords)
    .optional(),
  /** Once reached, it holds until the count is at this part of it. Left out: 1 for viewers, 0.9 for bandwidth. */
  safe: z.number(safeWords).min(0, safeWords).max(1, safeWords).optional(),
  onReached: z.union([z.enum(["refuse", "end-oldest"]), z.strictObject({ fallback: z.string().min(1) })], actionWords).optional(),
  /** What who has to wait is told, and when to come back. Left out: a sentence with the limit, and 10 s. */
  reason: z
    .string(reasonWords)
    .min(1, reasonWords)
    .max(500, reasonWords)
    .refine((text) => !/\p{Cc}/u.test(text), reasonWords)
    .optional(),
  retryAfter: duration.optional(),
};

type Shared = Omit<z.output<z.ZodObject<typeof limitShape>>, "name">;

/** The rule of a limit, with the answer for those who have to wait. */
export function ruleOf(measure: Pick<LimitRule, "by" | "prefix" | "sessions" | "egress">, shared: Shared): LimitRule {
  const said = Object.fromEntries(Object.entries(shared).filter(([, value]) => value !== undefined)) as Partial<LimitRule>;
  return { retryAfter: "10s", ...said, ...measure };
}
