import { messageOf, SluiceError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { type StreamName, streamName } from "../../base/stream-name.ts";
import type { Clock } from "../../base/time.ts";
import type { StandIn } from "../../sessions/access-request.ts";
import type { LiveOptions, Stream, StreamDirectory } from "../../streams/stream.ts";
import type { OpenInput } from "../inputs.ts";
import { climbs, expandVariables } from "../variables.ts";
import type { FallbackRule, FallbackState } from "./fallback-rule.ts";
import { Kept, type Shown } from "./kept.ts";
import { Loops } from "./loops.ts";
import { latestFile } from "./latest-file.ts";

/** How often it is looked whether a publisher is back, and whether anybody watches. */
const tickMs = 250;
/** A programme that nobody has watched for so long ends; a viewer of HLS asks more often. */
const idleMs = 30_000;
/** Who had a connection within this is one who watches. */
const watchedMs = 15_000;

export type ProgramsOptions = {
  readonly clock: Clock;
  readonly log: Log;
  readonly directory: StreamDirectory;
  /** What holds for a stream when it goes offline; undefined: its viewers are ended, as everywhere. */
  readonly ruleOf: (stream: StreamName) => FallbackRule | undefined;
  /** A stream that plays or can be started, and what keeps it open while it is shown. */
  readonly find: (stream: StreamName) => Promise<{ readonly stream: Stream; readonly use: Disposable | undefined } | undefined>;
  readonly openInput: OpenInput;
  /** How a programme that begins with nothing keeps its media. */
  readonly liveOptions: (stream: StreamName) => LiveOptions;
};

/** Viewers who were moved stay until what they are shown ends, or a command takes them back. */
const moved = { minOutageMs: 0, minStableMs: 0, switch: "offer" } as const;

type Uses = { count: number; since: number };

/**
 * Keeps the viewers of streams that go offline: they stay on their connection or playlist, are shown what the rule of the
 * stream says, and are taken back when the publisher is there again.
 *
 *     live ──(publisher leaves)──> waiting ──(minOutage)──> fallback <──> nothing
 *       ^                                                      │
 *       └────────────(publisher back for minStable)────────────┘
 */
export class Programs implements Disposable {
  readonly #options: ProgramsOptions;
  readonly #kept = new Map<Stream, Kept>();
  readonly #uses = new WeakMap<Stream, Uses>();
  readonly #listeners = new Set<(state: FallbackState) => void>();
  readonly #loops: Loops;
  readonly #owned: readonly Disposable[];

  constructor(options: ProgramsOptions) {
    this.#options = options;
    this.#loops = new Loops(options.log);
    this.#owned = [
      options.clock.every(tickMs, () => this.#tick()),
      options.directory.onLeaving((stream) => {
        const rule = this.#watched(stream) ? options.ruleOf(stream.name) : undefined;
        return rule && ((program) => this.#keep(new Kept(program, rule, this)).leave());
      }),
    ];
  }

  /** What viewers of this name get in the stream's own place; undefined: the stream itself, if it plays. */
  shown(name: StreamName): Stream | undefined {
    let newest: Kept | undefined;
    for (const kept of this.#kept.values()) if (kept.name === name) newest = kept;
    if (newest?.rule.switch === "offer" && this.live(name)) return undefined;
    return newest?.stream;
  }

  /** True for what is shown in the place of a stream, as long as it is. */
  has(stream: Stream): boolean {
    return this.#kept.has(stream);
  }

  /** True for a programme that shows something else than the stream of its name now. */
  showsOther(stream: Stream): boolean {
    const kept = this.#kept.get(stream);
    return kept !== undefined && kept.state().shows !== "live";
  }

  /** What viewers of a stream that has a rule, or of its programme, may be told. */
  standIn(stream: Stream): StandIn | undefined {
    const state = this.#kept.get(stream)?.state();
    if (state) {
      const { shows, offlineSince, liveAgain, switch: how } = state;
      const shown = shows !== "live";
      // Another stream's name may be a secret.
      const kind = shows === "recording" || shows === "nothing" ? shows : "stream";
      return { shown, shows: shown ? kind : undefined, offlineSince, liveAgain, switch: how };
    }
    const rule = this.#options.ruleOf(stream.name);
    return rule && { shown: false, offlineSince: undefined, liveAgain: false, switch: rule.switch };
  }

  /** For a stream that is offline: what is shown instead, if it has a rule and one of its sources plays. */
  async open(name: StreamName): Promise<Stream | undefined> {
    const rule = this.#options.ruleOf(name);
    if (!rule) return undefined;
    const kept = new Kept(this.#options.directory.program(name, this.#options.liveOptions(name)), rule, this);
    if (!(await kept.begin()) || this.shown(name)) {
      kept.end();
      return this.shown(name);
    }
    return this.#keep(kept).stream;
  }

  /**
   * Takes all who watch `name` now to `to` (a stream, or a recording by path), whether it is live or not; `to` the same as `name`
   * takes them back. When that ends they are back, too. Who comes later gets the stream itself. Rejects with "api.unknown" when nobody
   * publishes the stream, with "access.offline" when `to` does not play.
   */
  async move(name: StreamName, to: string): Promise<void> {
    const kept = [...this.#kept.values()].filter((one) => one.name === name);
    const own = this.#options.ruleOf(name);
    const live = this.live(name);
    if (to === name) {
      if (!live) throw new SluiceError("access.offline", `${JSON.stringify(name)} is offline: nobody can be taken back to it`);
      for (const one of kept) one.comeBack(live, own ?? { ...moved, sources: [] });
      return;
    }
    const rule: FallbackRule = { ...moved, sources: [to, ...(Array.isArray(own?.sources) ? (own.sources as readonly string[]) : [])] };
    const offline = new SluiceError("access.offline", `${JSON.stringify(to)} does not play: nobody is moved to it`);
    const first = await this.#show(name, to);
    if (!first) throw offline;
    first.leave();
    const program = this.#options.directory.split(name);
    if (program) kept.push(this.#keep(new Kept(program, rule, this)));
    if (kept.length === 0) throw new SluiceError("api.unknown", `Nobody watches ${JSON.stringify(name)}`);
    const done = await Promise.all(kept.map((one) => one.move(rule)));
    if (done.includes(false)) throw offline;
  }

  /** Somebody watches a stream that has a rule, or what is shown in its place, until disposed. */
  use(stream: Stream): Disposable | undefined {
    if (!this.#kept.has(stream) && !this.#options.ruleOf(stream.name)) return undefined;
    let uses = this.#uses.get(stream);
    if (!uses) this.#uses.set(stream, (uses = { count: 0, since: 0 }));
    const counted = uses;
    counted.count++;
    let used = true;
    return {
      [Symbol.dispose]: () => {
        if (!used) return;
        used = false;
        counted.count--;
        counted.since = this.#options.clock.monotonic();
      },
    };
  }

  /** What is known of the newest programme of this name. */
  state(name: StreamName): FallbackState | undefined {
    return this.states().findLast(({ stream }) => stream === name);
  }

  states(): readonly FallbackState[] {
    return [...this.#kept.values()].map((kept) => kept.state());
  }

  /** Called whenever something else is shown, or could be. */
  onChange(run: (state: FallbackState) => void): Disposable {
    this.#listeners.add(run);
    return { [Symbol.dispose]: () => void this.#listeners.delete(run) };
  }

  [Symbol.dispose](): void {
    for (const owned of this.#owned) owned[Symbol.dispose]();
    for (const kept of this.#kept.values()) kept.end();
    this.#kept.clear();
  }

  /* What its programmes ask. */

  get clock(): Clock {
    return this.#options.clock;
  }

  /** The stream itself, when its publisher is there and has sent something that can be shown. */
  live(name: StreamName): Stream | undefined {
    const stream = this.#options.directory.get(name);
    return stream?.kind === "live" && stream.tracks.length > 0 && stream.lastTime > stream.firstTime ? stream : undefined;
  }

  /**
   * The first source of a rule that can be shown. A stream that is offline itself gives way to what its own rule says; `path` are the
   * streams that led there. Rejects when a function of a rule fails.
   */
  async first(name: StreamName, rule: FallbackRule, path: readonly StreamName[] = [name]): Promise<Shown | undefined> {
    const asked = path.at(-1) ?? name;
    for (const source of typeof rule.sources === "function" ? await rule.sources(asked) : rule.sources) {
      const other = source.includes("/") ? "" : streamName(expandVariables(source, { stream: asked, now: this.clock.now() }));
      if (path.includes(other)) {
        this.#loops.tell(path, other);
        continue;
      }
      const shown = await this.#show(asked, source);
      if (shown) return shown;
      const next = other === "" ? undefined : this.#options.ruleOf(other);
      const further = next && (await this.first(name, next, [...path, other]));
      if (further) return further;
    }
    return undefined;
  }

  /** Opens one source of a rule: a stream by name or a recording by path. */
  async #show(name: StreamName, source: string): Promise<Shown | undefined> {
    const { clock, log, directory, find, openInput } = this.#options;
    const text = expandVariables(source, { stream: name, now: clock.now() });
    try {
      if (!text.includes("/")) {
        const other = streamName(text);
        const found = other === "" ? undefined : await find(other);
        // A stream whose publisher has gone may wait for the next one: it shows nothing.
        if (found?.stream.held === false) return void found.use?.[Symbol.dispose]();
        return found && { stream: found.stream, name: other, leave: () => found.use?.[Symbol.dispose]() };
      }
      const file = text !== source && climbs(name) ? undefined : await latestFile(text);
      const input = file === undefined ? undefined : openInput(file);
      if (!input || file === undefined) return undefined;
      const aside = directory.openAside(name, await input.open(), file);
      return { stream: aside.stream, name: "recording", leave: () => void aside[Symbol.asyncDispose]() };
    } catch (error) {
      log.write("WARN", `What should be shown instead of an offline stream cannot be: ${messageOf(error)}`, { stream: name });
      return undefined;
    }
  }

  /** Tells the log and whoever listens. */
  changed(kept: Kept, words: string): void {
    this.#options.log.write("INFO", words, { stream: kept.name });
    for (const run of this.#listeners) {
      try {
        run(kept.state());
      } catch (error) {
        this.#options.log.write("ERROR", `A listener of fallbacks failed: ${messageOf(error)}`);
      }
    }
  }

  #keep(kept: Kept): Kept {
    this.#kept.set(kept.stream, kept);
    // A command may end it.
    void kept.stream.closed.then(() => this.#end(kept));
    return kept;
  }

  #end(kept: Kept): void {
    this.#kept.delete(kept.stream);
    kept.end();
  }

  #watched(stream: Stream): boolean {
    const uses = this.#uses.get(stream);
    return uses !== undefined && (uses.count > 0 || this.clock.monotonic() - uses.since < watchedMs);
  }

  #tick(): void {
    const now = this.clock.monotonic();
    for (const [stream, kept] of this.#kept) {
      const uses = this.#uses.get(stream);
      const since = Math.max(uses?.since ?? 0, kept.begunAt);
      if (((uses?.count ?? 0) === 0 && !kept.watched && now - since >= idleMs) || kept.hopeless(now)) {
        this.#end(kept);
      } else kept.tick(now);
    }
  }
}
