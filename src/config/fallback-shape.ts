import { z } from "zod";
import type { KeepRule } from "../base/server-control.ts";
import { type Duration, durationMs } from "../base/time.ts";

const durationWords = 'milliseconds, or a text such as "5s"';
const duration = z.custom<Duration>((value) => {
  try {
    return durationMs(value as Duration) >= 0;
  } catch {
    return false;
  }
}, durationWords);

const sourcesWords = 'a list of streams and recordings, such as ["slate", "/recordings/live-*.mp4"]';
const sources = z.array(z.string(sourcesWords).min(1, sourcesWords), sourcesWords).min(1, sourcesWords);

const fields = {
  sources,
  minOutage: duration.optional(),
  minStable: duration.optional(),
  switch: z.enum(["seamless", "offer"], '"seamless" or "offer"').optional(),
};

/** The names of its fields. */
export const fallbackKeys = Object.keys(fields);

/** `fallback` of a stream: what its viewers are shown while it is offline; a list alone is its `sources`. */
export const fallbackShape = z.preprocess(
  (value) => (Array.isArray(value) ? { sources: value } : value),
  z.strictObject(fields, `${sourcesWords}, or an object with \`sources\`, \`minOutage\`, \`minStable\`, \`switch\``),
);

/** Reads a stream's entry; what does not fit was told when it was checked. */
export function fallbackOf(value: unknown): KeepRule | undefined {
  const read = fallbackShape.safeParse(value);
  if (!read.success) return undefined;
  const { sources: list, minOutage, minStable, switch: how } = read.data;
  return {
    sources: list,
    ...(minOutage !== undefined && { minOutage }),
    ...(minStable !== undefined && { minStable }),
    ...(how !== undefined && { switch: how }),
  };
}
