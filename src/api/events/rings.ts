import { Ring } from "../../base/ring.ts";
import { type EventKind, eventKindNames, eventKinds } from "./kinds.ts";

/** Something that has happened. It holds what it is about as it is; it is made text when somebody reads it. */
export type FeedEvent = {
  /** Rises over all kinds, without gaps. */
  readonly number: number;
  readonly kind: EventKind;
  readonly type: string;
  /** Unix milliseconds. */
  readonly at: number;
  readonly subject: unknown;
  /** The event as it goes to all of its readers, once one of them has asked for it. */
  text?: string;
};

/** What was found behind a place in the feed. */
export type Found = {
  readonly events: readonly FeedEvent[];
  /** The number up to which all was looked at. */
  readonly upTo: number;
  /** True when events of these kinds behind that place are not kept any more. */
  readonly lost: boolean;
};

type Kept = { readonly ring: Ring<FeedEvent>; readonly most: number; lastDropped: number };

/** The last events, each kind in a ring of its own: ten thousand sessions push out no change of a stream. */
export class EventRings {
  readonly #rings: Readonly<Record<EventKind, Kept>>;
  #last = 0;

  constructor(most: (kind: EventKind) => number = (kind) => eventKinds[kind].kept) {
    const entries = eventKindNames.map((kind) => [kind, { ring: new Ring<FeedEvent>(), most: most(kind), lastDropped: 0 }] as const);
    this.#rings = Object.fromEntries(entries) as Record<EventKind, Kept>;
  }

  /** The number of the newest event; 0 when there was none. */
  get last(): number {
    return this.#last;
  }

  push(kind: EventKind, type: string, at: number, subject: unknown): void {
    const kept = this.#rings[kind];
    kept.ring.push({ number: ++this.#last, kind, type, at, subject });
    if (kept.ring.length > kept.most) kept.lastDropped = kept.ring.drop()?.number ?? kept.lastDropped;
  }

  /** Events of these kinds with numbers above `position`, in order, `most` at most. */
  after(position: number, kinds: readonly EventKind[], most: number): Found {
    if (kinds.some((kind) => this.#rings[kind].lastDropped > position)) return { events: [], upTo: position, lost: true };
    const found = kinds.flatMap((kind) => following(this.#rings[kind].ring, position, most)).sort((a, b) => a.number - b.number);
    const events = found.slice(0, most);
    return { events, upTo: found.length < most ? this.#last : (events.at(-1)?.number ?? this.#last), lost: false };
  }

  /** The newest of one kind, oldest first. */
  newest(kind: EventKind, most: number): readonly FeedEvent[] {
    const { ring } = this.#rings[kind];
    const events: FeedEvent[] = [];
    for (let at = Math.max(ring.first, ring.end - most); at < ring.end; at++) {
      const event = ring.get(at);
      if (event) events.push(event);
    }
    return events;
  }
}

/** Numbers rise in each ring: the first one above `position` is found by halving. */
function following(ring: Ring<FeedEvent>, position: number, most: number): readonly FeedEvent[] {
  let [low, high] = [ring.first, ring.end];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ring.get(middle)?.number ?? 0) > position) high = middle;
    else low = middle + 1;
  }
  const events: FeedEvent[] = [];
  for (let at = low; at < ring.end && events.length < most; at++) {
    const event = ring.get(at);
    if (event) events.push(event);
  }
  return events;
}
