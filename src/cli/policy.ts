import { Command } from "commander";
import { SluiceError } from "../base/errors.ts";
import { clientOf, itemsOf, type LiveFlags, liveCommand, type LiveParts } from "./live-command.ts";
import { plain, table } from "./terminal.ts";

type View = { readonly name: string; readonly use: string; readonly from: string; readonly options: Readonly<Record<string, unknown>> };

const most = 1000;

/** `sluice policy list|set|remove`: the ready-made sets of handlers that are in force. */
export function policyCommand(parts: LiveParts): Command {
  const { terminal } = parts;
  const policy = new Command("policy").exitOverride().description("ready-made policies: pushTokens, viewTokens, accessControl, ...");
  const list = liveCommand("list", "show those that are in force", parts).action(async (flags: LiveFlags) => {
    const page = await itemsOf<View>(clientOf(flags, parts), "/policies", {}, most);
    if (flags.json) return terminal.write(`${JSON.stringify(page)}\n`);
    const rows = page.items.map(({ name, use, from, options }) => [plain(name), plain(use), from, plain(JSON.stringify(options))]);
    terminal.write(rows.length === 0 ? "There is no policy.\n" : `${table(terminal, ["name", "use", "from", "options"], rows)}\n`);
  });
  const set = liveCommand("set", "put a policy in force, or change one; it stays over a restart", parts)
    .argument("<name>", "its name; if use=... is left out, the policy of this name is meant")
    .argument("[options...]", "use=POLICY and its options, each as NAME=VALUE; a value is JSON if it can be: streams='[\"live\"]'")
    .action(async (name: string, words: readonly string[], flags: LiveFlags) => {
      const made = await clientOf(flags, parts).put(`/policies/${encodeURIComponent(name)}`, { use: name, ...optionsOf(words) });
      terminal.write(flags.json ? `${JSON.stringify(made)}\n` : `${plain(name)} is in force\n`);
    });
  const remove = liveCommand("remove", "take a policy out of force; its tokens stay", parts)
    .argument("<name>", 'the name that "list" shows')
    .action(async (name: string, flags: LiveFlags) => {
      await clientOf(flags, parts).delete(`/policies/${encodeURIComponent(name)}`);
      terminal.write(`${plain(name)} is out of force\n`);
    });
  for (const one of [list, set, remove]) policy.addCommand(one);
  return policy;
}

/** Throws "input.invalid" for a word that is none. */
function optionsOf(words: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(
    words.map((word) => {
      const equals = word.indexOf("=");
      if (equals < 1) throw new SluiceError("input.invalid", `${word} must be NAME=VALUE, such as use=pushTokens`);
      return [word.slice(0, equals), valueOf(word.slice(equals + 1))];
    }),
  );
}

function valueOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}
