import { createHash } from "node:crypto";
import type { Payload } from "../triggers/table.ts";

type Question = Payload<"USER_NEW">;

/** The operator's own look at a cookie. */
export type CookieCheck = (value: string, question: Question) => boolean | Promise<boolean>;

/** Answers that are remembered, by the hash of the cookie. */
const mostKnown = 50_000;
/** A no is remembered so long: who tries again and again does not become a flood of questions. */
const noMs = 5_000;

/**
 * Makes a check of a function, or of a URL that is asked with the cookies as the browser sent them: 2xx is yes, 401, 403 and 404 are no,
 * and everything else is a failure, which rejects. A yes is remembered for `ttlMs`, for its stream.
 */
export function cookieCheck(
  check: CookieCheck | string,
  ttlMs: number,
): (value: string, question: Question, now: number, signal: AbortSignal) => Promise<boolean> {
  const known = new Map<string, { readonly good: boolean; readonly until: number }>();
  return async (value, question, now, signal) => {
    const key = createHash("sha256").update(`${value}\n${question.stream}`).digest("base64");
    const before = known.get(key);
    if (before && before.until > now) return before.good;
    const good = typeof check === "string" ? await asked(check, question, signal) : await check(value, question);
    known.delete(key);
    const keptMs = good ? ttlMs : noMs;
    if (keptMs > 0) known.set(key, { good, until: now + keptMs });
    if (known.size > mostKnown) for (const oldest of known.keys()) return (known.delete(oldest), good);
    return good;
  };
}

async function asked(address: string, { stream, host, headers, url }: Question, signal: AbortSignal): Promise<boolean> {
  const target = new URL(address);
  target.searchParams.set("stream", stream);
  const response = await fetch(target, {
    signal,
    redirect: "error",
    headers: { cookie: headers["cookie"] ?? "", "x-forwarded-for": host, "x-original-url": url, accept: "application/json" },
  });
  await response.body?.cancel();
  if (response.ok) return true;
  if ([401, 403, 404].includes(response.status)) return false;
  throw new Error(`the check of cookies answered with status ${response.status}`);
}
