import type { Entry } from "./entry.ts";
import type { SessionCensus } from "./session.ts";
import type { StreamBook } from "./stream-book.ts";

/** Counts all sessions in one pass that makes no copies of them; `ended` is the number of those that are only remembered. */
export function takeCensus(live: Iterable<Entry>, ended: number, book: StreamBook): SessionCensus {
  const now = { viewer: 0, input: 0, output: 0, unspecified: 0 };
  const viewersBy = new Map<string, number>();
  let remembered = ended;
  for (const entry of live) {
    remembered++;
    if (entry.state !== "accepted") continue;
    const { type } = entry.identity;
    if (type === "viewer") {
      const connector = entry.flow?.protocol ?? entry.identity.protocol;
      viewersBy.set(connector, (viewersBy.get(connector) ?? 0) + 1);
    } else if (type !== "unspecified" && !entry.connected) continue;
    now[type]++;
  }
  return { now, remembered, viewersBy, ...book.all() };
}
