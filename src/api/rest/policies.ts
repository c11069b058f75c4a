import { z } from "zod";
import { SluiceError } from "../../base/errors.ts";
import { checkPolicyEntry, type PolicyEntry } from "../../config/policy-entries.ts";
import type { ApiParts } from "../parts.ts";
import { pageOf, pageQuery, pageSchema } from "./frame/page.ts";
import { type Route, route } from "./route.ts";

const entry = z
  .looseObject({ use: z.string("the name of a policy").meta({ description: "Which policy: pushTokens, viewTokens, ..." }) })
  .meta({ id: "PolicyEntry", description: "`use` and the options of the policy." });
const view = z
  .object({
    name: z.string(),
    use: z.string(),
    from: z.enum(["file", "api"]).meta({ description: "`file`: made by TypeScript, and changed there alone." }),
    options: z.record(z.string(), z.unknown()),
  })
  .meta({ id: "Policy" });
const byName = z.strictObject({ name: z.string().min(1).max(100) });
const example = { name: "pushTokens", use: "pushTokens", from: "api", options: { streams: ["live"] } } as const;

/** `/policies`: the ready-made sets of handlers that are in force. */
export function policyRoutes(parts: Pick<ApiParts, "configuration" | "policies" | "policiesSettled" | "log">): readonly Route[] {
  const { configuration, policies, log } = parts;
  const all = (): z.output<typeof view>[] =>
    policies().map(({ name, policy }) => {
      const from = Object.hasOwn(configuration.settings.policies, name) ? "api" : "file";
      return { name, use: policy.name, from, options: shown(policy.options) };
    });
  const find = (name: string): z.output<typeof view> => {
    const found = all().find((one) => one.name === name);
    if (!found) throw new SluiceError("api.unknown", `There is no policy ${name}`);
    return found;
  };
  return [
    route({
      method: "get",
      path: "/policies",
      operationId: "listPolicies",
      summary: "Policies that are in force",
      tag: "policies",
      scope: "read",
      query: z.strictObject(pageQuery),
      response: pageSchema(view),
      example: { items: [example] },
      run: ({ query }) => ({ body: pageOf(all(), query, ({ name }) => [name]) }),
    }),
    route({
      method: "get",
      path: "/policies/{name}",
      operationId: "getPolicy",
      summary: "One policy",
      tag: "policies",
      scope: "read",
      params: byName,
      response: view,
      example,
      run: ({ params }) => ({ body: find(params.name) }),
    }),
    route({
      method: "put",
      path: "/policies/{name}",
      operationId: "putPolicy",
      summary: "Put a policy in force, or change one",
      tag: "policies",
      scope: "admin",
      params: byName,
      body: entry,
      bodyExample: { use: "pushTokens", streams: ["live"] },
      response: view,
      example,
      async run({ params: { name }, body }) {
        checkPolicyEntry(body, "the body", []);
        if (all().some((one) => one.name === name && one.from === "file"))
          throw new SluiceError("api.conflict", `${name} stands in the configuration's file; change it there, or take another name`);
        await configuration.change(({ policies: before }) => ({ policies: { ...before, [name]: body as PolicyEntry } }));
        await parts.policiesSettled?.();
        log.write("CONF", `The policy ${name} was set through the API`);
        return { body: { name, use: body.use, from: "api" as const, options: shown(withoutUse(body)) } };
      },
    }),
    route({
      method: "delete",
      path: "/policies/{name}",
      operationId: "deletePolicy",
      summary: "Take a policy out of force; its tokens stay",
      tag: "policies",
      scope: "admin",
      params: byName,
      async run({ params: { name } }) {
        if (find(name).from === "file")
          throw new SluiceError("api.conflict", `${name} stands in the configuration's file; take it out there`);
        await configuration.change(({ policies: before }) => ({
          policies: Object.fromEntries(Object.entries(before).filter(([other]) => other !== name)),
        }));
        await parts.policiesSettled?.();
        log.write("CONF", `The policy ${name} was taken out of force through the API`);
        return {};
      },
    }),
  ];
}

function withoutUse({ use: _use, ...options }: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return options;
}

/** Options that have keys by name. */
const secretFields: ReadonlySet<string> = new Set(["signed", "keys"]);

/** Options as JSON: functions by a word, and no key that anything is signed with. */
function shown(options: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const text = JSON.stringify(options, (key, value: unknown) => {
    if (typeof value === "function") return "(a function)";
    if (!secretFields.has(key) || typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.keys(value).map((name) => [name, "(hidden)"]));
  });
  return JSON.parse(text) as Record<string, unknown>;
}
