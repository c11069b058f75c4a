import { z } from "zod";
import { type ErrorCode, errorCodes, isSluiceError } from "../../../base/errors.ts";

/** Media type of RFC 9457. */
export const problemType = "application/problem+json";

/** An answer that is an error (RFC 9457). */
export const problemSchema = z
  .object({
    type: z.string().meta({ description: "A name of the kind of error: `urn:sluice:error:` and the code." }),
    title: z.string().meta({ description: "What the code means; the same words each time." }),
    status: z.int().meta({ description: "The HTTP status." }),
    detail: z.string().meta({ description: "What was wrong, where, and what would be right." }),
    error: z.string().meta({ description: "The same as `detail`." }),
    code: z.enum(Object.keys(errorCodes) as [ErrorCode, ...ErrorCode[]]).meta({ description: "Stable, for programs." }),
    errors: z
      .array(z.object({ in: z.enum(["path", "query", "body"]), path: z.string(), message: z.string() }))
      .optional()
      .meta({ description: "Which fields were wrong." }),
    retryAfter: z.int().optional().meta({ description: "Seconds until another try may go better." }),
    decision: z.string().optional().meta({ description: "The number of the decision, for `sluice why`." }),
  })
  .meta({ id: "Problem" });
export type Problem = z.infer<typeof problemSchema>;

/** The problem document of anything that was thrown. What is no `SluiceError` tells nothing: it may hold a secret. */
export function problemOf(error: unknown): Problem {
  if (!isSluiceError(error)) return document("server.failed", "The request could not be handled; the log says more.");
  const { code, message, retryAfterMs, decisionId, cause } = error;
  return {
    ...document(code, message),
    ...(cause instanceof z.ZodError && { errors: fieldsOf(cause) }),
    ...(retryAfterMs !== undefined && { retryAfter: Math.ceil(retryAfterMs / 1000) }),
    ...(decisionId !== undefined && { decision: decisionId }),
  };
}

function document(code: ErrorCode, detail: string): Problem {
  const { status, meaning } = errorCodes[code];
  // What this code means for a sender of media says nothing to a caller.
  const title = code === "input.invalid" ? "The request is not valid." : meaning;
  return { type: `urn:sluice:error:${code}`, title, status, detail, error: detail, code };
}

/** From an error of `checked`: the first part of each path says where the value came from. */
function fieldsOf(error: z.ZodError): NonNullable<Problem["errors"]> {
  return error.issues.slice(0, mostFields).flatMap((issue) => {
    const [from, ...path] = issue.path.map(String);
    const at = { in: from === "path" || from === "query" ? from : "body" } as const;
    if (issue.code !== "unrecognized_keys") return [{ ...at, path: path.join("."), message: `must be ${issue.message}` }];
    return issue.keys.slice(0, mostFields).map((key) => ({ ...at, path: [...path, key].join("."), message: "there is no such field" }));
  });
}

const mostFields = 20;
