import type { Identity } from "./session.ts";

/** Names of each kind that one session remembers; sessions that everybody shares (mode 0) would grow without end. */
const mostNames = 256;

/** How long something was in use. Seconds, and monotonic milliseconds; whole numbers. */
export class Use {
  seconds = 0;
  lastActive = 0;
  /** The last second that was counted. */
  lastTick = -1;

  /** Counts up to the second `tick`, `passed` seconds at most. */
  mark(tick: number, passed: number, now: number): void {
    this.lastActive = Math.ceil(now);
    if (this.lastTick === tick) return;
    this.seconds += Math.min(passed, tick - this.lastTick);
    this.lastTick = tick;
  }
}

/** What one connection of a session uses. */
export type ConnectionUses = { readonly stream: Use; readonly protocol: Use; readonly host: Use };

type Named = Pick<Identity, "stream" | "protocol" | "address">;
type Kind = keyof ConnectionUses;
type Names = { readonly [K in Kind]: Map<string, Use> };

/**
 * The streams, connectors and addresses of one session, each with its time. As long as there is one of each, as with most sessions,
 * their times are the same and one counter does for all three.
 */
export class Uses {
  readonly #first: Named;
  #only: Use | undefined;
  #names: Names | undefined;

  /** `first`: most likely the names of all its connections. */
  constructor(first: Named) {
    this.#first = first;
  }

  /** The counters of a connection with these names; `split` is called when connections so far have to take others than they have. */
  of(named: Named, split: (uses: ConnectionUses) => void): ConnectionUses {
    if (!this.#names && isSame(named, this.#first)) {
      const use = (this.#only ??= new Use());
      return { stream: use, protocol: use, host: use };
    }
    if (!this.#names) {
      this.#names = { stream: new Map(), protocol: new Map(), host: new Map() };
      const only = this.#only;
      if (only) {
        const copies = { stream: copyOf(only), protocol: copyOf(only), host: copyOf(only) };
        this.#names.stream.set(this.#first.stream, copies.stream);
        this.#names.protocol.set(this.#first.protocol, copies.protocol);
        this.#names.host.set(this.#first.address, copies.host);
        split(copies);
      }
      this.#only = undefined;
    }
    const { stream, protocol, host } = this.#names;
    return { stream: useOf(stream, named.stream), protocol: useOf(protocol, named.protocol), host: useOf(host, named.address) };
  }

  /** All names of a kind, in the order of their first use. */
  names(kind: Kind): readonly string[] {
    return this.#names ? [...this.#names[kind].keys()] : this.#only ? [nameOf(this.#first, kind)] : [];
  }

  secondsOf(kind: Kind, name: string): number {
    if (this.#names) return this.#names[kind].get(name)?.seconds ?? 0;
    return nameOf(this.#first, kind) === name ? (this.#only?.seconds ?? 0) : 0;
  }

  /** The names that were active after this moment, sorted. */
  active(kind: Kind, since: number): readonly string[] {
    if (!this.#names) return this.#only && this.#only.lastActive > since ? [nameOf(this.#first, kind)] : [];
    const names: string[] = [];
    for (const [name, { lastActive }] of this.#names[kind]) if (lastActive > since) names.push(name);
    return names.sort();
  }

  /** Names with their seconds, sorted by name. */
  sorted(kind: Kind): readonly (readonly [string, number])[] {
    const uses = this.names(kind).map((name) => [name, this.secondsOf(kind, name)] as const);
    return uses.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  }
}

function isSame(one: Named, other: Named): boolean {
  return one.stream === other.stream && one.protocol === other.protocol && one.address === other.address;
}

function nameOf({ stream, protocol, address }: Named, kind: Kind): string {
  return kind === "stream" ? stream : kind === "protocol" ? protocol : address;
}

/** Beyond the bound a name is kept by its connection only. */
function useOf(uses: Map<string, Use>, name: string): Use {
  let use = uses.get(name);
  if (!use) {
    use = new Use();
    if (uses.size < mostNames) uses.set(name, use);
  }
  return use;
}

function copyOf({ seconds, lastActive, lastTick }: Use): Use {
  return Object.assign(new Use(), { seconds, lastActive, lastTick });
}
