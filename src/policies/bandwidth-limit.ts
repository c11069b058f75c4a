import { z } from "zod";
import { checkedOptions } from "./options.ts";
import type { Policy } from "./policy.ts";
import { limitShape, ruleOf } from "./viewer-limit.ts";

const bitsWords = 'bits per second as a number, or a text such as "500M" or "2G"';
const units = { k: 1e3, M: 1e6, G: 1e9 } as const;

const bits = z.union([z.number().min(1), z.string().regex(/^\d+(\.\d+)?[kMG]?$/)], bitsWords).transform((value) => {
  if (typeof value === "number") return value;
  const unit = value.at(-1) as keyof typeof units;
  return unit in units ? Number(value.slice(0, -1)) * units[unit] : Number(value);
});

const schema = z.strictObject({
  ...limitShape,
  /** Bits per second to viewers. */
  egress: bits,
  /** Each stream for itself, or all that `streams` takes together. Left out: together. */
  by: z.enum(["server", "stream"], '"server" or "stream"').optional(),
});

export type BandwidthLimitOptions = z.input<typeof schema>;

/**
 * New viewers are refused while what goes out is over the limit, and let in again when it is under the safe mark: measured, with
 * a reservation for those who have just come in. Who watches already stays.
 */
export function bandwidthLimit(options: BandwidthLimitOptions): Policy {
  const { name = "bandwidthLimit", egress, by = "server", ...rest } = checkedOptions("bandwidthLimit", schema, options);
  return { name: "bandwidthLimit", options, start: ({ limits }) => limits.add(name, ruleOf({ by, egress }, rest)) };
}
