import type { StreamName } from "../../base/stream-name.ts";
import type { Program, Stream } from "../../streams/stream.ts";
import type { FallbackRule, FallbackState } from "./fallback-rule.ts";
import type { Programs } from "./programs.ts";

/** A source that was opened to be shown. */
export type Shown = {
  readonly stream: Stream;
  /** What it is called to people: the other stream's name, or `recording`. */
  readonly name: string;
  /** It is not shown any more. */
  readonly leave: () => void;
};

/** Viewers who have been shown nothing for so long are ended. */
const hopelessMs = 60_000;

/** Sources are not tried more often than this: one may end at once. */
const retryMs = 1_000;

/** The viewers of one stream while it is offline and, when it is back, until they have gone. */
export class Kept {
  #rule: FallbackRule;
  /** Monotonic milliseconds. */
  readonly begunAt: number;
  readonly #program: Program;
  readonly #programs: Programs;
  #phase: "live" | "waiting" | "choosing" | "fallback" | "nothing" = "waiting";
  #shown: Shown | undefined;
  #offlineSince: number | undefined;
  #leftAt: number;
  /** When the stream was first seen to be back. */
  #backAt: number | undefined;
  /** Since when there has been nothing to show. */
  #nothingSince: number | undefined;
  /** Counts choices: only the newest one holds. */
  #choice = 0;
  #triedAt = Number.NEGATIVE_INFINITY;
  /** It goes over to the stream itself at its next keyframe. */
  #returning = false;
  #ended = false;

  constructor(program: Program, rule: FallbackRule, programs: Programs) {
    this.#program = program;
    this.#rule = rule;
    this.#programs = programs;
    this.begunAt = this.#leftAt = programs.clock.monotonic();
    this.#offlineSince = programs.clock.now();
  }

  get rule(): FallbackRule {
    return this.#rule;
  }

  /** True while an output that lasts shows it to somebody. */
  get watched(): boolean {
    return this.#program.watched;
  }

  /** Its viewers are shown what another rule says, whether their stream is live or not. False when nothing of it can be. */
  async move(rule: FallbackRule): Promise<boolean> {
    const before = this.#rule;
    this.#rule = rule;
    this.#returning = false;
    // A choice that is being made is not waited for: this one is newer.
    this.#phase = "waiting";
    if (await this.#choose()) return true;
    this.#rule = before;
    return false;
  }

  /** Takes its viewers to the stream itself. */
  comeBack(live: Stream, rule: FallbackRule): void {
    this.#rule = rule;
    this.#goLive(live);
  }

  get stream(): Stream {
    return this.#program.stream;
  }

  get name(): StreamName {
    return this.#program.stream.name;
  }

  state(): FallbackState {
    const shows = this.#phase === "live" ? "live" : (this.#shown?.name ?? "nothing");
    const liveAgain = this.#phase !== "live" && this.#programs.live(this.name) !== undefined;
    return { stream: this.name, shows, offlineSince: liveAgain ? undefined : this.#offlineSince, liveAgain, switch: this.rule.switch };
  }

  /** Shows the first source that can be; false when there is none. For a stream that was offline when its first viewer came. */
  begin(): Promise<boolean> {
    return this.#choose();
  }

  /** The publisher has just left. */
  leave(): void {
    this.#offlineSince = this.#programs.clock.now();
    this.#leftAt = this.#programs.clock.monotonic();
    this.#phase = "waiting";
    if (this.rule.minOutageMs === 0) void this.#choose();
  }

  /** True when there has been nothing to show for so long that nobody should wait any more. */
  hopeless(now: number): boolean {
    const empty = this.#phase === "nothing" || this.#phase === "waiting" || (this.#phase === "choosing" && this.#shown === undefined);
    this.#nothingSince = empty ? (this.#nothingSince ?? now) : undefined;
    return this.#nothingSince !== undefined && now - this.#nothingSince >= Math.max(hopelessMs, 2 * this.rule.minOutageMs);
  }

  /** Called some times a second. */
  tick(now: number): void {
    const live = this.#programs.live(this.name);
    const wasBack = this.#backAt !== undefined;
    this.#backAt = live && (this.#backAt ?? now);
    if (this.#phase === "live" || this.#returning) return;
    if (live && this.#backAt !== undefined) {
      if (this.rule.switch === "seamless" && now - this.#backAt >= this.rule.minStableMs) this.#goLive(live);
      else if (!wasBack) this.#programs.changed(this, "The stream is live again; its viewers are shown something else still");
      // Nothing would be worse than the stream itself, however short it has been there.
      if (this.#phase === "nothing" || this.#phase === "waiting") this.#goLive(live);
    } else if (this.#phase === "waiting" && now - this.#leftAt >= this.rule.minOutageMs) void this.#choose();
    else if (this.#phase === "nothing" && now - this.#triedAt >= retryMs) void this.#choose();
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#drop();
    this.#program.end({ code: "CLEAN_INACTIVE", text: "nobody watches any more" });
  }

  #goLive(live: Stream): void {
    if (this.#returning) return;
    this.#returning = true;
    const onEnd = (): void => {
      if (this.#ended) return;
      if (this.#phase === "live") this.leave();
      else if (this.#returning) {
        this.#returning = false;
        // What was shown may have ended meanwhile.
        if (this.#program.source === undefined) this.#phase = "nothing";
      }
    };
    this.#program.feed(live, onEnd, () => {
      this.#returning = false;
      this.#phase = "live";
      this.#offlineSince = undefined;
      this.#drop();
      this.#programs.changed(this, "The stream is live again, and its viewers are taken back to it");
    });
  }

  async #choose(): Promise<boolean> {
    const before = this.#phase;
    if (before === "choosing" || this.#returning) return false;
    this.#phase = "choosing";
    this.#triedAt = this.#programs.clock.monotonic();
    const mine = ++this.#choice;
    const shown = await this.#first();
    // The stream may have come back, everybody have gone, or a command have said otherwise while a file was opened.
    if (mine !== this.#choice || this.#ended || this.#returning || this.#phase !== "choosing") {
      shown?.leave();
      return false;
    }
    this.#drop();
    this.#shown = shown;
    this.#phase = shown ? "fallback" : "nothing";
    if (shown) this.#program.feed(shown.stream, () => this.#over(shown));
    else this.#program.pause();
    if (shown || before !== "nothing") {
      const words = shown
        ? `The stream is offline; its viewers are shown ${shown.name}`
        : "The stream is offline, and there is nothing to show";
      this.#programs.changed(this, words);
    }
    return shown !== undefined;
  }

  async #first(): Promise<Shown | undefined> {
    try {
      return await this.#programs.first(this.name, this.rule);
    } catch {
      // A function that fails has named nothing; it is asked again.
      return undefined;
    }
  }

  /** What was shown has come to its end: it, or what can be shown by now, begins anew. */
  #over(shown: Shown): void {
    if (this.#ended || this.#returning || this.#shown !== shown || this.#phase !== "fallback") return;
    if (this.#programs.clock.monotonic() - this.#triedAt >= retryMs) void this.#choose();
    else this.#phase = "nothing";
  }

  #drop(): void {
    this.#shown?.leave();
    this.#shown = undefined;
  }
}
