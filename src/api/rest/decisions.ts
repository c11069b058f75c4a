import { z } from "zod";
import { SluiceError } from "../../base/errors.ts";
import type { ApiParts } from "../parts.ts";
import { pageQuery, pageSchema } from "./frame/page.ts";
import { type Route, route } from "./route.ts";

const text = (words: string) => z.string(words).min(1, words).max(4096, words);

/** A decision as the book keeps it. */
export const decisionSchema = z
  .object({
    id: z.string().meta({ description: "What the refused client was shown." }),
    at: z.number().meta({ description: "Unix milliseconds." }),
    kind: z.enum(["play", "publish", "recheck", "renew", "end"]),
    result: z.enum(["allow", "deny"]),
    reason: z.string().meta({ description: "What the client was told; empty for a yes." }),
    rule: z.string().meta({ description: "What decided, in a few words." }),
    sessionId: z.string().meta({ description: "Empty where there was no session yet." }),
    address: z.string(),
    protocol: z.string(),
    asked: z.string().meta({ description: "The name that was asked for; a mark (`#...`) where no stream has it, as it may be a token." }),
    stream: z.string().meta({ description: "What it led to; empty when it led nowhere." }),
    user: z.string(),
    tokenHash: z.string().meta({ description: "The first 16 hexadecimal digits of the token's SHA-256." }),
    steps: z.array(
      z.object({
        step: z.string(),
        ms: z.number(),
        text: z.string(),
        call: z.string().optional().meta({ description: "The call's id under `/triggers/calls`." }),
      }),
    ),
    repeats: z.int().optional().meta({ description: "How often the same was said to the same client again." }),
    lastAt: z.number().optional().meta({ description: "When that was last, Unix milliseconds." }),
  })
  .meta({ id: "Decision" });

const example = {
  id: "7K3QF9ZT2M",
  at: 1_767_225_600_000,
  kind: "play",
  result: "deny",
  reason: "please subscribe first",
  rule: "USER_NEW https://example.com/hook",
  sessionId: "e2d99ec5349e6db7177434677bb02631454add7f8ab4c4ee37bf076bb9198f53",
  address: "203.0.113.7",
  protocol: "HLS",
  asked: "live",
  stream: "live",
  user: "",
  tokenHash: "ca978112ca1bbdca",
  steps: [
    { step: "session", ms: 0.1, text: "is new" },
    {
      step: "USER_NEW",
      ms: 12.4,
      text: 'https://example.com/hook says no "please subscribe first"',
      call: "6b0e1c6e-8d0c-4d33-9d2c-0f1f5d7f7c11",
    },
  ],
} as const;

/** `/decisions` and `/why`: who was let in, refused, asked about again or ended, and what decided. The last ones, in memory. */
export function decisionRoutes({ decisions }: Pick<ApiParts, "decisions">): readonly Route[] {
  return [
    route({
      method: "get",
      path: "/decisions",
      operationId: "listDecisions",
      summary: "The last decisions, newest first",
      tag: "decisions",
      scope: "read",
      query: z.strictObject({
        ...pageQuery,
        sessionId: text("a session's id").optional(),
        address: text("an address").optional(),
        token: text("a token").optional().meta({ description: "The token itself; URLs may stand in logs, so `tokenHash` is better." }),
        tokenHash: z
          .string()
          .regex(/^[0-9a-f]{16}$/, "16 hexadecimal digits")
          .optional(),
        stream: text("a stream's name").optional(),
        result: z.enum(["allow", "deny"], "allow or deny").optional(),
      }),
      response: pageSchema(decisionSchema),
      example: { items: [example] },
      run({ query: { cursor, limit, ...query } }) {
        const wanted = Object.fromEntries(Object.entries(query).filter(([, value]) => value !== undefined));
        // One more than wanted tells whether there is another page.
        const found = decisions.find({ ...wanted, limit: limit + 1, ...(cursor !== undefined && { before: cursor }) });
        const items = found.slice(0, limit);
        const next = found.length > limit ? items.at(-1)?.id : undefined;
        return { body: { items, ...(next !== undefined && { next }) } };
      },
    }),
    route({
      method: "get",
      path: "/decisions/{id}",
      operationId: "getDecision",
      summary: "One decision, by the id that the client was shown",
      tag: "decisions",
      scope: "read",
      params: z.strictObject({ id: text("a decision's id") }),
      response: decisionSchema,
      example,
      run({ params: { id } }) {
        const [found] = decisions.find({ id, limit: 1 });
        if (!found) throw new SluiceError("api.unknown", `There is no decision ${id}; it may be too old`);
        return { body: found };
      },
    }),
    route({
      method: "get",
      path: "/why/{text}",
      operationId: "why",
      summary:
        "Decisions about a client, newest first: by a decision's id, a session's id or its beginning, an address, a token or its hash",
      tag: "decisions",
      scope: "read",
      params: z.strictObject({ text: text("a decision's id, a session's id, an address, a token or its hash") }),
      response: z.object({ items: z.array(decisionSchema) }),
      example: { items: [example] },
      run: ({ params }) => ({ body: { items: [...decisions.why(params.text)] } }),
    }),
  ];
}
