import { type OwnVariable, readVariable } from "../../../config/own-variables.ts";
import type { ApiParts } from "../../parts.ts";
import { type Call, type CallContext, complain, isObject, type Reply, textsOf } from "../call.ts";
import { keep } from "./kept.ts";

/**
 * `variable_list`, `variable_add`, `variable_remove`: the operator's variables, `$name` in sources, `fallback_stream` and `defaultStream`.
 * All three answer the list.
 */
export const variableCalls: readonly Call[] = [
  {
    name: "variable_add",
    async run(value, context, reply) {
      const [name, given] = parse(value);
      const variable = readVariable(name, given);
      if (!variable) {
        const words =
          "variable_add takes [name, value], [name, target, interval, value, waitTime] or an object of these; a name has at most 31 letters, digits and _";
        complain(context, reply, words);
      } else await change(context, (all) => ({ ...all, [name]: variable }));
      list(context.parts, reply);
    },
  },
  {
    name: "variable_remove",
    async run(value, context, reply) {
      const gone = new Set(textsOf(value));
      await change(context, (all) => Object.fromEntries(Object.entries(all).filter(([name]) => !gone.has(name))));
      list(context.parts, reply);
    },
  },
  { name: "variable_list", run: (_value, { parts }, reply) => list(parts, reply) },
];

/** [name, value], [name, target, interval], [name, target, interval, value], [..., waitTime], or an object with these members. */
function parse(value: unknown): readonly [name: string, variable: unknown] {
  if (isObject(value)) return [textOf(value["name"]), value];
  if (!Array.isArray(value)) return ["", undefined];
  const [name, second, interval, stored, waitTime] = value as readonly unknown[];
  const variable = value.length < 3 ? { value: second } : { target: second, interval, value: stored, waitTime };
  return [textOf(name), Object.fromEntries(Object.entries(variable).filter(([, member]) => member !== undefined))];
}

async function change(
  context: CallContext,
  update: (all: Readonly<Record<string, unknown>>) => Readonly<Record<string, unknown>>,
): Promise<void> {
  const stored = context.parts.configuration.settings.kept["variables"];
  await keep(context, "variables", update(isObject(stored) ? stored : {}));
}

function list({ configuration }: ApiParts, reply: Reply): void {
  const all = Object.entries(configuration.variables());
  const shown = ({ value, target, interval, waitTime }: OwnVariable) => ({
    ...(target !== undefined && { interval, target }),
    value,
    waitTime,
  });
  reply["variable_list"] = all.length === 0 ? null : Object.fromEntries(all.map(([name, one]) => [name, shown(one)]));
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
