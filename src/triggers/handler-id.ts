import { createHash } from "node:crypto";
import type { TriggerName } from "./table.ts";

/**
 * Names for the entries of one trigger, in their order: made from what the entry says, so that they are the same after a restart
 * and in every view, and MistServer's shape needs no field for them. A second entry that says the same gets `-2`.
 */
export function handlerIds(trigger: TriggerName, entries: readonly unknown[]): readonly string[] {
  const seen = new Map<string, number>();
  return entries.map((entry) => {
    const text = JSON.stringify(sorted(entry)) ?? "null";
    const id = createHash("sha256").update(`${trigger} ${text}`).digest("hex").slice(0, 12);
    const count = (seen.get(id) ?? 0) + 1;
    seen.set(id, count);
    return count === 1 ? id : `${id}-${count}`;
  });
}

/** The same value with keys in alphabetical order: who writes an entry back may order them otherwise. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, member]) => [key, sorted(member)]),
  );
}
