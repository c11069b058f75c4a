import { z } from "zod";
import type { LimitRule } from "../access/limits/limit.ts";
import { SluiceError } from "../base/errors.ts";
import { type Duration, durationMs } from "../base/time.ts";
import { describeProblem, describeUnknown, fieldPath } from "./problem.ts";

const mostLimits = 200;
const mostReason = 500;

const whole = (least: number, words: string) => z.number(words).int(words).min(least, words).max(Number.MAX_SAFE_INTEGER, words);
const bits = (words: string) => z.number(words).min(1, words).max(1e15, words);
const egressWords = "bits per second, a number from 1 on";
const prefixBits = (most: number) => {
  const words = `a number of bits from 0 to ${most}`;
  return z.number(words).int(words).min(0, words).max(most, words).optional();
};
const streamWords = "the name of a stream, `live+`, a pattern with `*`, or `#tag`";
const safeWords = "a part from 0 to 1";
const reachedWords = 'refuse, end-oldest, or an object such as { "fallback": "slate" }';
const waitWords = 'milliseconds, or a duration such as "30s"';
const reasonWords = `a text of 1 to ${mostReason} characters without control characters`;

/** A limit as the configuration and the API have it. `by` user, token and address have no rates: those belong to streams. */
export const limitRuleSchema = z
  .strictObject(
    {
      by: z
        .enum(["user", "token", "address", "stream", "server"], "one of user, token, address, stream, server")
        .meta({ description: "In whose name is counted; each name has its own count. `server`: all that `streams` takes, together." }),
      prefix: z
        .strictObject({ ipv4: prefixBits(32), ipv6: prefixBits(128) }, "an object with `ipv4` and `ipv6`, numbers of bits")
        .optional()
        .meta({ description: "With `by: address`: how many bits of it count; left out, all." }),
      streams: z
        .array(z.string(streamWords).min(1, streamWords).max(200, streamWords), "a list of streams")
        .min(1, "a list of one stream or more; leave it out for all")
        .max(100, "a list of at most 100 streams")
        .optional()
        .meta({ description: "Streams that it is for: names, `base+`, patterns with `*`, `#tag`. Left out: all." }),
      sessions: whole(1, "a whole number from 1 on").optional().meta({ description: "Viewers at the same time." }),
      egress: bits(egressWords).optional().meta({ description: "Bits per second to viewers." }),
      ingest: bits(egressWords).optional().meta({ description: "Bits per second from publishers." }),
      safe: z
        .number(safeWords)
        .min(0, safeWords)
        .max(1, safeWords)
        .optional()
        .meta({ description: "Once reached it holds until this part of it; left out: 1 for sessions, 0.9 for rates." }),
      onReached: z
        .union(
          [
            z.enum(["refuse", "end-oldest"], reachedWords),
            z.strictObject({ fallback: z.string(reachedWords).min(1, reachedWords) }, reachedWords),
          ],
          reachedWords,
        )
        .optional()
        .meta({ description: "Left out: refuse." }),
      reason: z
        .string(reasonWords)
        .min(1, reasonWords)
        .max(mostReason, reasonWords)
        .refine((text) => !/\p{Cc}/u.test(text), reasonWords)
        .optional()
        .meta({ description: "What the refused client is told." }),
      retryAfter: z
        .union([z.number(waitWords), z.string(waitWords)], waitWords)
        .refine(isDuration, waitWords)
        .optional()
        .meta({ description: "How long the refused client is told to wait, in milliseconds or as a duration." }),
    },
    "an object with `by` and `sessions`, `egress` or `ingest`",
  )
  .superRefine((rule, context) => {
    const wrong = (path: string, message: string): void => context.addIssue({ code: "custom", path: [path], message, input: rule });
    const rates = rule.egress !== undefined || rule.ingest !== undefined;
    if (rule.sessions === undefined && !rates) wrong("sessions", "there, or `egress`, or `ingest`: what is limited");
    if (rates && rule.by !== "stream" && rule.by !== "server") wrong("by", "stream or server, as `egress` and `ingest` count nothing else");
    if (rule.prefix !== undefined && rule.by !== "address") wrong("prefix", 'left out unless `by` is "address"');
    if (typeof rule.onReached === "object" && rule.sessions === undefined && rule.egress === undefined)
      wrong("onReached", "refuse or end-oldest: a publisher cannot be sent elsewhere");
  })
  .meta({ id: "LimitRule" });

/** The fields of a limit. */
export const limitKeys = Object.keys(limitRuleSchema.shape);

/** `limits` of our own shape. */
export const limitsSchema = z
  .record(z.string(), limitRuleSchema, "an object with names of limits as keys")
  .refine((limits) => Object.keys(limits).length <= mostLimits, `at most ${mostLimits} limits`)
  .superRefine((limits, context) => {
    for (const name of Object.keys(limits)) {
      const message = problemOfLimitName(name);
      if (message !== undefined) context.addIssue({ code: "custom", path: [name], message, input: limits });
    }
  });

/** What is wrong with the name of a limit; undefined if nothing is. It stands in URLs, metrics and messages. */
export function problemOfLimitName(name: string): string | undefined {
  return /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/.test(name)
    ? undefined
    : "named with 1 to 64 letters, digits, `_`, `.` and `-`, and with a letter or digit first";
}

/** Reads one limit. Throws "config.invalid" that names the field. */
export function readLimit(name: string, value: unknown, where: string, path: readonly PropertyKey[] = ["limits", name]): LimitRule {
  const wrong = problemOfLimitName(name);
  if (wrong !== undefined) throw new SluiceError("config.invalid", `${where}: ${fieldPath(path)} must be ${wrong}`);
  const result = limitRuleSchema.safeParse(value);
  if (result.success) return result.data as LimitRule;
  const lines = result.error.issues.flatMap((issue) => {
    const field = [...path, ...issue.path];
    if (issue.code === "unrecognized_keys") return issue.keys.map((key) => describeUnknown([...field, key], keysAt(issue.path)));
    return [describeProblem(field, valueAt(value, issue.path), issue.message)];
  });
  throw new SluiceError("config.invalid", lines.map((line) => `${where}: ${line}`).join("\n"));
}

/** Reads all limits of a configuration in MistServer's shape, which has none of its own. */
export function readLimits(value: unknown, where: string, path: readonly PropertyKey[]): Readonly<Record<string, LimitRule>> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new SluiceError("config.invalid", `${where}: ${describeProblem(path, value, "an object with names of limits as keys")}`);
  return Object.fromEntries(Object.entries(value).map(([name, rule]) => [name, readLimit(name, rule, where, [...path, name])]));
}

/** The fields that a limit may have at this place in it. */
export function keysAt(path: readonly PropertyKey[]): readonly string[] {
  if (path.at(-1) === "prefix") return ["ipv4", "ipv6"];
  return path.at(-1) === "onReached" ? ["fallback"] : limitKeys;
}

function isDuration(value: number | string): boolean {
  try {
    durationMs(value as Duration);
    return true;
  } catch {
    return false;
  }
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let value = root;
  for (const part of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Record<PropertyKey, unknown>)[part];
  }
  return value;
}
