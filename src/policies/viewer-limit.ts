import { z } from "zod";
import type { LimitRule } from "../access/limits/limit.ts";
import { checkedOptions, count, duration, streamList } from "./options.ts";
import type { Policy } from "./policy.ts";

const actionWords = '"refuse", "end-oldest" or { "fallback": "the name of a stream" }';

/** What both limits have. */
export const limitShape = {
  /** Names the limit in the API, in metrics and in `sluice why`. */
  name: z.string().min(1).max(100).optional(),
  /** Streams that it is for: names, `live+`, patterns, `#tag`. Left out: all. */
  streams: streamList.optional(),
  /** Once reached, it holds until the count is at this part of it. */
  safe: z.number("a number from 0 to 1").min(0, "a number from 0 to 1").max(1, "a number from 0 to 1").optional(),
  onReached: z.union([z.enum(["refuse", "end-oldest"]), z.strictObject({ fallback: z.string().min(1) })], actionWords).optional(),
  /** What who has to wait is told, and when to come back. */
  reason: z.string().min(1).max(500).optional(),
  retryAfter: duration.optional(),
};

const schema = z.strictObject({
  ...limitShape,
  /** Viewers at the same time. */
  viewers: count,
  /** In whose name is counted: all of the server together, each stream, or each user, token or address. Left out: each stream. */
  by: z.enum(["server", "stream", "user", "token", "address"], "one of server, stream, user, token, address").optional(),
});

export type ViewerLimitOptions = z.input<typeof schema>;

/** So many viewers at the same time and no more; who comes then is told to wait, and gets in as soon as a place is free. */
export function viewerLimit(options: ViewerLimitOptions): Policy {
  const { name = "viewerLimit", viewers, by = "stream", ...rest } = checkedOptions("viewerLimit", schema, options);
  return { name: "viewerLimit", options, start: ({ limits }) => limits.add(name, ruleOf({ by, sessions: viewers }, rest)) };
}

type Rest = Omit<z.output<z.ZodObject<typeof limitShape>>, "name">;

/** The rule of a limit, with the answer for those who have to wait. */
export function ruleOf(measure: Pick<LimitRule, "by" | "sessions" | "egress">, rest: Rest): LimitRule {
  const said = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)) as Partial<LimitRule>;
  return { retryAfter: "10s", ...said, ...measure };
}
