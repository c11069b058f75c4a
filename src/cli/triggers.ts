import { existsSync, readFileSync } from "node:fs";
import { Command } from "commander";
import { messageOf, SluiceError } from "../base/errors.ts";
import { createClock } from "../host/clock.ts";
import type { HandlerInfo } from "../triggers/bus.ts";
import type { CallRecord } from "../triggers/journal/call-record.ts";
import { type ApiClient, createApiClient } from "./api-client.ts";
import { callLine, callText, decisionText } from "./call-text.ts";

type Common = { readonly api: string; readonly json?: true };
type Filter = { readonly trigger?: string; readonly stream?: string; readonly decision?: string };
type CallsFilter = Filter & { readonly since?: string; readonly find?: string; readonly limit?: string };

export type TriggersCommandOptions = {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly print: (text: string) => void;
  readonly complain: (text: string) => void;
  /** Called with the exit code when it is not 0. */
  readonly exit: (code: number) => void;
};

/** `sluice triggers ...`: what handlers were asked and answered, and what they would answer. It talks to a server that runs. */
export function triggersCommand({ environment, print, complain, exit }: TriggersCommandOptions): Command {
  const port = environment["SLUICE_API_PORT"] || "4242";
  const home = environment["SLUICE_API"] || `http://127.0.0.1:${port}`;
  const client = ({ api }: Common): ApiClient => createApiClient({ url: api, account: environment["SLUICE_ACCOUNT"] });
  const show = (call: CallRecord, json: boolean, text: (call: CallRecord) => string): void =>
    print(json ? JSON.stringify(call) : text(call));
  const command = (name: string, description: string): Command =>
    new Command(name)
      .exitOverride()
      .description(description)
      .option("--api <url>", "the server's API (SLUICE_API); an account, where one is needed, is SLUICE_ACCOUNT=NAME:PASSWORD", home)
      .option("--json", "one JSON value in each line");
  const filtered = (one: Command): Command =>
    one
      .option("--trigger <name>", "only calls of this trigger")
      .option("--stream <name>", "only calls about this stream")
      .option("--decision <kind>", "only calls that ended so: allow, deny, rewrite, keep");
  const recorded = (one: Command, limit: string): Command =>
    filtered(one)
      .option("--since <when>", 'only calls since then: a date, or how long ago, such as "10m"')
      .option("--find <text>", "only calls in which this token, key or name occurs; what is masked is found too")
      .option("--limit <n>", "at most so many, the newest", limit);

  const all = new Command("triggers").exitOverride().description("look at, try and change the handlers of a server that runs");

  all.addCommand(
    command("list", "list the handlers").action(async (flags: Common) => {
      const answer = (await client(flags).get("/triggers")) as { handlers: HandlerInfo[]; configuration: { error?: { message: string } } };
      for (const one of answer.handlers) {
        const streams = one.streams.length > 0 ? ` for ${one.streams.join(", ")}` : "";
        const kind = one.mode === "shadow" ? " (shadow)" : one.sync ? "" : " (told)";
        print(flags.json ? JSON.stringify(one) : `${one.id} ${one.trigger}${kind} ${one.handler}${streams}`);
      }
      if (answer.configuration.error) complain(`The configuration's file is not in force: ${answer.configuration.error.message}`);
    }),
  );
  all.addCommand(
    filtered(command("tail", "show calls as they end")).action(async ({ api, json, ...filter }: Common & Filter) => {
      const events = client({ api }).events("/triggers/calls/stream", filter, "call");
      for await (const call of events) show(call as CallRecord, json === true, callLine);
    }),
  );
  all.addCommand(
    recorded(command("calls", "show recorded calls, oldest first"), "50").action(async ({ api, json, ...filter }: Common & CallsFilter) => {
      for (const call of await callsOf(client({ api }), filter)) show(call, json === true, callLine);
    }),
  );
  all.addCommand(
    command("show", "show one call with its payload, each handler and the decision")
      .argument("<id>", "the call's id; handlers get it as X-Trigger-UUID")
      .action(async (id: string, flags: Common) => {
        show((await client(flags).get(`/triggers/calls/${encodeURIComponent(id)}`)) as CallRecord, flags.json === true, callText);
      }),
  );
  all.addCommand(
    command("test", "say what would happen; handlers are asked with mode rehearsal, and nothing is applied")
      .argument("<trigger>", "for example USER_NEW")
      .requiredOption("--payload <what>", "a file, or JSON with fields, or MistServer's lines")
      .action(async (trigger: string, flags: Common & { payload: string }) => {
        const call = await client(flags).post("/triggers/test", { trigger, payload: payloadOf(flags.payload) });
        show(call as CallRecord, flags.json === true, callText);
      }),
  );
  all.addCommand(
    recorded(
      command("replay", "ask the handlers of a file about recorded calls, and show decisions that differ; exit code 1 if some do"),
      "1000",
    )
      .requiredOption("--handler <file>", "a configuration, or a module that exports handlers under the names of triggers")
      .action(async ({ api, json, handler, ...filter }: Common & CallsFilter & { handler: string }) => {
        const calls = await callsOf(client({ api }), filter);
        const { replayCalls } = await import("./replay.ts");
        const replay = await replayCalls(handler, calls, createClock(), complain);
        for (const { before, after } of replay.different) {
          print(
            json
              ? JSON.stringify({ before, after })
              : `${callLine(before)}\n  was ${decisionText(before.decision)}, would be ${decisionText(after.decision)}`,
          );
        }
        const { different, same, unhandled, masked } = replay;
        complain(
          `${calls.length} calls: ${different.length} differ, ${same} are the same, ${unhandled} are of triggers without a handler in ${handler}`,
        );
        if (masked > 0)
          complain(`${masked} of them have masked tokens or keys, shown as #...; journal: { unmasked: true } records them as they are`);
        if (different.length > 0) exit(1);
      }),
  );
  all.addCommand(
    command("add", "add a handler in MistServer's shape")
      .argument("<trigger>")
      .argument("<entry>", '{"handler":"http://...","sync":true,"streams":[]}')
      .action(async (trigger: string, entry: string, flags: Common) => {
        const { id } = (await client(flags).post("/triggers/handlers", { trigger, entry: jsonOf(entry) })) as { id: string };
        print(id);
      }),
  );
  all.addCommand(
    command("remove", "remove a handler that the configuration or the API has added")
      .argument("<id>")
      .action(async (id: string, flags: Common) => {
        await client(flags).delete(`/triggers/handlers/${encodeURIComponent(id)}`);
      }),
  );
  return all;
}

/** Oldest first. */
async function callsOf(api: ApiClient, filter: CallsFilter): Promise<readonly CallRecord[]> {
  const { calls } = (await api.get("/triggers/calls", filter)) as { readonly calls: readonly CallRecord[] };
  return calls.toReversed();
}

function payloadOf(given: string): unknown {
  const text = existsSync(given) ? readFileSync(given, "utf8") : given;
  return text.trimStart().startsWith("{") ? jsonOf(text) : text;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new SluiceError("config.invalid", `This is no valid JSON: ${messageOf(error)}`, { cause: error });
  }
}
