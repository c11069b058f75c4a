import type { Command } from "commander";
import { clientOf, itemsOf, type LiveFlags, type LiveParts, type Page, watchedCommand } from "./live-command.ts";
import { bytes, plain, show, table, type Terminal } from "./terminal.ts";

type StreamItem = {
  readonly name: string;
  readonly state: string;
  readonly viewers: number;
  readonly inputs: number;
  readonly up: number;
  readonly down: number;
  readonly tags: readonly string[];
  readonly tracks: readonly { readonly codec: string }[];
};

type Flags = LiveFlags & { readonly live?: true; readonly tag?: string; readonly prefix?: string; readonly limit: string };

/** `sluice streams`: what is configured and what runs. */
export function streamsCommand(parts: LiveParts): Command {
  return watchedCommand("streams", "streams that are configured or run, with their viewers", parts)
    .option("--live", "only live ones that can be watched now")
    .option("--tag <tag>", "only those with this tag")
    .option("--prefix <text>", "only those whose name begins so")
    .option("--limit <n>", "at most so many", "1000")
    .action(async (flags: Flags) => {
      const client = clientOf(flags, parts);
      const { tag, prefix, live } = flags;
      await show(parts.terminal, flags.watch, async () => {
        const page = await itemsOf<StreamItem>(client, "/streams", { tag, prefix, ...(live && { live: "true" }) }, Number(flags.limit));
        return flags.json ? JSON.stringify(page) : words(page, parts.terminal);
      });
    });
}

function words({ items, next }: Page<StreamItem>, terminal: Terminal): string {
  if (items.length === 0) return "There is no such stream.";
  const look = (state: string): string => terminal.style(state === "ready" ? "good" : state === "offline" ? "dim" : "warn", state);
  const rows = items.map((one) => [
    plain(one.name),
    look(plain(one.state)),
    String(one.viewers),
    String(one.inputs),
    bytes(one.up),
    bytes(one.down),
    [...new Set(one.tracks.map(({ codec }) => plain(codec)))].join(" "),
    plain(one.tags.join(" ")),
  ]);
  const head = ["STREAM", "STATE", "VIEWERS", "PUBLISHERS", "OUT", "IN", "CODECS", "TAGS"];
  const shown = table(terminal, head, rows, ["VIEWERS", "PUBLISHERS", "OUT", "IN"]);
  return next === undefined ? shown : `${shown}\n... and more: --limit`;
}
