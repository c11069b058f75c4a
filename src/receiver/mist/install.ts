import { SluiceError } from "../../base/errors.ts";
import { type TriggerDefinition, type TriggerName, triggers } from "../../triggers/table.ts";
import { type MistClient, sameAddress } from "./client.ts";
import type { MistTrigger } from "./shapes.ts";

/** A MistServer cuts what is longer, without a word. */
const longestUrl = 127;

/** The name that a value becomes when the receiver does not answer: one that nothing is configured for. */
export const nobody = "receiver-is-down";

/** Where the fork of FrameWorks has a word for what holds when a handler fails; stock MistServers do not look at it. */
const deniesOnFail: ReadonlySet<TriggerName> = new Set([
  "PUSH_REWRITE",
  "PLAY_REWRITE",
  "USER_NEW",
  "CONN_OPEN",
  "CONN_PLAY",
  "STREAM_LOAD",
]);

/**
 * A trigger's entry that calls a receiver. A MistServer that cannot reach it falls back to `default`, so that says no where somebody
 * would be let in: `false`, or a name that does not exist. Throws "config.invalid" for a URL that a MistServer would cut.
 */
export function receiverEntry(name: TriggerName, url: string): MistTrigger {
  if (Buffer.byteLength(url) > longestUrl)
    throw new SluiceError(
      "config.invalid",
      `the receiver's URL has ${Buffer.byteLength(url)} bytes with its key; a MistServer cuts it at ${longestUrl}: choose a shorter --public-url`,
    );
  const { answer, fail }: TriggerDefinition = triggers[name];
  if (answer === "notify") return { handler: url, sync: false, streams: [] };
  const onfail = deniesOnFail.has(name) ? { onfail: "deny" } : {};
  if (answer === "verdict") return { handler: url, sync: true, streams: [], default: fail === "allow" ? "true" : "false", ...onfail };
  return { handler: url, sync: true, streams: [], default: nobody, ...onfail };
}

/** Installs a receiver for these triggers, in the place of what has its address (its key aside), and leaves all else as it is. */
export async function installTriggers(client: MistClient, names: readonly TriggerName[], url: string): Promise<void> {
  const entries = new Map(names.map((name) => [name as string, receiverEntry(name, url)]));
  await client.changeTriggers((table) => {
    const others = without(table, url);
    const added = [...entries].map(([name, entry]) => [name, [...(others[name] ?? []), entry]] as const);
    return { ...others, ...Object.fromEntries(added) };
  });
}

/** True when each of these triggers calls this URL, key and all, and no other one calls its address. */
export async function areInstalled(client: MistClient, names: readonly TriggerName[], url: string): Promise<boolean> {
  const table = await client.triggers();
  const calling = Object.keys(table).filter((name) => table[name]?.some((entry) => sameAddress(entry, url)));
  const exact = (name: string): boolean =>
    table[name]?.some((entry) => JSON.stringify(entry).includes(JSON.stringify(url))) === true &&
    table[name].filter((entry) => sameAddress(entry, url)).length === 1;
  return calling.length === names.length && names.every(exact);
}

/** Takes the receiver out again, whatever its key was. */
export async function removeTriggers(client: MistClient, url: string): Promise<void> {
  await client.changeTriggers((table) => without(table, url));
}

function without(table: Readonly<Record<string, readonly unknown[]>>, url: string): Record<string, readonly unknown[]> {
  return Object.fromEntries(Object.entries(table).map(([name, list]) => [name, list.filter((entry) => !sameAddress(entry, url))]));
}
