import { z } from "zod";
import { allow, deny, type Verdict } from "../base/decision.ts";
import { durationMs } from "../base/time.ts";
import type { Payload } from "../triggers/table.ts";
import { cookieCheck, type CookieCheck } from "./cookie-check.ts";
import { checkedOptions, duration, streamList } from "./options.ts";
import type { Policy } from "./policy.ts";
import { faultOfSigned, signingKeys } from "./signed-url.ts";
import { namePatterns } from "./stream-patterns.ts";
import { within } from "./token-rules.ts";

type Question = Payload<"USER_NEW">;

const texts = z.array(z.string().min(1), "a list of texts").min(1, "a list that is not empty");
const patternWords = 'a list of patterns such as ["https://example.com/*"]';
const patterns = z.array(z.string(patternWords).min(1, patternWords), patternWords).min(1, patternWords);

const rule = z.strictObject({
  /** Names the rule in `sluice why`. */
  name: z.string().optional(),
  /* When it decides: all that is said must fit. */
  streams: streamList.optional(),
  addresses: texts.optional(),
  protocols: texts.optional(),
  referer: patterns.optional(),
  origin: patterns.optional(),
  userAgent: patterns.optional(),
  /* What it wants; one of them. */
  allow: z.literal(true, "true").optional(),
  deny: z.union([z.literal(true), z.string().min(1)], "true, or the reason as text").optional(),
  signed: z
    .record(
      z.string().regex(/^[\w.-]{1,64}$/),
      z.string().min(16),
      'keys by name, such as { "2026-11": "a secret of 16 characters or more" }',
    )
    .optional(),
  jwt: z.literal(true, "true").optional(),
  cookie: z
    .strictObject({
      name: z.string().min(1),
      /** A function that gets the cookie and the question, or a URL that is asked with the cookie. */
      check: z.union([z.custom<CookieCheck>((value) => typeof value === "function"), z.url()], "a function, or the URL of a check"),
      /** A yes to a cookie is remembered for so long. */
      ttl: duration.optional(),
    })
    .optional(),
  /** What who fails is told. */
  reason: z.string().min(1).optional(),
});

const schema = z.strictObject({
  rules: z.array(rule, "a list of rules").min(1, "a list with one rule at least"),
  /** What holds for who fits no rule. Left out: no. */
  otherwise: z.enum(["allow", "deny"], '"allow" or "deny"').optional(),
});

export type AccessControlOptions = z.input<typeof schema>;
type Rule = z.output<typeof rule>;
type Decide = {
  readonly name: string;
  readonly fits: (question: Question) => boolean;
  readonly verdict: (question: Question, now: number, signal: AbortSignal) => Promise<Verdict> | Verdict;
};

/** Rules for who may watch what; the first that fits decides, and `sluice why` names it. */
export function accessControl(options: AccessControlOptions): Policy {
  const { rules, otherwise = "deny" } = checkedOptions("accessControl", schema, options);
  const decided = rules.map(compiled);
  return {
    name: "accessControl",
    options,
    start: ({ on, clock }) =>
      on(
        "USER_NEW",
        async (question, { signal }) => {
          const rule = decided.find(({ fits }) => fits(question));
          if (!rule)
            return otherwise === "allow"
              ? allow({ note: "accessControl: no rule fits" })
              : deny("you may not watch this", { note: "accessControl: no rule fits" });
          return { ...(await rule.verdict(question, clock.now(), signal)), note: `accessControl: ${rule.name}` };
        },
        { onFail: deny("access cannot be checked now; try again in a moment") },
      ),
  };
}

function compiled(rule: Rule, index: number): Decide {
  const { streams, addresses, protocols, referer, origin, userAgent, name } = rule;
  const onStream = namePatterns(streams);
  const fits = (question: Question): boolean =>
    onStream(question.stream) &&
    (!addresses || within(addresses, question.host)) &&
    (!protocols || protocols.some((one) => one.toUpperCase() === question.protocol.toUpperCase())) &&
    (!referer || like(referer, question.headers["referer"])) &&
    (!origin || like(origin, question.headers["origin"])) &&
    (!userAgent || like(userAgent, question.headers["user-agent"]));
  return { name: name ?? `rule ${index + 1}`, fits, verdict: demand(rule) };
}

function demand({ allow: yes, deny: no, signed, jwt, cookie, reason }: Rule): Decide["verdict"] {
  if (no !== undefined) return () => deny(reason ?? (no === true ? "you may not watch this" : no));
  if (signed) {
    const keys = signingKeys(signed);
    return ({ asked, host, query }, now) => {
      const fault = faultOfSigned({ stream: asked, address: host, query }, keys, now);
      // A signature may be mended at once, by a new address: nobody has to wait for the no to be forgotten.
      return fault === undefined ? allow({ expiresAt: Number(query["expires"]) * 1000 }) : deny(reason ?? fault, { denyFor: "10s" });
    };
  }
  // A JWT that holds has let its viewer in before anybody was asked: who comes here has none.
  if (jwt) return () => deny(reason ?? "this needs a token (JWT) that holds", { denyFor: "10s" });
  if (cookie) {
    const ask = cookieCheck(cookie.check, cookie.ttl === undefined ? 0 : durationMs(cookie.ttl));
    return async (question, now, signal) => {
      const value = question.cookies[cookie.name];
      if (value === undefined) return deny(reason ?? "please log in first", { denyFor: 0 });
      return (await ask(value, question, now, signal)) ? allow() : deny(reason ?? "please log in first", { denyFor: "10s" });
    };
  }
  return yes ? () => allow() : () => deny(reason ?? "you may not watch this");
}

/** True if the text is like one of the patterns, in which `*` is any text; what is missing is like none. */
function like(patterns: readonly string[], text: string | undefined): boolean {
  if (text === undefined) return false;
  return patterns.some((one) =>
    new RegExp(
      `^${one
        .split("*")
        .map((part) => part.replace(/[\\^$.|?+()[\]{}]/g, "\\$&"))
        .join(".*")}$`,
      "is",
    ).test(text),
  );
}
