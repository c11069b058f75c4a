import type { SluiceError } from "./errors.ts";

/**
 * What the head of an HTTP answer says of a refusal: when to come back (RFC 9110 section 10.2.3, whole seconds, at least
 * one), and the number of the decision, by which the operator finds out why.
 */
export function refusalHeaders({ retryAfterMs, decisionId }: Pick<SluiceError, "retryAfterMs" | "decisionId">): Record<string, string> {
  const headers: Record<string, string> = {};
  if (retryAfterMs !== undefined) headers["Retry-After"] = String(retryAfterSeconds(retryAfterMs));
  if (decisionId !== undefined) headers["X-Sluice-Decision"] = decisionId;
  return headers;
}

export function retryAfterSeconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000));
}
