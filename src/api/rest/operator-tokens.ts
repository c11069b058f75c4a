import { z } from "zod";
import { parseNetwork } from "../../base/address.ts";
import { SluiceError } from "../../base/errors.ts";
import { durationMs } from "../../base/time.ts";
import { signingKeys } from "../../policies/signed-url.ts";
import { namePatterns } from "../../policies/stream-patterns.ts";
import { createSigned } from "../../policies/view-token-reader.ts";
import type { TokenKind, TokenRecord, TokenSpec } from "../../store/token-book.ts";
import type { ApiParts } from "../parts.ts";
import { cursorAfter, pageQuery, pageSchema, readCursor } from "./frame/page.ts";
import { type Route, route } from "./route.ts";

const longestMs = 100 * 365 * 86_400_000;
const lifeWords = 'a duration such as "30d", "12h" or "15m"';
const life = z.string(lifeWords).refine(isDuration, lifeWords);
const moment = z.int("Unix milliseconds").positive("Unix milliseconds").max(8.64e15, "Unix milliseconds");
const whole = z.int("a whole number from 1 on").min(1, "a whole number from 1 on");
const addressWords = 'an address or a network such as "203.0.113.0/24"';
const streamWords = "a text of 1 to 100 characters";

const shared = {
  stream: z.string(streamWords).min(1, streamWords).max(100, streamWords),
  label: z.string("a text").max(200, "a text of at most 200 characters").optional().meta({ description: "For people." }),
  notBefore: moment.optional(),
  uses: whole.optional().meta({ description: "How often it may be used. Left out: without end." }),
  addresses: z
    .array(z.string(addressWords).refine((text) => parseNetwork(text) !== undefined, addressWords))
    .min(1)
    .max(100)
    .optional()
    .meta({ description: "Who may use it. Left out: everybody." }),
  protocols: z.array(z.string().min(1).max(30)).min(1).max(20).optional().meta({ description: "Over what: RTMP, HLS, FLV, ..." }),
  metadata: z.record(z.string(), z.unknown()).optional().meta({ description: "The site's own; it is only kept." }),
};

const ofKind = {
  push: { whenTaken: z.enum(["refuse", "take-over", "backup"], "refuse, take-over or backup").optional() },
  view: {
    sessions: whole.optional().meta({ description: "Viewers at the same time." }),
    lifetime: life.optional().meta({ description: "How long it holds from its first use on." }),
    grace: life.optional().meta({ description: "Who was in may come back within this without another use." }),
    bind: z
      .strictObject({ to: z.enum(["address", "device"]), how: z.enum(["soft", "strict"]) })
      .optional()
      .meta({ description: "To whom it is bound by its first use: `strict` refuses others, `soft` takes a use for each change." }),
    whenTaken: z.enum(["refuse", "take-over"], "refuse or take-over").optional(),
    signed: z.boolean().optional().meta({
      description:
        "It says itself what it is for, signed with a key of the policy viewTokens, and is looked up nowhere if it has no other limit than its end.",
    }),
  },
} as const;

const view = z
  .object({
    id: z.string().meta({ description: "Names the token without being it." }),
    hint: z.string().meta({ description: "Its first characters." }),
    ...shared,
    createdAt: z.number(),
    expiresAt: z.number().optional(),
    used: z.number(),
    sessions: z.number().optional(),
    lifetimeMs: z.number().optional(),
    graceMs: z.number().optional(),
    bind: z.object({ to: z.string(), how: z.string() }).optional(),
    whenTaken: z.string().optional(),
    signed: z.boolean().optional(),
    firstUsedAt: z.number().optional(),
    revokedAt: z.number().optional(),
  })
  .meta({ id: "OperatorToken" });
const made = view
  .extend({ token: z.string().meta({ description: "The token itself. It is shown here, and not again." }) })
  .meta({ id: "CreatedOperatorToken" });
const byId = z.strictObject({ id: z.string() });
const example = { id: "0mhd3k2a1x9f0q", hint: "k7mq", stream: "live", label: "camera 1", createdAt: 1_767_225_600_000, used: 0 } as const;

type TokenParts = Pick<ApiParts, "tokenBook" | "clock" | "log" | "policies">;

/** `/push-tokens` and `/view-tokens`: what the policies pushTokens and viewTokens take. */
export function operatorTokenRoutes(parts: TokenParts): readonly Route[] {
  return [...routesOf("push", parts), ...routesOf("view", parts)];
}

function routesOf(kind: TokenKind, { tokenBook, clock, log, policies }: TokenParts): readonly Route[] {
  const path = `/${kind}-tokens`;
  const Kind = kind === "push" ? "Push" : "View";
  const what = kind === "push" ? "push" : "view";
  const wanted = z
    .strictObject({
      ...shared,
      ...ofKind[kind],
      expiresIn: life.optional().meta({ description: `How long it holds, ${lifeWords}. Left out: until it is revoked.` }),
      expiresAt: moment.optional().meta({ description: "The same as a moment, Unix milliseconds." }),
      short: z.boolean().optional().meta({ description: "At most 24 characters, for encoders with short limits." }),
    })
    .refine(
      ({ expiresIn, expiresAt }) => expiresIn === undefined || expiresAt === undefined,
      "an object with expiresIn or expiresAt, not with both",
    )
    .meta({ id: `New${Kind}Token` });
  const find = async (id: string): Promise<TokenRecord> => {
    const found = await tokenBook.get(id);
    if (found?.kind === kind) return found;
    throw new SluiceError("api.unknown", `There is no ${what} token with the id ${id}`);
  };
  const base = { tag: `${kind}-tokens`, scope: "admin" } as const;
  return [
    route({
      ...base,
      method: "get",
      path,
      operationId: `list${Kind}Tokens`,
      summary: `Tokens to ${what}, oldest first, those that are over too`,
      query: z.strictObject({ ...pageQuery, stream: z.string().optional() }),
      response: pageSchema(view),
      example: { items: [example] },
      async run({ query: { limit, cursor, stream } }) {
        const after = cursor === undefined ? undefined : String(readCursor(cursor)[0]);
        const found = await tokenBook.list({
          kind,
          limit: limit + 1,
          ...(stream !== undefined && { stream }),
          ...(after !== undefined && { after }),
        });
        const items = found.slice(0, limit);
        const last = items.at(-1);
        return { body: { items: items.map(viewOf), ...(last && found.length > limit && { next: cursorAfter([last.id]) }) } };
      },
    }),
    route({
      ...base,
      method: "post",
      path,
      operationId: `create${Kind}Token`,
      summary: `Make a token to ${what}; its text is in this answer alone`,
      status: 201,
      body: wanted,
      bodyExample: { stream: "live", expiresIn: "7d" },
      response: made,
      example: { ...example, token: "k7mqx2vbwfhnpdyczt5rejsglaiou3k4" },
      async run({ body }) {
        const { signed = false, ...rest } = body as Wanted & { readonly signed?: boolean };
        const spec = specOf(kind, rest, clock.now());
        const { record, token } = await (signed ? createSigned(tokenBook, spec, keysFor(spec.stream, policies())) : tokenBook.create(spec));
        log.write("AUTH", `A token to ${what} was made through the API: ${record.id}`, { stream: record.stream });
        return { body: { ...viewOf(record), token }, headers: { location: `/api/v1${path}/${record.id}` } };
      },
    }),
    route({
      ...base,
      method: "get",
      path: `${path}/{id}`,
      operationId: `get${Kind}Token`,
      summary: "One token, without its text",
      params: byId,
      response: view,
      example,
      async run({ params: { id } }) {
        return { body: viewOf(await find(id)) };
      },
    }),
    route({
      ...base,
      method: "delete",
      path: `${path}/{id}`,
      operationId: `revoke${Kind}Token`,
      summary:
        kind === "push" ? "Revoke a token; a push that came with it ends at once" : "Revoke a token; who watches with it is ended at once",
      params: byId,
      async run({ params: { id } }) {
        await find(id);
        if (!(await tokenBook.revoke(id, clock.now()))) throw new SluiceError("api.conflict", `The token ${id} was revoked before`);
        log.write("AUTH", `A token to ${what} was revoked through the API: ${id}`);
        return {};
      },
    }),
  ];
}

type Wanted = {
  readonly expiresIn?: string | undefined;
  readonly lifetime?: string | undefined;
  readonly grace?: string | undefined;
} & Omit<{ readonly [K in keyof TokenSpec]?: TokenSpec[K] | undefined }, "kind" | "stream"> & { readonly stream: string };

/** What the store takes of what was wanted at `now`. Throws "input.invalid". */
export function specOf(kind: TokenKind, { expiresIn, lifetime, grace, ...rest }: Wanted, now: number): TokenSpec {
  const expiresAt = expiresIn === undefined ? rest.expiresAt : now + msOf(expiresIn);
  if (expiresAt !== undefined && expiresAt <= now) throw new SluiceError("input.invalid", "expiresAt must be later than now");
  const said = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)) as Omit<TokenSpec, "kind">;
  return {
    ...said,
    kind,
    ...(expiresAt !== undefined && { expiresAt }),
    ...(lifetime !== undefined && { lifetimeMs: msOf(lifetime) }),
    ...(grace !== undefined && { graceMs: msOf(grace) }),
  };
}

/** The keys of the first policy viewTokens that has some for the stream. Throws "api.conflict". */
function keysFor(stream: string, policies: ReturnType<ApiParts["policies"]>): ReturnType<typeof signingKeys> {
  for (const { policy } of policies) {
    const { keys, streams } = policy.options as {
      readonly keys?: Readonly<Record<string, string>>;
      readonly streams?: readonly string[];
    };
    if (policy.name === "viewTokens" && keys && namePatterns(streams)(stream)) return signingKeys(keys);
  }
  throw new SluiceError("api.conflict", "There is no key to sign with: no policy viewTokens that is for this stream has `keys`");
}

function viewOf({ kind: _kind, boundTo: _boundTo, ...record }: TokenRecord & { readonly signed?: true }): z.output<typeof view> {
  return { ...record, ...(record.signed && { hint: "signed" }) } as z.output<typeof view>;
}

function msOf(text: string): number {
  return durationMs(text as `${number}s`);
}

function isDuration(text: string): boolean {
  try {
    const ms = msOf(text);
    return ms > 0 && ms <= longestMs;
  } catch {
    return false;
  }
}
