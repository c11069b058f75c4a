import { z } from "zod";
import { SluiceError } from "../../base/errors.ts";
import { durationMs } from "../../base/time.ts";
import { accountScopes } from "../../config/account.ts";
import type { ApiToken } from "../auth/api-tokens.ts";
import type { ApiParts } from "../parts.ts";
import { pageOf, pageQuery, pageSchema } from "./frame/page.ts";
import { type Route, route } from "./route.ts";

const tag = "tokens";
const kind = z.literal("api").meta({ description: "What it is for: calls of this API." });
const byId = z.strictObject({ id: z.string() });
const nameWords = "a text of 1 to 100 characters";
const longestMs = 100 * 365 * 86_400_000;
const lifeWords = 'a duration such as "30d", "12h" or "15m"';
const token = z
  .object({
    id: z.string().meta({ description: "Names the token without being it." }),
    kind,
    name: z.string(),
    scope: z.enum(accountScopes),
    createdAt: z.number().meta({ description: "Unix milliseconds, as are the others." }),
    expiresAt: z.number().optional().meta({ description: "Left out: it holds until it is revoked." }),
    lastUsedAt: z.number().optional().meta({ description: "To the minute; left out: never." }),
  })
  .meta({ id: "Token" });
const madeToken = token
  .extend({ token: z.string().meta({ description: "The token itself. It is shown here, and not again." }) })
  .meta({ id: "CreatedToken" });
const wanted = z
  .strictObject({
    kind: kind.default("api"),
    name: z.string(nameWords).min(1, nameWords).max(100, nameWords).meta({ description: "For people: who has it." }),
    scope: z.enum(accountScopes, `one of ${accountScopes.join(", ")}`),
    expiresIn: z
      .string(lifeWords)
      .refine(isDuration, lifeWords)
      .optional()
      .meta({ description: `How long it holds, ${lifeWords}. Left out: until it is revoked.` }),
    expiresAt: z
      .int("Unix milliseconds")
      .positive("Unix milliseconds")
      .max(8.64e15, "Unix milliseconds")
      .optional()
      .meta({ description: "The same as a moment, Unix milliseconds." }),
  })
  .refine(
    ({ expiresIn, expiresAt }) => expiresIn === undefined || expiresAt === undefined,
    "an object with expiresIn or expiresAt, not with both",
  )
  .meta({ id: "NewToken" });
const example = {
  id: "5f0c2d9a4b7e1c36",
  kind: "api",
  name: "monitoring",
  scope: "read",
  createdAt: 1_767_225_600_000,
  expiresAt: 1_769_817_600_000,
} as const;

/** `/tokens`: bearer tokens of this API. */
export function tokenRoutes({ apiTokens, clock, log }: Pick<ApiParts, "apiTokens" | "clock" | "log">): readonly Route[] {
  return [
    route({
      method: "get",
      path: "/tokens",
      operationId: "listTokens",
      summary: "Tokens, oldest first, those that are over too",
      tag,
      scope: "admin",
      query: z.strictObject({ ...pageQuery, kind: kind.optional() }),
      response: pageSchema(token),
      example: { items: [example] },
      async run({ query }) {
        const page = pageOf(await apiTokens.list(), query, ({ createdAt, id }) => [createdAt, id]);
        return { body: { ...page, items: page.items.map(viewOf) } };
      },
    }),
    route({
      method: "post",
      path: "/tokens",
      operationId: "createToken",
      summary: "Make a token; its text is in this answer alone",
      tag,
      scope: "admin",
      status: 201,
      body: wanted,
      bodyExample: { name: "monitoring", scope: "read", expiresIn: "30d" },
      response: madeToken,
      example: { ...example, token: "sluice_hJt6v0b6m0C0p7m0d3fEo6hG1s8kTq2rYw4uXn5zAbc" },
      async run({ body: { name, scope, expiresIn, expiresAt } }) {
        const now = clock.now();
        const end = expiresIn === undefined ? expiresAt : now + durationMs(expiresIn as `${number}s`);
        if (end !== undefined && end <= now) throw new SluiceError("input.invalid", "expiresAt must be later than now");
        const { token: made, text } = await apiTokens.create({ name, scope, expiresAt: end });
        log.write("AUTH", `A token with the scope ${scope} was made through the API: ${made.id}`);
        return { body: { ...viewOf(made), token: text }, headers: { location: `/api/v1/tokens/${made.id}` } };
      },
    }),
    route({
      method: "get",
      path: "/tokens/{id}",
      operationId: "getToken",
      summary: "One token, without its text",
      tag,
      scope: "admin",
      params: byId,
      response: token,
      example,
      async run({ params: { id } }) {
        const found = await apiTokens.get(id);
        if (!found) throw unknown(id);
        return { body: viewOf(found) };
      },
    }),
    route({
      method: "delete",
      path: "/tokens/{id}",
      operationId: "revokeToken",
      summary: "Revoke a token, at once",
      tag,
      scope: "admin",
      params: byId,
      async run({ params: { id } }) {
        if (!(await apiTokens.revoke(id))) throw unknown(id);
        log.write("AUTH", `A token was revoked through the API: ${id}`);
        return {};
      },
    }),
  ];
}

function viewOf(one: ApiToken) {
  return { ...one, kind: "api" as const };
}

function isDuration(text: string): boolean {
  try {
    const ms = durationMs(text as `${number}s`);
    return ms > 0 && ms <= longestMs;
  } catch {
    return false;
  }
}

function unknown(id: string): SluiceError {
  return new SluiceError("api.unknown", `There is no token with the id ${JSON.stringify(id)}; GET /api/v1/tokens lists them`);
}
