import { createInterface } from "node:readline/promises";
import type { Readable } from "node:stream";
import { Command } from "commander";
import { SluiceError } from "../base/errors.ts";
import { hashPassword } from "../config/scrypt.ts";
import { clientOf, itemsOf, type LiveFlags, liveCommand, type LiveParts } from "./live-command.ts";
import { plain, table } from "./terminal.ts";

export type AccessParts = LiveParts & {
  /** Passwords come from here, one in a line: a command line is seen by everybody on the machine. */
  readonly input?: Readable;
};

type Account = { readonly name: string; readonly scope: string; readonly mistCompatible: boolean };
type Token = {
  readonly id: string;
  readonly name: string;
  readonly scope: string;
  readonly createdAt: number;
  readonly expiresAt?: number;
  readonly lastUsedAt?: number;
};

const most = 10_000;

/** `sluice account ...`: who may use the API, by name and password. */
export function accountCommand(parts: AccessParts): Command {
  const { terminal } = parts;
  const account = new Command("account").exitOverride().description("names and passwords for the API");
  account.addCommand(
    liveCommand("add", "make an account; the password is read from standard input", parts)
      .argument("<name>", "its name")
      .option("--scope <scope>", "read, operate or admin", "admin")
      .option("--mist", "it can log in by MistServer's `authorize`, too; its MD5 is kept for that")
      .action(async (name: string, { scope, mist, ...flags }: LiveFlags & { readonly scope: string; readonly mist?: true }) => {
        const password = await passwordFrom(parts);
        const made = (await clientOf(flags, parts).post("/accounts", { name, password, scope, mistCompatible: mist === true })) as Account;
        terminal.write(flags.json ? `${JSON.stringify(made)}\n` : `${plain(made.name)} may ${made.scope} now\n`);
      }),
  );
  account.addCommand(
    liveCommand("list", "show all accounts", parts).action(async (flags: LiveFlags) => {
      const page = await itemsOf<Account>(clientOf(flags, parts), "/accounts", {}, most);
      if (flags.json) return terminal.write(`${JSON.stringify(page)}\n`);
      const rows = page.items.map(({ name, scope, mistCompatible }) => [plain(name), scope, mistCompatible ? "yes" : "no"]);
      terminal.write(rows.length === 0 ? "There is no account.\n" : `${table(terminal, ["name", "scope", "authorize"], rows)}\n`);
    }),
  );
  account.addCommand(
    liveCommand("remove", "remove an account; its logins are over at once", parts)
      .argument("<name>", "its name")
      .action(async (name: string, flags: LiveFlags) => {
        await clientOf(flags, parts).delete(`/accounts/${encodeURIComponent(name)}`);
        terminal.write(`${plain(name)} is removed\n`);
      }),
  );
  account.addCommand(
    liveCommand("hash", "print what `account.NAME.scrypt` in a configuration file needs; asks no server", parts).action(async () => {
      terminal.write(`${await hashPassword(await passwordFrom(parts))}\n`);
    }),
  );
  return account;
}

/** `sluice api-token ...`: bearer tokens of the API. */
export function apiTokenCommand(parts: AccessParts): Command {
  const { terminal } = parts;
  const token = new Command("api-token").exitOverride().description("bearer tokens of the API");
  token.addCommand(
    liveCommand("create", "make a token and print it; it is shown here, and not again", parts)
      .argument("<name>", "who has it, for people")
      .option("--scope <scope>", "read, operate or admin", "read")
      .option("--expires <duration>", 'how long it holds: "30d", "12h"; left out: until it is revoked')
      .action(async (name: string, { scope, expires, ...flags }: LiveFlags & { readonly scope: string; readonly expires?: string }) => {
        const body = { name, scope, ...(expires !== undefined && { expiresIn: expires }) };
        const made = (await clientOf(flags, parts).post("/tokens", body)) as Token & { readonly token: string };
        terminal.write(flags.json ? `${JSON.stringify(made)}\n` : `${made.token}\n`);
      }),
  );
  token.addCommand(
    liveCommand("list", "show all tokens", parts).action(async (flags: LiveFlags) => {
      const page = await itemsOf<Token>(clientOf(flags, parts), "/tokens", {}, most);
      if (flags.json) return terminal.write(`${JSON.stringify(page)}\n`);
      const rows = page.items.map((one) => [
        one.id,
        plain(one.name),
        one.scope,
        when(one.createdAt),
        when(one.expiresAt),
        when(one.lastUsedAt),
      ]);
      terminal.write(
        rows.length === 0 ? "There is no token.\n" : `${table(terminal, ["id", "name", "scope", "made", "ends", "last used"], rows)}\n`,
      );
    }),
  );
  token.addCommand(
    liveCommand("revoke", "revoke a token, at once", parts)
      .argument("<id>", 'the id that "list" shows')
      .action(async (id: string, flags: LiveFlags) => {
        await clientOf(flags, parts).delete(`/tokens/${encodeURIComponent(id)}`);
        terminal.write(`${plain(id)} is revoked\n`);
      }),
  );
  return token;
}

async function passwordFrom({ input = process.stdin, terminal }: AccessParts): Promise<string> {
  if (terminal.interactive && input === process.stdin && process.stdin.isTTY) terminal.write("Password (it is shown as you type): ");
  const lines = createInterface({ input });
  try {
    for await (const line of lines) return line;
  } finally {
    lines.close();
  }
  throw new SluiceError("config.invalid", "The password comes from standard input: printf %s PASSWORD | sluice account ...");
}

function when(time: number | undefined): string {
  return time === undefined ? "-" : new Date(time).toISOString().slice(0, 16).replace("T", " ");
}
