import type { Command } from "commander";
import { SluiceError } from "../base/errors.ts";
import type { ApiClient } from "./api-client.ts";
import { clientOf, itemsOf, liveCommand, type LiveFlags, type LiveParts, type Page, watchedCommand } from "./live-command.ts";
import { bitRate, bytes, plain, show, span, table, type Terminal } from "./terminal.ts";

type SessionItem = {
  readonly id: string;
  readonly type: string;
  readonly state: string;
  readonly stream: string;
  readonly protocol: string;
  readonly address: string;
  readonly user: string;
  readonly tags: readonly string[];
  readonly seconds: number;
  readonly up: number;
  readonly down: number;
  readonly upPerSecond: number;
  readonly downPerSecond: number;
};

type Filter = { readonly stream?: string; readonly user?: string; readonly tag?: string; readonly address?: string };
type ListFlags = LiveFlags &
  Filter & { readonly protocol?: string; readonly type?: string; readonly state?: string; readonly limit: string };
type PickFlags = LiveFlags & { readonly [F in keyof Filter]?: readonly string[] } & { readonly reason?: string; readonly all?: true };

/** Sessions that are looked through for the beginning of an id. */
const mostLooked = 100_000;
/** Digits of an id that lists show. */
const shownDigits = 12;

/** `sluice sessions`: who watches and pushes. */
export function sessionsCommand(parts: LiveParts): Command {
  return watchedCommand("sessions", "who watches and who pushes, oldest first", parts)
    .option("--stream <name>", "only of this stream; base+ for all below it, * for any text")
    .option("--user <name>", "only of this user")
    .option("--tag <tag>", "only with this tag")
    .option("--address <address>", "only from this address or network")
    .option("--protocol <connector>", "only over this connector, for example HLS")
    .option("--type <type>", "only viewer, input, output or unspecified")
    .option("--state <state>", "only checking, accepted, denied or ended; else all but ended")
    .option("--limit <n>", "at most so many", "100")
    .action(async (flags: ListFlags) => {
      const { stream, user, tag, address, protocol, type, state } = flags;
      const client = clientOf(flags, parts);
      await show(parts.terminal, flags.watch, async () => {
        const page = await itemsOf<SessionItem>(
          client,
          "/sessions",
          { stream, user, tag, address, protocol, type, state },
          Number(flags.limit),
        );
        return flags.json ? JSON.stringify(page) : words(page, parts.terminal);
      });
    });
}

/** `sluice kick`: ends sessions. */
export function kickCommand(parts: LiveParts): Command {
  return picking(liveCommand("kick", "end sessions: those that fit any of what is said", parts))
    .argument("[ids...]", "ids of sessions, or their first digits")
    .option("--reason <words>", "what the clients are told")
    .action(async (ids: readonly string[], flags: PickFlags) => {
      const client = clientOf(flags, parts);
      const pick = await pickOf(client, flags, ids);
      if (!pick) throw new SluiceError("config.invalid", "say whom: ids of sessions, --stream, --user, --tag or --address");
      const { reason } = flags;
      const answer = (await client.post("/sessions/stop", { ...pick, ...(reason !== undefined && { reason }) })) as { sessions: number };
      parts.terminal.write(flags.json ? `${JSON.stringify(answer)}\n` : `${counted(answer.sessions)} ended\n`);
    });
}

/** `sluice invalidate`: asks USER_NEW again. */
export function invalidateCommand(parts: LiveParts): Command {
  return picking(liveCommand("invalidate", "ask USER_NEW again about viewers, at once, and forget refusals", parts))
    .argument("[streams...]", "names of streams; base+ for all below it, * for any text")
    .option("--all", "about all viewers")
    .action(async (streams: readonly string[], flags: PickFlags) => {
      const client = clientOf(flags, parts);
      const named = [...streams, ...(flags.stream ?? []), ...(flags.all ? ["*"] : [])];
      const pick = await pickOf(client, { ...flags, stream: named }, []);
      if (!pick) throw new SluiceError("config.invalid", "say about whom: names of streams, --user, --tag, --address, or --all");
      const answer = (await client.post("/sessions/invalidate", pick)) as { sessions: number };
      parts.terminal.write(flags.json ? `${JSON.stringify(answer)}\n` : `${counted(answer.sessions)} asked about again\n`);
    });
}

function picking(command: Command): Command {
  const collect = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];
  return command
    .option(
      "--stream <name>",
      "all of this stream; base+ for all below it, * for any text; may be given more than once, as all of these",
      collect,
    )
    .option("--user <name>", "all of this user", collect)
    .option("--tag <tag>", "all with this tag", collect)
    .option("--address <address>", "all from this address or network", collect);
}

/** The API's lists; undefined when nothing was said. */
async function pickOf(client: ApiClient, { stream, user, tag, address }: PickFlags, ids: readonly string[]): Promise<object | undefined> {
  const lists = { streams: stream, users: user, tags: tag, addresses: address, ids: await wholeIds(client, ids) };
  const said = Object.entries(lists).filter(([, list]) => list !== undefined && list.length > 0);
  return said.length === 0 ? undefined : Object.fromEntries(said);
}

/** Ids as people copy them from a list are cut off. Throws "input.invalid" for a beginning of none, or of several. */
async function wholeIds(client: ApiClient, ids: readonly string[]): Promise<readonly string[]> {
  if (ids.every((id) => id.length >= 64)) return ids;
  const { items } = await itemsOf<SessionItem>(client, "/sessions", {}, mostLooked);
  return ids.map((id) => {
    const found = items.filter((one) => one.id.startsWith(id));
    if (found.length === 1) return found[0]?.id ?? id;
    if (found.length === 0)
      throw new SluiceError("input.invalid", `No session has an id that begins with ${plain(id)}; sluice sessions lists them`);
    throw new SluiceError("input.invalid", `${found.length} sessions have ids that begin with ${plain(id)}; give more of its digits`);
  });
}

function words({ items, next }: Page<SessionItem>, terminal: Terminal): string {
  if (items.length === 0) return "There is no such session.";
  const head = ["SESSION", "STREAM", "USER", "PROTOCOL", "ADDRESS", "TIME", "OUT", "IN", "RATE", "TAGS"];
  const rows = items.map((one) => [
    terminal.style(one.state === "accepted" ? "good" : one.state === "denied" ? "bad" : "dim", plain(one.id.slice(0, shownDigits))),
    plain(one.stream),
    plain(one.user),
    plain(one.protocol),
    plain(one.address),
    span(one.seconds),
    bytes(one.up),
    bytes(one.down),
    bitRate((one.upPerSecond + one.downPerSecond) * 8),
    plain(one.tags.join(" ")),
  ]);
  const shown = table(terminal, head, rows, ["TIME", "OUT", "IN", "RATE"]);
  return next === undefined ? shown : `${shown}\n... and more: --limit`;
}

function counted(sessions: number): string {
  return sessions === 1 ? "1 session" : `${sessions} sessions`;
}
