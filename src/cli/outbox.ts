import { Command } from "commander";
import { type ApiClient, createApiClient } from "./api-client.ts";

export type OutboxCommandOptions = {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly print: (text: string) => void;
};

type Common = { readonly api: string; readonly json?: true };
type ShownLetter = {
  readonly id: number;
  readonly trigger: string;
  readonly handler: string;
  readonly orderKey: string;
  readonly createdAt: number;
  readonly attempts: number;
  readonly nextAt: number;
  readonly state: string;
  readonly error: string;
};

/** `sluice outbox ...`: notifications that have not arrived at their handlers. It talks to a server that runs. */
export function outboxCommand({ environment, print }: OutboxCommandOptions): Command {
  const home = environment["SLUICE_API"] || `http://127.0.0.1:${environment["SLUICE_API_PORT"] || "4242"}`;
  const client = ({ api }: Common): ApiClient => createApiClient({ url: api, account: environment["SLUICE_ACCOUNT"] });
  const command = (name: string, description: string): Command =>
    new Command(name)
      .exitOverride()
      .description(description)
      .option("--api <url>", "the server's API (SLUICE_API); an account, where one is needed, is SLUICE_ACCOUNT=NAME:PASSWORD", home);

  const outbox = new Command("outbox").exitOverride().description("notifications that have not arrived at their handlers");
  outbox.addCommand(
    command("list", "show them, oldest first")
      .option("--json", "one JSON value in each line")
      .option("--state <state>", "only waiting ones, or only dead ones")
      .option("--after <id>", "only those after this number")
      .option("--limit <n>", "at most so many", "100")
      .action(async ({ api, json, ...query }: Common & Readonly<Record<string, string>>) => {
        const { letters } = (await client({ api }).get("/outbox", query)) as { letters: readonly ShownLetter[] };
        for (const letter of letters) print(json ? JSON.stringify(letter) : lineOf(letter));
        if (letters.length === 0 && !json) print("Everything has arrived.");
      }),
  );
  outbox.addCommand(
    command("retry", "send one again now; a dead one begins anew")
      .argument("<id>", 'the number that "list" shows, or "dead" for all dead ones')
      .action(async (id: string, flags: Common) => {
        const path = id === "dead" ? "/outbox/retry" : `/outbox/${encodeURIComponent(id)}/retry`;
        const { retried } = (await client(flags).post(path, {})) as { retried: number };
        print(`${retried} on the way again`);
      }),
  );
  outbox.addCommand(
    command("drop", "throw one away")
      .argument("<id>", 'the number that "list" shows')
      .action(async (id: string, flags: Common) => {
        await client(flags).delete(`/outbox/${encodeURIComponent(id)}`);
        print(`${id} is thrown away`);
      }),
  );
  return outbox;
}

function lineOf({ id, trigger, handler, orderKey, createdAt, attempts, nextAt, state, error }: ShownLetter): string {
  const when = state === "dead" ? "dead" : `next at ${new Date(nextAt).toISOString()}`;
  const why = error === "" ? "" : `; ${error}`;
  return `${id} ${new Date(createdAt).toISOString()} ${trigger} ${orderKey} -> ${handler} (${attempts} attempts, ${when}${why})`;
}
