import type { Command } from "commander";

/** What the program prints to, and whom it asks; tests hand in their own. */
export type OutboxTerminal = { readonly print: (line: string) => void; readonly fetch: typeof fetch };

type Flags = { readonly api: string; readonly state?: string; readonly limit?: string };
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

/** Adds `sluice outbox list|retry|drop`: a running server is asked over its REST API. Rejects with words when it says no. */
export function outboxCommands(program: Command, terminal: OutboxTerminal): void {
  const outbox = program.command("outbox").description("notifications that have not arrived at their handlers");
  const api = [
    "--api <url>",
    "the server's API, with NAME:PASSWORD@ before the host if it wants an account",
    "http://127.0.0.1:4242",
  ] as const;
  const ask = async (flags: Flags, method: string, path: string): Promise<Record<string, unknown>> => {
    const url = new URL(`/api/v1/outbox${path}`, flags.api);
    const account = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
    const headers: Record<string, string> = account === ":" ? {} : { Authorization: `Basic ${Buffer.from(account).toString("base64")}` };
    [url.username, url.password] = ["", ""];
    const response = await terminal.fetch(url, { method, headers }).catch((cause: unknown) => {
      throw new Error(`no server answers at ${url.origin}; say where its API is with --api`, { cause });
    });
    const answer = (await response.json()) as Record<string, unknown>;
    if (!response.ok) throw new Error(String(answer["error"] ?? `the server answered with status ${response.status}`));
    return answer;
  };

  outbox
    .command("list")
    .description("show them, oldest first")
    .option("--state <state>", "only waiting or only dead ones")
    .option("--limit <n>", "how many", "100")
    .option(...api)
    .action(async (flags: Flags) => {
      const query = new URLSearchParams({ limit: flags.limit ?? "100", ...(flags.state && { state: flags.state }) });
      const { letters } = (await ask(flags, "GET", `?${query}`)) as { letters: readonly ShownLetter[] };
      for (const letter of letters) terminal.print(lineOf(letter));
      if (letters.length === 0) terminal.print("Everything has arrived.");
    });
  outbox
    .command("retry")
    .argument("<id>", 'the number that "list" shows, or "dead" for all dead ones')
    .description("send it again now, a dead one as if it were new")
    .option(...api)
    .action(async (id: string, flags: Flags) => {
      const { retried } = await ask(flags, "POST", id === "dead" ? "/retry" : `/${encodeURIComponent(id)}/retry`);
      terminal.print(`${String(retried)} on the way again`);
    });
  outbox
    .command("drop")
    .argument("<id>", 'the number that "list" shows')
    .description("throw it away")
    .option(...api)
    .action(async (id: string, flags: Flags) => {
      await ask(flags, "DELETE", `/${encodeURIComponent(id)}`);
      terminal.print(`${id} is thrown away`);
    });
}

function lineOf({ id, trigger, handler, orderKey, createdAt, attempts, nextAt, state, error }: ShownLetter): string {
  const when = state === "dead" ? "dead" : `next at ${new Date(nextAt).toISOString()}`;
  const why = error === "" ? "" : `; ${error}`;
  return `${id}  ${new Date(createdAt).toISOString()}  ${trigger}  ${orderKey}  -> ${handler}  (${attempts} attempts, ${when}${why})`;
}
