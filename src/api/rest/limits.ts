import { z } from "zod";
import type { LimitRule } from "../../access/limits/limit.ts";
import { SluiceError } from "../../base/errors.ts";
import { limitRuleSchema, problemOfLimitName } from "../../config/limit-rule.ts";
import type { ApiParts } from "../parts.ts";
import { type Route, route } from "./route.ts";

const nameWords = "1 to 64 letters, digits, `_`, `.` and `-`";
const name = z
  .string(nameWords)
  .refine((text) => problemOfLimitName(text) === undefined, nameWords)
  .meta({ description: "The name of the limit.", example: "two-screens" });
const counter = z
  .object({
    key: z.string().meta({ description: "In whose name: a user, the hash of a token, a network, a stream; `server`." }),
    measure: z.enum(["sessions", "egress", "ingest"]),
    used: z.number().meta({ description: "Sessions, or bits per second with what was promised to those who have just come in." }),
    most: z.number(),
    closed: z.boolean().meta({ description: "True from when it was reached until the safe mark." }),
    refused: z.number().meta({ description: "Clients that were refused, ended or sent elsewhere because of this counter." }),
  })
  .meta({ id: "LimitCounter" });
const shown = z
  .object({
    name,
    rule: limitRuleSchema,
    refused: z.number().meta({ description: "Clients that were refused, ended or sent elsewhere since the start." }),
    counters: z.array(counter).meta({ description: "Those in use, fullest first; at most 1000." }),
  })
  .meta({ id: "Limit" });
const mostCounters = 1000;

const exampleRule = { by: "user", sessions: 2, onReached: "end-oldest", reason: "two screens at a time" } as const;
const example = {
  name: "two-screens",
  rule: exampleRule,
  refused: 3,
  counters: [{ key: "ann", measure: "sessions", used: 2, most: 2, closed: true, refused: 3 }],
};

/** `/limits`: what viewers and publishers may use, and what they do use. Changes count at once and survive a restart. */
export function limitRoutes(parts: Pick<ApiParts, "configuration" | "limits" | "log">): readonly Route[] {
  const { configuration, limits, log } = parts;
  return [
    route({
      method: "get",
      path: "/limits",
      operationId: "listLimits",
      summary: "All limits with their counters",
      tag: "limits",
      scope: "read",
      query: z.strictObject({
        name: name.optional().meta({ description: "Only the limit of this name." }),
        closed: z.enum(["true", "false"], "true or false").optional().meta({ description: "Only limits that have a counter like that." }),
      }),
      response: z.object({ items: z.array(shown) }).meta({ description: "In the order of the configuration." }),
      example: { items: [example] },
      run({ query }) {
        const items = Object.entries(limits.rules())
          .filter(([one]) => query.name === undefined || one === query.name)
          .map(([one, rule]) => view(parts, one, rule))
          .filter(({ counters }) => query.closed === undefined || counters.some(({ closed }) => String(closed) === query.closed));
        return { body: { items } };
      },
    }),
    route({
      method: "get",
      path: "/limits/{name}",
      operationId: "getLimit",
      summary: "One limit with its counters",
      tag: "limits",
      scope: "read",
      params: z.strictObject({ name }),
      response: shown,
      example,
      run({ params }) {
        const rule = ruleOf(limits.rules(), params.name);
        return { body: view(parts, params.name, rule), guarded: rule };
      },
    }),
    route({
      method: "put",
      path: "/limits/{name}",
      operationId: "putLimit",
      summary: "Declare a limit, or change it; who is in is counted, and nobody is ended by it at once",
      tag: "limits",
      scope: "admin",
      params: z.strictObject({ name }),
      body: limitRuleSchema,
      bodyExample: exampleRule,
      response: shown,
      example,
      async run({ params, body }) {
        const rule = body as LimitRule;
        let fresh = false;
        await configuration.change((settings) => {
          fresh = !Object.hasOwn(settings.limits, params.name);
          return { limits: { ...settings.limits, [params.name]: rule } };
        });
        log.write("CONF", `The limit ${params.name} was ${fresh ? "declared" : "changed"} through the API`);
        return { status: fresh ? 201 : 200, body: view(parts, params.name, rule) };
      },
    }),
    route({
      method: "delete",
      path: "/limits/{name}",
      operationId: "deleteLimit",
      summary: "Take a limit away",
      tag: "limits",
      scope: "admin",
      params: z.strictObject({ name }),
      async run({ params }) {
        await configuration.change((settings) => {
          ruleOf(limits.rules(), params.name);
          if (!Object.hasOwn(settings.limits, params.name))
            throw new SluiceError("api.conflict", `${params.name} is the limit of a policy; take the policy out of force instead`);
          return { limits: Object.fromEntries(Object.entries(settings.limits).filter(([one]) => one !== params.name)) };
        });
        log.write("CONF", `The limit ${params.name} was taken away through the API`);
        return {};
      },
    }),
  ];
}

function ruleOf(rules: Readonly<Record<string, LimitRule>>, wanted: string): LimitRule {
  const rule = Object.hasOwn(rules, wanted) ? rules[wanted] : undefined;
  if (!rule) throw new SluiceError("api.unknown", `There is no limit ${wanted}; GET /api/v1/limits lists them`);
  return rule;
}

function view({ limits }: Pick<ApiParts, "limits">, wanted: string, rule: LimitRule): z.input<typeof shown> {
  const counters = limits
    .states()
    .filter((state) => state.name === wanted)
    .map(({ key, measure, used, most, closed, refused }) => ({ key, measure, used, most, closed, refused }))
    .toSorted((one, other) => other.used / other.most - one.used / one.most)
    .slice(0, mostCounters);
  const refused = limits
    .sums()
    .filter((sum) => sum.name === wanted)
    .reduce((all, sum) => all + sum.refused, 0);
  return { name: wanted, rule: structuredClone(rule) as z.input<typeof limitRuleSchema>, refused, counters };
}
