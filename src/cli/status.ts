import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import type { ApiClient } from "./api-client.ts";
import { clientOf, type LiveFlags, type LiveParts, watchedCommand } from "./live-command.ts";
import { bitRate, plain, show, span, type Terminal } from "./terminal.ts";

type Status = {
  readonly version: string;
  readonly serverid: string;
  readonly startedAt: number;
  readonly time: number;
  readonly listening: readonly { readonly connector: string; readonly host: string; readonly port: number }[];
  readonly streams: { readonly configured: number; readonly running: number; readonly live: number };
  readonly sessions: { readonly viewer: number; readonly input: number };
  readonly up: number;
  readonly down: number;
  readonly outbox: { readonly waiting: number; readonly dead: number };
};
type Limits = { readonly items: readonly { readonly name: string; readonly counters: readonly { readonly closed: boolean }[] }[] };
type Triggers = {
  readonly stats: Readonly<Record<string, { readonly breakers?: readonly { readonly handler: string; readonly state: string }[] }>>;
  readonly configuration: { readonly error?: { readonly message: string } };
};

/** Everything that `sluice status` tells. */
type Overview = { readonly status: Status; readonly before: Status; readonly limits: Limits; readonly triggers: Triggers };

/** Rates are measured over this long. */
const measureMs = 1000;

/** `sluice status`: how the server does, in a few lines. */
export function statusCommand(parts: LiveParts): Command {
  return watchedCommand("status", "how the server does: streams, viewers, bit rates, limits, handlers that fail", parts).action(
    async (flags: LiveFlags) => {
      const client = clientOf(flags, parts);
      let before: Status | undefined;
      await show(parts.terminal, flags.watch, async () => {
        const overview = await look(client, before);
        before = overview.status;
        return flags.json ? JSON.stringify(shape(overview)) : words(overview, parts.terminal);
      });
    },
  );
}

async function look(client: ApiClient, earlier: Status | undefined): Promise<Overview> {
  const before = earlier ?? ((await client.get("/status")) as Status);
  if (!earlier) await sleep(measureMs);
  const [status, limits, triggers] = await Promise.all([
    client.get("/status") as Promise<Status>,
    client.get("/limits", { closed: "true" }) as Promise<Limits>,
    client.get("/triggers") as Promise<Triggers>,
  ]);
  return { status, before, limits, triggers };
}

function ratesOf({ status, before }: Overview): { readonly up: number; readonly down: number } {
  const seconds = Math.max(0.001, (status.time - before.time) / 1000);
  const rate = (now: number, then: number): number => Math.round((Math.max(0, now - then) * 8) / seconds);
  return { up: rate(status.up, before.up), down: rate(status.down, before.down) };
}

function breakersOf({ triggers }: Overview): readonly { readonly trigger: string; readonly handler: string; readonly state: string }[] {
  return Object.entries(triggers.stats).flatMap(([trigger, { breakers = [] }]) => breakers.map((one) => ({ trigger, ...one })));
}

function shape(overview: Overview): unknown {
  const { up, down } = ratesOf(overview);
  return {
    ...overview.status,
    upBitsPerSecond: up,
    downBitsPerSecond: down,
    limitsReached: overview.limits.items.map(({ name }) => name),
    breakers: breakersOf(overview),
  };
}

function words(overview: Overview, { style }: Terminal): string {
  const { status, limits, triggers } = overview;
  const { up, down } = ratesOf(overview);
  const breakers = breakersOf(overview);
  const { streams, sessions, outbox } = status;
  const none = style("good", "none");
  const lines: (readonly [string, string])[] = [
    [
      "server",
      `Sluice ${status.version}${status.serverid ? ` (${plain(status.serverid)})` : ""}, up ${span((status.time - status.startedAt) / 1000)}`,
    ],
    ["ports", status.listening.map(({ connector, port }) => `${connector} ${port}`).join(", ")],
    ["streams", `${streams.live} live, ${streams.running} running, ${streams.configured} configured`],
    ["viewers", `${sessions.viewer}, and ${sessions.input} ${sessions.input === 1 ? "publisher" : "publishers"}`],
    ["traffic", `${bitRate(up)} out, ${bitRate(down)} in`],
    ["limits reached", limits.items.length === 0 ? none : style("warn", limits.items.map(({ name }) => plain(name)).join(", "))],
    [
      "handlers down",
      breakers.length === 0 ? none : style("bad", breakers.map((one) => plain(`${one.trigger} ${one.handler} (${one.state})`)).join(", ")),
    ],
    [
      "outbox",
      outbox.waiting + outbox.dead === 0 ? style("good", "empty") : style("warn", `${outbox.waiting} waiting, ${outbox.dead} given up`),
    ],
  ];
  const { error } = triggers.configuration;
  if (error) lines.push(["configuration", style("bad", `the file is not in force: ${plain(error.message)}`)]);
  return lines.map(([name, text]) => `${style("bold", name.padEnd(15))} ${text}`).join("\n");
}
