import type { Command } from "commander";
import { clientOf, type LiveFlags, type LiveParts, watchedCommand } from "./live-command.ts";
import { plain, show, type Terminal } from "./terminal.ts";

/** A decision as the API tells it. */
type Decision = {
  readonly id: string;
  readonly at: number;
  readonly kind: string;
  readonly result: string;
  readonly reason: string;
  readonly rule: string;
  readonly sessionId: string;
  readonly address: string;
  readonly protocol: string;
  readonly asked: string;
  readonly stream: string;
  readonly user: string;
  readonly tokenHash: string;
  readonly steps: readonly { readonly step: string; readonly ms: number; readonly text: string; readonly call?: string }[];
  readonly repeats?: number;
  readonly lastAt?: number;
};

type Flags = LiveFlags & { readonly limit: string };

/** `sluice why`: what was decided about a client, and what decided. Exits with 1 when nothing is known. */
export function whyCommand(parts: LiveParts & { readonly exit: (code: number) => void }): Command {
  return watchedCommand("why", "why somebody was refused, let in or ended, step by step", parts)
    .argument(
      "<what>",
      "the number that the client was shown (decision ...), a session's id or its first digits, an address, a token or its hash",
    )
    .option("--limit <n>", "at most so many decisions, the newest", "10")
    .action(async (what: string, flags: Flags) => {
      const client = clientOf(flags, parts);
      await show(parts.terminal, flags.watch, async () => {
        const { items } = (await client.get(`/why/${encodeURIComponent(what)}`)) as { readonly items: readonly Decision[] };
        const wanted = items.slice(0, Math.max(1, Number(flags.limit) || 1));
        if (wanted.length === 0 && flags.watch === undefined) parts.exit(1);
        if (flags.json) return JSON.stringify({ items: wanted });
        // What was asked for may be a token: it is not repeated.
        if (wanted.length === 0) return "No decision is known about that. The last 10,000 are kept until the server ends.";
        const more = items.length > wanted.length ? [`... and ${items.length - wanted.length} older: --limit`] : [];
        return [...wanted.map((one) => words(one, parts.terminal)), ...more].join("\n\n");
      });
    });
}

const deeds: Readonly<Record<string, readonly [yes: string, no: string]>> = {
  play: ["let in", "refused"],
  publish: ["let in", "refused"],
  recheck: ["may stay", "may not stay"],
  renew: ["renewed", "not renewed"],
  end: ["ended", "ended"],
};

function words(one: Decision, terminal: Terminal): string {
  const { style } = terminal;
  const deed = deeds[one.kind]?.[one.result === "allow" ? 0 : 1] ?? `${one.kind} ${one.result}`;
  const doing = one.kind === "publish" ? "push over" : "watch over";
  const title = `${style("bold", plain(one.id))}  ${style(one.result === "allow" ? "good" : "bad", deed)}  ${when(one.at)}  ${doing} ${plain(one.protocol)} from ${plain(one.address)}`;
  const stream =
    one.stream === ""
      ? `none; asked for ${one.asked || "nothing"}`
      : one.stream === one.asked
        ? one.stream
        : `${one.stream}; asked for ${one.asked}`;
  const facts = [
    ["told", one.reason],
    ["decided by", one.rule],
    ["stream", stream],
    ["user", one.user],
    ["session", one.sessionId],
    ["token", one.tokenHash && `has the hash ${one.tokenHash}`],
    ["again", one.repeats === undefined ? "" : `${one.repeats} times, last at ${when(one.lastAt ?? one.at)}`],
  ].filter(([, text]) => text !== "");
  const width = Math.max(...one.steps.map(({ step }) => step.length), 0);
  const steps = one.steps.map(({ step, ms, text, call }) => {
    const more = call === undefined ? "" : style("dim", `  (sluice triggers show ${plain(call)})`);
    return `  ${`${ms} ms`.padStart(10)}  ${plain(step).padEnd(width)}  ${plain(text)}${more}`;
  });
  return [title, ...facts.map(([name = "", text = ""]) => `  ${name.padEnd(10)}  ${plain(text)}`), ...steps].join("\n");
}

function when(at: number): string {
  return new Date(at).toISOString();
}
