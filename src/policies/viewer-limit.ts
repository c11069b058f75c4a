import { z } from "zod";
import { checkedOptions, count } from "./options.ts";
import { limitShape, ruleOf } from "./limit-options.ts";
import type { Policy } from "./policy.ts";

const prefixBits = (most: number) => {
  const words = `a number of bits from 0 to ${most}`;
  return z.number(words).int(words).min(0, words).max(most, words).optional();
};

const schema = z
  .strictObject({
    ...limitShape,
    /** Viewers at the same time. */
    viewers: count,
    /** In whose name is counted: all of the server together, each stream, or each user, token or address. Left out: each stream. */
    by: z.enum(["server", "stream", "user", "token", "address"], "one of server, stream, user, token, address").optional(),
    /** With `by: "address"`: how many bits of it count. An IPv6 household is 56 or 64. */
    prefix: z.strictObject({ ipv4: prefixBits(32), ipv6: prefixBits(128) }, "an object with `ipv4` and `ipv6`, numbers of bits").optional(),
  })
  .refine(({ by, prefix }) => prefix === undefined || by === "address", { path: ["prefix"], error: 'left out unless `by` is "address"' });

export type ViewerLimitOptions = z.input<typeof schema>;

/** So many viewers at the same time and no more; who comes then is told to wait, and gets in as soon as a place is free. */
export function viewerLimit(options: ViewerLimitOptions): Policy {
  const { name = "viewerLimit", viewers, by = "stream", prefix, ...rest } = checkedOptions("viewerLimit", schema, options);
  const rule = ruleOf({ by, sessions: viewers, ...(prefix && { prefix: prefix as { ipv4?: number; ipv6?: number } }) }, rest);
  return { name: "viewerLimit", options, start: ({ limits }) => limits.add(name, rule) };
}
