import type { StreamEntry } from "../config/settings.ts";
import type { ApiParts } from "./parts.ts";

type Entries = readonly (readonly [name: string, entry: StreamEntry])[];
type Asked = Pick<ApiParts, "configuration" | "triggers" | "log">;

/**
 * Configures streams, each after STREAM_ADD (a new name) or STREAM_CONFIG (another entry than before) has said yes; an entry
 * that changes nothing is not asked about. What was refused stays as it was, with a line in the log. Resolves with the
 * names that are configured as wanted.
 */
export async function addStreams(entries: Entries, parts: Asked): Promise<ReadonlySet<string>> {
  const allowed = await permitted(entries, parts);
  if (allowed.length > 0) await parts.configuration.change(({ streams }) => ({ streams: { ...streams, ...Object.fromEntries(allowed) } }));
  return new Set(allowed.map(([name]) => name));
}

/** Takes streams out of the configuration, each after STREAM_REMOVE has said yes. Resolves with the names that are gone. */
export async function removeStreams(names: readonly string[], parts: Asked): Promise<ReadonlySet<string>> {
  const gone = new Set<string>();
  for (const name of names) if (await mayGo(name, parts)) gone.add(name);
  if (gone.size > 0) {
    await parts.configuration.change(({ streams }) => ({
      streams: Object.fromEntries(Object.entries(streams).filter(([name]) => !gone.has(name))),
    }));
  }
  return gone;
}

/** Makes `entries` all that is configured, asking about each difference. */
export async function replaceStreams(entries: Entries, parts: Asked): Promise<void> {
  const wanted = new Set(entries.map(([name]) => name));
  await removeStreams(
    Object.keys(parts.configuration.settings.streams).filter((name) => !wanted.has(name)),
    parts,
  );
  await addStreams(entries, parts);
}

async function permitted(entries: Entries, { configuration, triggers, log }: Asked): Promise<Entries> {
  const allowed: Entries[number][] = [];
  for (const [name, entry] of entries) {
    const { streams } = configuration.settings;
    const before = Object.hasOwn(streams, name) ? streams[name] : undefined;
    const same = before !== undefined && sameEntry(before, entry);
    const trigger = before === undefined ? "STREAM_ADD" : "STREAM_CONFIG";
    const verdict = !same && triggers.wants(trigger, name) ? await triggers.fire(trigger, { stream: name, config: entry }) : undefined;
    if (verdict?.kind !== "deny") allowed.push([name, entry]);
    else
      log.write("WARN", `${trigger} said no (${verdict.reason}): ${before ? "the old configuration stays" : "it is not added"}`, {
        stream: name,
      });
  }
  return allowed;
}

async function mayGo(name: string, { triggers, log }: Asked): Promise<boolean> {
  if (!triggers.wants("STREAM_REMOVE", name)) return true;
  const verdict = await triggers.fire("STREAM_REMOVE", { stream: name });
  if (verdict.kind !== "deny") return true;
  log.write("WARN", `STREAM_REMOVE said no (${verdict.reason}): the stream stays configured`, { stream: name });
  return false;
}

/** True if both have the same members with the same values, in whatever order. */
function sameEntry(left: unknown, right: unknown): boolean {
  if (typeof left !== "object" || typeof right !== "object" || left === null || right === null) return left === right;
  const [keys, others] = [Object.keys(left), Object.keys(right)];
  const of = (value: object, key: string): unknown => (value as Readonly<Record<string, unknown>>)[key];
  return (
    Array.isArray(left) === Array.isArray(right) &&
    keys.length === others.length &&
    keys.every((key) => Object.hasOwn(right, key) && sameEntry(of(left, key), of(right, key)))
  );
}
