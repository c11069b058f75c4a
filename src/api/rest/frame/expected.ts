import type { z } from "zod";

const kinds: Readonly<Record<string, string>> = {
  string: "a text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  null: "null",
  array: "a list",
  object: "an object",
  record: "an object",
};

/**
 * What may stand after "must be" for a schema without own words, instead of zod's ("Invalid input: expected string, received number").
 * It never repeats what was sent.
 */
export function expected(issue: z.core.$ZodRawIssue): string {
  switch (issue.code) {
    case "invalid_type":
      return kinds[issue.expected] ?? `of the kind ${issue.expected}`;
    case "invalid_value":
      return `${issue.values.length > 1 ? "one of " : ""}${issue.values.map((value) => JSON.stringify(value)).join(", ")}`;
    case "too_small":
      return sized(issue.origin, "at least", issue.minimum, issue.inclusive);
    case "too_big":
      return sized(issue.origin, "at most", issue.maximum, issue.inclusive);
    case "not_multiple_of":
      return `a multiple of ${issue.divisor}`;
    case "invalid_union": {
      const choices = issue.errors.map(([first]) =>
        first === undefined || first.path.length === 0 ? first?.message : `right at ${first.path.join(".")} (${first.message})`,
      );
      return [...new Set(choices.filter((words) => words !== undefined))].join(", or ") || "something else";
    }
    default:
      return "something else; GET /api/v1/openapi.json says what";
  }
}

function sized(origin: string, bound: "at least" | "at most", limit: number | bigint, inclusive = true): string {
  const words = inclusive ? `${bound} ${limit}` : `${bound === "at least" ? "more" : "less"} than ${limit}`;
  if (origin === "string") return `a text of ${words} characters`;
  if (origin === "array") return `a list with ${words} ${limit === 1 ? "item" : "items"}`;
  return words;
}
