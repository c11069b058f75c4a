import { z } from "zod";
import { parseNetwork } from "../base/address.ts";
import { allow, deny, type Verdict } from "../base/decision.ts";
import { durationMs } from "../base/time.ts";
import type { Payload } from "../triggers/table.ts";
import { cookieCheck, type CookieCheck } from "./cookie-check.ts";
import { checkedOptions, duration, streamList } from "./options.ts";
import type { Policy } from "./policy.ts";
import { faultOfSigned, signingKeys } from "./signed-url.ts";
import { namePatterns, textPattern } from "./stream-patterns.ts";
import { within } from "./token-rules.ts";

type Question = Payload<"USER_NEW">;

/** Who watches is asked about at most this often, however short a cookie's `ttl` is. */
const leastRecheckMs = 5_000;

const networkWords = 'an address or a network such as "203.0.113.0/24"';
const networks = z
  .array(
    z.string(networkWords).refine((text) => parseNetwork(text) !== undefined, networkWords),
    "a list of addresses and networks",
  )
  .min(1, "a list that is not empty");
const texts = z.array(z.string().min(1), "a list of texts").min(1, "a list that is not empty");
const patternWords = 'a list of patterns such as ["https://example.com/*"]';
const patterns = z.array(z.string(patternWords).min(1, patternWords), patternWords).min(1, patternWords);

/** What a rule may want of who fits it. */
const demands = ["allow", "deny", "signed", "jwt", "cookie"] as const;
const demandWords = `a rule with one of ${demands.join(", ")}`;
const keyWords = 'keys by name, such as { "2026-11": "a secret of 16 characters or more" }';

function isWebAddress(value: unknown): boolean {
  return typeof value === "string" && URL.canParse(value) && /^https?:$/.test(new URL(value).protocol);
}

const rule = z
  .strictObject({
    /** Names the rule in `sluice why`. */
    name: z.string().optional(),
    /* When it decides: all that is said must fit. */
    streams: streamList.optional(),
    addresses: networks.optional(),
    protocols: texts.optional(),
    referer: patterns.optional(),
    origin: patterns.optional(),
    userAgent: patterns.optional(),
    /* What it wants; one of them. */
    allow: z.literal(true, "true").optional(),
    deny: z.union([z.literal(true), z.string().min(1)], "true, or the reason as text").optional(),
    /** Keys by name. The first signs (`sluice sign`), all are taken. */
    signed: z
      .record(z.string().regex(/^[\w.-]{1,64}$/, keyWords), z.string(keyWords).min(16, keyWords), keyWords)
      .refine((keys) => Object.keys(keys).length > 0, keyWords)
      .optional(),
    jwt: z.literal(true, "true").optional(),
    cookie: z
      .strictObject({
        name: z.string().min(1),
        /** A function that gets the cookie and the question, or a URL that is asked with the cookie. */
        check: z.custom<CookieCheck | string>(
          (value) => typeof value === "function" || isWebAddress(value),
          "a function, or the URL of a check",
        ),
        /** A yes to a cookie is remembered for so long, and asked for again about who still watches. Left out: it is asked once. */
        ttl: duration.optional(),
      })
      .optional(),
    /** What who fails is told. */
    reason: z.string().min(1).optional(),
  })
  .refine((one) => demands.filter((demand) => one[demand] !== undefined).length === 1, demandWords);

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
  const [fromPage, fromOrigin, byAgent] = [like(referer), like(origin), like(userAgent)];
  const fits = (question: Question): boolean =>
    onStream(question.stream) &&
    (!addresses || within(addresses, question.host)) &&
    (!protocols || protocols.some((one) => one.toUpperCase() === connectorOf(question).toUpperCase())) &&
    fromPage(question.headers["referer"]) &&
    fromOrigin(question.headers["origin"]) &&
    byAgent(question.headers["user-agent"]);
  return { name: name ?? `rule ${index + 1}`, fits, verdict: demand(rule) };
}

function demand({ allow: yes, deny: no, signed, jwt, cookie, reason }: Rule): Decide["verdict"] {
  if (no !== undefined) return () => deny(reason ?? (no === true ? "you may not watch this" : no));
  if (signed) {
    const keys = signingKeys(signed);
    return ({ asked, host, query }, now) => {
      const fault = faultOfSigned({ stream: asked, address: host, query }, keys, now);
      // The no is not remembered: a fresh address mends it at once, and to look again costs one HMAC.
      return fault === undefined ? allow({ expiresAt: Number(query["expires"]) * 1000 }) : deny(reason ?? fault, { denyFor: 0 });
    };
  }
  // A JWT that holds has let its viewer in before anybody was asked, other rules too: who comes here has none.
  if (jwt) return () => deny(reason ?? "this needs a token (JWT) that holds", { denyFor: "10s" });
  if (cookie) {
    const ttlMs = cookie.ttl === undefined ? 0 : durationMs(cookie.ttl);
    const ask = cookieCheck(cookie.check, ttlMs);
    const yes = allow(ttlMs > 0 ? { recheckEvery: Math.max(ttlMs, leastRecheckMs) } : {});
    return async (question, now, signal) => {
      const value = question.cookies[cookie.name];
      if (value === undefined) return deny(reason ?? "please log in first", { denyFor: 0 });
      return (await ask(value, question, now, signal)) ? yes : deny(reason ?? "please log in first", { denyFor: 0 });
    };
  }
  return yes ? () => allow() : () => deny(reason ?? "you may not watch this");
}

/** What the viewer plays over: of this connection, as a session may have several. */
function connectorOf({ connector, protocol }: Question): string {
  return connector ?? protocol;
}

/** Makes a predicate: the text is like one of the patterns, whatever its case; what is missing is like none. Without patterns: always. */
function like(patterns: readonly string[] | undefined): (text: string | undefined) => boolean {
  if (!patterns) return () => true;
  const fits = patterns.map((one) => textPattern(one, "i"));
  return (text) => text !== undefined && fits.some((one) => one(text));
}
