import type { IncomingMessage } from "node:http";
import { z } from "zod";
import { messageOf, SluiceError } from "../../../base/errors.ts";
import { readBody } from "../../body.ts";
import { expected } from "./expected.ts";

const mostBytes = 1024 * 1024;

export type CheckedPart = "path" | "query" | "body";

/** Checks a part of a request. Throws "input.invalid" that names the fields and what may stand there, in the schema's words or those of `expected`; its `cause` lists them. */
export function checked<S extends z.ZodType>(schema: S, value: unknown, part: CheckedPart): z.output<S> {
  const result = schema.safeParse(value, { error: expected });
  if (result.success) return result.data;
  const words = result.error.issues.slice(0, 5).map((issue) => {
    if (issue.code === "unrecognized_keys") return `${issue.keys.slice(0, 5).join(", ")}: there is no such field`;
    return `${issue.path.join(".") || `the ${part}`} must be ${issue.message}`;
  });
  const cause = new z.ZodError(result.error.issues.map((issue) => ({ ...issue, path: [part, ...issue.path] })));
  throw new SluiceError("input.invalid", words.join("; "), { cause });
}

/** The query's parameters, each given once. Throws "input.invalid". */
export function queryOf(search: URLSearchParams): Readonly<Record<string, string>> {
  const values = new Map<string, string>();
  for (const [name, value] of search) {
    if (values.has(name)) throw new SluiceError("input.invalid", `${name} is given twice; give it once`);
    values.set(name, value);
  }
  return Object.fromEntries(values);
}

/**
 * Reads a body of JSON (`application/json`, or a form of it such as `application/merge-patch+json`). Throws "input.invalid" or
 * "input.oversized". A foreign page cannot send JSON without being asked whether it may.
 */
export async function jsonOf(incoming: IncomingMessage): Promise<unknown> {
  if (!/^application\/([\w.-]+\+)?json\s*(;|$)/i.test(incoming.headers["content-type"] ?? "")) {
    throw new SluiceError("input.invalid", "Send the body as JSON, with Content-Type: application/json");
  }
  const text = await readBody(incoming, mostBytes);
  if (text === undefined) throw new SluiceError("input.oversized", `A body has at most ${mostBytes} bytes`);
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new SluiceError("input.invalid", `The body is no valid JSON: ${positionOf(error)}`, { cause: error });
  }
}

/** Where the JSON is wrong, without the text itself: it may hold a password. */
function positionOf(error: unknown): string {
  return /at position \d+( \(line \d+ column \d+\))?|Unexpected end of JSON input/.exec(messageOf(error))?.[0] ?? "it cannot be read";
}
