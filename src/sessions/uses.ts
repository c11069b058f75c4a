/** Names of each kind that one session remembers; sessions that everybody shares (mode 0) would grow without end. */
const mostUses = 256;

/** How long one stream, connector or address was in use by a session. Monotonic milliseconds and seconds, both whole. */
export class Use {
  readonly name: string;
  seconds = 0;
  lastActive = 0;
  /** The last second that was counted. */
  lastTick = -1;
  /** The name that came after this one. Most sessions have one of each kind: a list costs them nothing. */
  next: Use | undefined;

  constructor(name: string) {
    this.name = name;
  }

  /** Counts up to the second `tick`, `passed` seconds at most. */
  mark(tick: number, passed: number, now: number): void {
    this.lastActive = Math.ceil(now);
    if (this.lastTick === tick) return;
    this.seconds += Math.min(passed, tick - this.lastTick);
    this.lastTick = tick;
  }
}

/** The use of this name in the list, which is put at its end if it is new and there is room; beyond that it is kept by its connection only. */
export function useOf(first: Use, name: string): Use {
  let last = first;
  let count = 1;
  for (let use: Use | undefined = first; use; use = use.next) {
    if (use.name === name) return use;
    last = use;
    count++;
  }
  const fresh = new Use(name);
  if (count <= mostUses) last.next = fresh;
  return fresh;
}

/** All names of a list, in the order of their first use. */
export function* usesOf(first: Use | undefined): Iterable<Use> {
  for (let use = first; use; use = use.next) yield use;
}

/** The names that were active after this moment, sorted. */
export function activeNames(first: Use | undefined, since: number): readonly string[] {
  const names: string[] = [];
  for (const use of usesOf(first)) if (use.lastActive > since) names.push(use.name);
  return names.sort();
}

/** Names with their seconds, sorted by name. */
export function sortedUses(first: Use | undefined): readonly (readonly [string, number])[] {
  const uses = [...usesOf(first)].map(({ name, seconds }) => [name, seconds] as const);
  return uses.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}
