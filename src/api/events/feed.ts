import { randomBytes } from "node:crypto";
import type { DecisionRecord, Decisions } from "../../access/decisions.ts";
import type { Programs } from "../../access/fallback/programs.ts";
import type { LimitBook } from "../../access/limits/limit.ts";
import type { LogEntry } from "../../base/log.ts";
import type { Clock } from "../../base/time.ts";
import type { Sessions } from "../../sessions/session.ts";
import type { Stream, StreamDirectory, StreamEvent } from "../../streams/stream.ts";
import { type EventKind, eventKinds } from "./kinds.ts";
import { EventRings, type FeedEvent, type Found } from "./rings.ts";
import { dataOf, isAbout, isMeant, sessionShape, type StreamCount, type StreamPicture, streamShape } from "./shapes.ts";

/** Where the events come from. */
export type FeedSources = {
  readonly clock: Clock;
  readonly directory: Pick<StreamDirectory, "list" | "onEvent">;
  readonly sessions: Pick<Sessions, "get" | "list" | "counters" | "onChange" | "onEnd">;
  readonly tagsOf: (stream: string) => readonly string[];
  readonly log: { entries(): readonly LogEntry[]; onEntry(run: (entry: LogEntry) => void): Disposable };
  readonly decisions?: Pick<Decisions, "find" | "onDecision"> | undefined;
  readonly limits?: Pick<LimitBook, "states" | "onChange"> | undefined;
  readonly fallbacks?: Pick<Programs, "states" | "onChange"> | undefined;
};

/** What one reader wants to hear. */
export type Wanted = {
  readonly kinds: readonly EventKind[];
  /** A stream's name, or `base+`; undefined: all. */
  readonly stream: string | undefined;
};

/** Milliseconds that events are gathered before readers hear of them. */
const gatherMs = 20;
/** The viewers of each stream are counted this often, while somebody reads. */
const countMs = 1000;
/** Items of a snapshot that are made text at once. */
const pieceItems = 500;
const snapshotItems = 100;

/**
 * Everything that happens, numbered. Whatever is told is kept as it is, by reference: it is made text for the first
 * reader, once for all, and while nobody reads only the rings are written.
 */
export class EventFeed implements Disposable {
  readonly #sources: FeedSources;
  readonly #rings: EventRings;
  /** Other than that of any run before: numbers of those mean nothing here. */
  readonly #epoch = randomBytes(6).toString("hex");
  readonly #followers = new Set<() => void>();
  readonly #listening: readonly Disposable[];
  /** What was told last of each stream's viewers. */
  #counts = new Map<string, StreamCount>();
  #counting: Disposable | undefined;
  #gathering: Disposable | undefined;

  constructor(sources: FeedSources, most?: (kind: EventKind) => number) {
    this.#sources = sources;
    this.#rings = new EventRings(most);
    const { directory, sessions, decisions, limits, fallbacks, log } = sources;
    for (const entry of log.entries()) this.#push("log", "line", entry, entry.unix * 1000);
    const listening: (Disposable | undefined)[] = [
      directory.onEvent((event) => this.#onStream(event)),
      sessions.onChange((id, what) => this.#push("session", what, id)),
      sessions.onEnd((end, why) => this.#push("session", "ended", { end, why })),
      decisions?.onDecision((record) => this.#push("decision", "made", record)),
      limits?.onChange((state) => this.#push("limit", state.closed ? "closed" : "open", state)),
      fallbacks?.onChange((state) => this.#push("fallback", "changed", state)),
      log.onEntry((entry) => this.#push("log", "line", entry)),
    ];
    this.#listening = listening.filter((listener) => listener !== undefined);
  }

  /** The number of the newest event. */
  get last(): number {
    return this.#rings.last;
  }

  get clock(): Clock {
    return this.#sources.clock;
  }

  idOf(number: number): string {
    return `${this.#epoch}-${number}`;
  }

  /** The number in an id of this run; undefined for any other text. */
  numberOf(id: string): number | undefined {
    const [epoch, digits = "", ...more] = id.split("-");
    const number = /^\d{1,15}$/.test(digits) && more.length === 0 && epoch === this.#epoch ? Number(digits) : undefined;
    return number !== undefined && number <= this.last ? number : undefined;
  }

  /** What was wanted of the events behind a number, `most` looked at. */
  after(position: number, { kinds, stream }: Wanted, most: number): Found {
    const found = this.#rings.after(position, kinds, most);
    if (stream === undefined) return found;
    return { ...found, events: found.events.filter((event) => isAbout(event, stream, this.#sources.sessions)) };
  }

  /** The newest of one kind, oldest first. */
  newest(kind: EventKind, most: number): readonly FeedEvent[] {
    return this.#rings.newest(kind, most);
  }

  /** The event as it goes over the wire; made once. */
  textOf(event: FeedEvent): string {
    event.text ??= sseText(event.kind, this.idOf(event.number), JSON.stringify(dataOf(event, this.#sources.sessions)));
    return event.text;
  }

  /** What there is, as one event in pieces that are made when they are asked for, so that a hundred thousand sessions stop nobody. `number`: the events behind it follow. */
  *snapshot({ kinds, stream }: Wanted, number: number): Generator<string> {
    yield `event: snapshot\nid: ${this.idOf(number)}\ndata: {`;
    let comma = "";
    for (const kind of kinds) {
      yield `${comma}${JSON.stringify(eventKinds[kind].snapshot[0])}:[`;
      const items = this.#present(kind, stream);
      for (let at = 0; at < items.length; at += pieceItems) {
        const piece = items.slice(at, at + pieceItems).map((item) => JSON.stringify(item()));
        yield `${at > 0 ? "," : ""}${piece.join(",")}`;
      }
      yield "]";
      comma = ",";
    }
    yield "}\n\n";
  }

  /** Calls `run` when there may be more; dispose to stop. */
  follow(run: () => void): Disposable {
    const follower = (): void => run();
    this.#followers.add(follower);
    this.#counting ??= this.#sources.clock.every(countMs, () => this.#count());
    return {
      [Symbol.dispose]: () => {
        if (!this.#followers.delete(follower) || this.#followers.size > 0) return;
        this.#counting?.[Symbol.dispose]();
        this.#gathering?.[Symbol.dispose]();
        this.#counting = this.#gathering = undefined;
      },
    };
  }

  [Symbol.dispose](): void {
    for (const listener of this.#listening) listener[Symbol.dispose]();
    this.#followers.clear();
    this.#counting?.[Symbol.dispose]();
    this.#gathering?.[Symbol.dispose]();
  }

  #push(kind: EventKind, type: string, subject: unknown, at = this.#sources.clock.now()): void {
    this.#rings.push(kind, type, at, subject);
    if (this.#followers.size === 0 || this.#gathering) return;
    this.#gathering = this.#sources.clock.after(gatherMs, () => {
      this.#gathering = undefined;
      for (const run of [...this.#followers]) run();
    });
  }

  #onStream(event: StreamEvent): void {
    if (event.kind === "buffer" || event.kind === "bandwidth") return;
    const picture = this.#pictureOf(event.stream);
    if (event.kind !== "closed") return this.#push("stream", event.kind, picture);
    this.#counts.delete(event.stream.name);
    this.#push("stream", "closed", { ...picture, state: "offline", reason: event.reason.text });
  }

  #pictureOf({ name, kind, state, tracks }: Stream): StreamPicture {
    return { name, kind, state, tracks, tags: this.#sources.tagsOf(name), counters: this.#sources.sessions.counters(name) };
  }

  #count(): void {
    for (const { name } of this.#sources.directory.list()) {
      const { viewers = 0, inputs = 0, outputs = 0 } = this.#sources.sessions.counters(name) ?? {};
      const before = this.#counts.get(name) ?? { viewers: 0, inputs: 0, outputs: 0 };
      if (before.viewers === viewers && before.inputs === inputs && before.outputs === outputs) continue;
      const count: StreamCount = { name, viewers, inputs, outputs };
      this.#counts.set(name, count);
      this.#push("stream", "viewers", count);
    }
  }

  /** What the snapshot has of a kind: each item is made when its turn comes. */
  #present(kind: EventKind, wanted: string | undefined): readonly (() => unknown)[] {
    const { directory, sessions, decisions, limits, fallbacks } = this.#sources;
    const fits = (name: string): boolean => wanted === undefined || isMeant(name, wanted);
    switch (kind) {
      case "stream":
        return directory.list().flatMap((stream) => (fits(stream.name) ? [() => streamShape(this.#pictureOf(stream))] : []));
      case "session":
        return sessions
          .list()
          .flatMap((view) =>
            (view.state === "accepted" || view.state === "checking") && fits(view.stream) ? [() => sessionShape(view)] : [],
          );
      case "decision": {
        const records = decisions?.find({ limit: snapshotItems, ...(wanted !== undefined && !wanted.endsWith("+") && { stream: wanted }) });
        return (records ?? [])
          .filter(({ stream }: DecisionRecord) => fits(stream))
          .toReversed()
          .map((record) => () => record);
      }
      case "limit":
        return (limits?.states() ?? []).flatMap((state) => (fits(state.key) ? [() => state] : []));
      case "fallback":
        return (fallbacks?.states() ?? []).flatMap((state) => (fits(state.stream) ? [() => state] : []));
      case "log":
        return this.#rings
          .newest("log", snapshotItems)
          .flatMap(({ subject }) => (fits((subject as LogEntry).stream) ? [() => subject] : []));
    }
  }
}

/** One event in the form of the HTML standard, section 9.2.6. JSON has no line break of its own. */
function sseText(event: string, id: string, data: string): string {
  return `event: ${event}\nid: ${id}\ndata: ${data}\n\n`;
}
