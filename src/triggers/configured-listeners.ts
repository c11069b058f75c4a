import { isDeepStrictEqual } from "node:util";
import type { TriggerEntries } from "./entry.ts";
import { handlerIds } from "./handler-id.ts";
import { configuredListener, type Listener, type Surroundings } from "./listener.ts";
import type { TriggerName } from "./table.ts";

/**
 * The listeners of a new configuration. An entry that says what it said `before` keeps its listener, and with that its calls
 * in flight, its breaker and its last answers: a change of another entry must not make people be asked for again.
 */
export function configuredListeners(
  entries: TriggerEntries,
  before: ReadonlyMap<TriggerName, readonly Listener[]>,
  around: Surroundings,
): Map<TriggerName, readonly Listener[]> {
  return new Map(
    [...entries.handlers].map(([name, list]) => {
      const ids = handlerIds(name, entries.given[name] as readonly unknown[]);
      const listeners = list.map((entry, index) => {
        const id = ids[index] ?? "";
        const known = before.get(name)?.find((one) => one.id === id && isDeepStrictEqual(one.entry, entry));
        return known ?? configuredListener(name, id, entry, around);
      });
      return [name, listeners];
    }),
  );
}
