import { type TriggerName, triggers } from "../../src/triggers/table.ts";
import { type Sluice, type SluiceOptions, startSluice } from "./sluice.ts";
import { startTriggerServer, type TriggerCall, type TriggerServer } from "./trigger-server.ts";

/** The two ways in which an operator's code answers: functions in the configuration, or MistServer-style HTTP handlers. */
export const forms = ["typescript", "http"] as const;
export type Form = (typeof forms)[number];

/** What the operator's code says: the answer in MistServer's text form (`true`, `false`, a name, nothing). */
export type Answers = { readonly [K in TriggerName]?: (lines: readonly string[]) => string | Promise<string> };

export interface Decided extends AsyncDisposable {
  readonly sluice: Sluice;
  readonly asked: TriggerServer;
}

/** The reason that the TypeScript form gives with each no. */
export const reason = "the operator said no";

/**
 * A server whose decisions are made by `answers`, in either form. Both forms record each call, so that a test of a use
 * is written once. In the TypeScript form the functions do what such functions do: they ask a service of the operator.
 */
export async function startDecided(
  form: Form,
  answers: Answers,
  config: Readonly<Record<string, unknown>>,
  options: Omit<SluiceOptions, "config"> = {},
): Promise<Decided> {
  const asked = await startTriggerServer(async (call: TriggerCall) => (await answers[call.name as TriggerName]?.(call.lines)) ?? "");
  const names = Object.keys(answers) as TriggerName[];
  const sluice = await startSluice({
    ...options,
    config: form === "typescript" ? typescript(names, config, asked.url) : mist(names, config, asked.url),
  }).catch(async (error: unknown) => {
    await asked[Symbol.asyncDispose]();
    throw error;
  });
  return {
    sluice,
    asked,
    [Symbol.asyncDispose]: async () => {
      await sluice[Symbol.asyncDispose]();
      await asked[Symbol.asyncDispose]();
    },
  };
}

function typescript(names: readonly TriggerName[], config: Readonly<Record<string, unknown>>, url: string): string {
  const handler = (name: TriggerName): string => {
    const fields = JSON.stringify(Object.keys(triggers[name].fields));
    if (triggers[name].answer === "notify") return `${name}: async (payload) => { await ask("${name}", payload, ${fields}); },`;
    const said = `const said = await ask("${name}", payload, ${fields});`;
    const answer =
      triggers[name].answer === "verdict"
        ? `said === "true" ? allow() : deny(${JSON.stringify(reason)})`
        : `said === "" ? deny(${JSON.stringify(reason)}) : rewrite(said)`;
    return `${name}: async (payload) => { ${said} return ${answer}; },`;
  };
  return `
import { allow, defineConfig, deny, rewrite } from "sluice";
async function ask(name: string, payload: object, fields: readonly string[]): Promise<string> {
  const values = fields.map((field) => (payload as Record<string, unknown>)[field]).filter((value) => value !== undefined);
  const body = values.map((value) => (typeof value === "object" ? JSON.stringify(value) : String(value).replaceAll("\\n", "%0A"))).join("\\n");
  const response = await fetch(${JSON.stringify(url)}, { method: "POST", headers: { "X-Trigger": name }, body });
  return response.text();
}
export default defineConfig({
  ...(${JSON.stringify(config)} as object),
  triggers: {
    ${names.map(handler).join("\n    ")}
  },
});
`;
}

function mist(
  names: readonly TriggerName[],
  { streams, ...rest }: Readonly<Record<string, unknown>>,
  url: string,
): Record<string, unknown> {
  const entry = (name: TriggerName): unknown[] => [{ handler: url, sync: triggers[name].answer !== "notify", streams: [] }];
  return { config: { ...rest, triggers: Object.fromEntries(names.map((name) => [name, entry(name)])) }, streams };
}
