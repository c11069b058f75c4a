import { z } from "zod";
import { SluiceError } from "../base/errors.ts";
import { type Duration, durationMs } from "../base/time.ts";

/** A list of stream names and patterns, as in a handler's `streams`. */
export const streamList = z.array(z.string().min(1), 'a list of stream names and patterns, such as ["live", "live+"]');

export const duration = z.custom<Duration>((value) => {
  try {
    return durationMs(value as Duration) >= 0;
  } catch {
    return false;
  }
}, 'milliseconds, or a text such as "30s"');

export const count = z.number("a whole number from 1 on").int("a whole number from 1 on").min(1, "a whole number from 1 on");

/** Checks a policy's options. Throws "config.invalid" that names the option and what may stand there. */
export function checkedOptions<S extends z.ZodType>(policy: string, schema: S, options: unknown): z.output<S> {
  const result = schema.safeParse(options ?? {});
  if (result.success) return result.data;
  const words = result.error.issues.slice(0, 5).map((issue) => {
    const path = [policy, ...issue.path].map(String).join(".");
    if (issue.code === "unrecognized_keys") return `${path} has no option ${issue.keys.map((key) => `"${key}"`).join(", ")}`;
    return `${path} must be ${issue.message}`;
  });
  throw new SluiceError("config.invalid", words.join("; "));
}
