import { Command } from "commander";
import { type ApiClient, createApiClient } from "./api-client.ts";
import type { Terminal } from "./terminal.ts";

/** What commands that talk to a server that runs are made of. */
export type LiveParts = {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly terminal: Terminal;
};

/** Flags of all of them. */
export type LiveFlags = { readonly api: string; readonly token?: string; readonly json?: true; readonly watch?: string | true };

/** The API that is meant when no flag says another one. */
export function apiHome(environment: LiveParts["environment"]): string {
  return environment["SLUICE_API"] || `http://127.0.0.1:${environment["SLUICE_API_PORT"] || "4242"}`;
}

/** A command that talks to a server: `--api`, `--token`, `--json`. */
export function liveCommand(name: string, description: string, { environment }: LiveParts): Command {
  return new Command(name)
    .exitOverride()
    .showSuggestionAfterError()
    .description(description)
    .option("--api <url>", "the server's API (SLUICE_API)", apiHome(environment))
    .option("--token <token>", "a bearer token of the API (SLUICE_TOKEN); or an account: SLUICE_ACCOUNT=NAME:PASSWORD")
    .option("--json", "what the API answers, for programs");
}

/** The same with `--watch`. */
export function watchedCommand(name: string, description: string, parts: LiveParts): Command {
  return liveCommand(name, description, parts).option(
    "--watch [seconds]",
    "show it again every 2 seconds, or as often as said; Ctrl-C ends it",
  );
}

/** The API as the flags say. */
export function clientOf({ api, token }: LiveFlags, { environment }: LiveParts): ApiClient {
  return createApiClient({ url: api, account: environment["SLUICE_ACCOUNT"], token: token ?? environment["SLUICE_TOKEN"] });
}

/** A list of the API. */
export type Page<T> = { readonly items: readonly T[]; readonly next?: string };

/** As many items as are wanted, over as many pages as that takes. */
export async function itemsOf<T>(
  client: ApiClient,
  path: string,
  query: Readonly<Record<string, string | undefined>>,
  most: number,
): Promise<Page<T>> {
  const items: T[] = [];
  let cursor: string | undefined;
  do {
    const limit = String(Math.min(1000, most - items.length));
    const page = (await client.get(path, { ...query, limit, cursor })) as Page<T>;
    items.push(...page.items);
    cursor = page.next;
  } while (cursor !== undefined && items.length < most);
  return { items, ...(cursor !== undefined && { next: cursor }) };
}
