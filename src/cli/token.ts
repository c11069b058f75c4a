import { existsSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { isSluiceError, SluiceError } from "../base/errors.ts";
import { durationMs } from "../base/time.ts";
import { openStore, type Store } from "../store/store.ts";
import type { TokenKind, TokenRecord, TokenSpec } from "../store/token-book.ts";
import { apiHome, clientOf, itemsOf, type LiveFlags, liveCommand, type LiveParts } from "./live-command.ts";
import { plain, table } from "./terminal.ts";

type View = Omit<TokenRecord, "kind">;
type CreateFlags = LiveFlags & {
  readonly data?: string;
  readonly store?: string;
  readonly label?: string;
  readonly expires?: string;
  readonly uses?: string;
  readonly sessions?: string;
  readonly lifetime?: string;
  readonly grace?: string;
  readonly address?: readonly string[];
  readonly protocol?: readonly string[];
  readonly bind?: string;
  readonly whenTaken?: string;
  readonly short?: true;
  readonly signed?: true;
};
type OtherFlags = LiveFlags & { readonly data?: string; readonly store?: string; readonly stream?: string };

export type TokenParts = LiveParts & { readonly complain: (text: string) => void };

/** Where a server keeps its data if nothing else is said, and the file by which its store is known. */
const usualFolder = "data";
const storeFile = "sluice.db";

const most = 10_000;
const many = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];

/** `sluice token push|view create|list|revoke`: tokens of the policies pushTokens and viewTokens. */
export function tokenCommand(parts: TokenParts): Command {
  const token = new Command("token")
    .exitOverride()
    .description("tokens to push and to watch; without a server that runs, those in its data folder");
  token.addCommand(kindCommand("push", "tokens that encoders push to, in the place of a stream's name", parts));
  token.addCommand(kindCommand("view", "tokens that viewers open, in the place of a stream's name", parts));
  return token;
}

function kindCommand(kind: TokenKind, description: string, parts: TokenParts): Command {
  const { terminal } = parts;
  const command = new Command(kind).exitOverride().description(description);
  const create = dataCommand("create", "make a token and print it; it is shown here, and not again", parts)
    .argument("<stream>", kind === "push" ? "the stream, or a template such as live+$name" : "the stream, or a pattern such as live+")
    .option("--label <text>", "for people; $name in a template")
    .option("--expires <duration>", 'how long it holds: "30d", "12h"; left out: until it is revoked')
    .option("--uses <n>", "how often it may be used")
    .option("--address <network>", "who may use it; may be given several times", many)
    .option("--protocol <name>", "over what: RTMP, HLS, ...; may be given several times", many)
    .option("--short", "at most 24 characters, for encoders with short limits");
  if (kind === "push") create.option("--when-taken <how>", "when somebody pushes already: refuse, take-over or backup");
  else {
    create
      .option("--sessions <n>", "viewers at the same time")
      .option("--lifetime <duration>", "how long it holds from its first use on")
      .option("--grace <duration>", "who was in may come back within this without another use")
      .option("--bind <to>", "address or device, with :soft or :strict (left out: strict), such as device:soft")
      .option("--when-taken <how>", "when all its sessions are taken: refuse or take-over")
      .option("--signed", "it says itself what it is for, signed with a key of the policy viewTokens; needs a server that runs");
  }
  create.action(async (stream: string, flags: CreateFlags) => {
    const body = bodyOf(kind, stream, flags);
    const made = await either(
      async () => (await clientOf(flags, parts).post(`/${kind}-tokens`, body)) as View & { readonly token: string },
      async (store) => {
        if (flags.signed) throw new SluiceError("source.failed", "No server runs: signed tokens are made by one, as it has the keys");
        const { record, token } = await store.tokens.create(specOf(kind, body));
        return { ...record, token };
      },
      flags,
      parts,
    );
    terminal.write(flags.json ? `${JSON.stringify(made)}\n` : `${made.token}\n`);
  });
  const list = dataCommand("list", "show all tokens", parts).option("--stream <stream>", "those of one stream");
  list.action(async (flags: OtherFlags) => {
    const page = await either(
      async () => await itemsOf<View>(clientOf(flags, parts), `/${kind}-tokens`, { stream: flags.stream }, most),
      async (store) => ({
        items: await store.tokens.list({ kind, limit: most, ...(flags.stream !== undefined && { stream: flags.stream }) }),
      }),
      flags,
      parts,
    );
    if (flags.json) return terminal.write(`${JSON.stringify(page)}\n`);
    const rows = page.items.map((one) => [
      one.id,
      `${one.hint}…`,
      plain(one.stream),
      plain(one.label ?? ""),
      `${one.used}${one.uses === undefined ? "" : ` of ${one.uses}`}`,
      one.revokedAt === undefined ? when(one.expiresAt) : "revoked",
    ]);
    terminal.write(
      rows.length === 0 ? "There is no token.\n" : `${table(terminal, ["id", "token", "stream", "label", "used", "ends"], rows)}\n`,
    );
  });
  const revoke = dataCommand("revoke", "revoke a token; who uses it is ended at once", parts).argument("<id>", 'the id that "list" shows');
  revoke.action(async (id: string, flags: OtherFlags) => {
    await either(
      async () => await clientOf(flags, parts).delete(`/${kind}-tokens/${encodeURIComponent(id)}`),
      async (store) => {
        const found = await store.tokens.get(id);
        if (found?.kind !== kind) throw new SluiceError("input.invalid", `There is no ${kind} token with the id ${id}`);
        if (!(await store.tokens.revoke(id, Date.now()))) throw new SluiceError("input.invalid", `The token ${id} was revoked before`);
      },
      flags,
      parts,
    );
    terminal.write(`${plain(id)} is revoked\n`);
  });
  for (const one of [create, list, revoke]) command.addCommand(one);
  return command;
}

function dataCommand(name: string, description: string, parts: LiveParts): Command {
  return liveCommand(name, description, parts)
    .option("--data <dir>", "the server's data folder, for when it does not run (SLUICE_DATA)")
    .option("--store <url>", "the same for a store in PostgreSQL (SLUICE_STORE)");
}

/** Asks the server; its store when none runs. */
async function either<T>(
  ask: () => Promise<T>,
  open: (store: Store) => Promise<T>,
  { api, data, store: url }: Pick<LiveFlags, "api"> & { readonly data?: string | undefined; readonly store?: string | undefined },
  { environment, complain }: TokenParts,
): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (!isSluiceError(error, "source.failed")) throw error;
    const named = url ?? (data || environment["SLUICE_STORE"] || environment["SLUICE_DATA"]);
    // A server that was asked for by its address has its own store, and not the one that happens to be here.
    const found = !named && api === apiHome(environment) && existsSync(join(usualFolder, storeFile)) ? usualFolder : undefined;
    const place = named ?? found;
    if (!place)
      throw new SluiceError("source.failed", `${error.message} (With --data DIR or --store URL the tokens in its store are changed.)`, {
        cause: error,
      });
    complain(`No server answers at ${api}: ${found ? `taking the store that is here, in the folder ${found}` : "taking its store"}`);
    await using store = await openStore(place);
    return await open(store);
  }
}

type Body = Readonly<Record<string, unknown>> & { readonly stream: string };

function bodyOf(kind: TokenKind, stream: string, flags: CreateFlags): Body {
  const { label, expires, uses, sessions, lifetime, grace, address, protocol, bind, whenTaken, short, signed } = flags;
  const [to, how = "strict"] = bind?.split(":") ?? [];
  return {
    stream,
    ...(label !== undefined && { label }),
    ...(expires !== undefined && { expiresIn: expires }),
    ...(uses !== undefined && { uses: Number(uses) }),
    ...(address && { addresses: address }),
    ...(protocol && { protocols: protocol }),
    ...(short && { short }),
    ...(signed && { signed }),
    ...(whenTaken !== undefined && { whenTaken }),
    ...(kind === "view" && sessions !== undefined && { sessions: Number(sessions) }),
    ...(kind === "view" && lifetime !== undefined && { lifetime }),
    ...(kind === "view" && grace !== undefined && { grace }),
    ...(kind === "view" && to !== undefined && { bind: { to, how } }),
  };
}

/** What the API would make of the body. */
function specOf(kind: TokenKind, { expiresIn, lifetime, grace, ...rest }: Body): TokenSpec {
  for (const field of ["uses", "sessions"]) {
    const value = rest[field];
    if (value !== undefined && !(Number.isSafeInteger(value) && Number(value) >= 1))
      throw new SluiceError("input.invalid", `--${field} must be a whole number from 1 on`);
  }
  return {
    ...(rest as Omit<TokenSpec, "kind">),
    kind,
    ...(expiresIn !== undefined && { expiresAt: Date.now() + msOf(expiresIn, "--expires") }),
    ...(lifetime !== undefined && { lifetimeMs: msOf(lifetime, "--lifetime") }),
    ...(grace !== undefined && { graceMs: msOf(grace, "--grace") }),
  };
}

function msOf(text: unknown, flag: string): number {
  try {
    return durationMs(text as `${number}s`);
  } catch (cause) {
    throw new SluiceError("input.invalid", `${flag} must be a duration such as "30d" or "12h"`, { cause });
  }
}

function when(time: number | undefined): string {
  return time === undefined ? "-" : new Date(time).toISOString().slice(0, 16).replace("T", " ");
}
