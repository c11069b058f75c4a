import { z } from "zod";
import { checkedOptions } from "./options.ts";
import { limitShape, ruleOf } from "./limit-options.ts";
import type { Policy } from "./policy.ts";

const most = 1e15;
const bitsWords = `bits per second, at least 1: a number, or a text such as "800k", "500M" or "2.5G"`;
const units = { k: 1e3, M: 1e6, G: 1e9 } as const;

const bits = z.union([z.number(), z.string()], bitsWords).transform((value, context) => {
  const number = typeof value === "number" ? value : /^\d{1,15}(\.\d{1,15})?[kMG]?$/.test(value) ? numberOf(value) : 0;
  if (number >= 1 && number <= most) return number;
  context.addIssue({ code: "custom", message: bitsWords });
  return z.NEVER;
});

function numberOf(text: string): number {
  const unit = text.at(-1) as keyof typeof units;
  return unit in units ? Number(text.slice(0, -1)) * units[unit] : Number(text);
}

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
