import { SluiceError } from "../../base/errors.ts";
import type { Micros } from "../../base/time.ts";
import type { Silence } from "../../media/silence.ts";
import type { Track } from "../../media/track.ts";
import type { CloseReason, LiveOptions, Program, Stream } from "../stream.ts";
import { cast, type Casting } from "./cast.ts";
import type { HubContext } from "./hub-context.ts";
import { LiveStream } from "./live-stream.ts";
import { LiveWriter } from "./live-writer.ts";
import { Relay } from "./relay.ts";

/**
 * Viewers may be given so much more media than time has passed. Each change that begins with a keyframe of the past gives them
 * some; without a bound they would fall behind the live picture from one outage to the next.
 */
const mostAhead: Micros = 2_000_000;
/** A keyframe of the past that is no older is as good as the next one. */
const freshAge: Micros = 300_000;
/** What is shown now goes on for so long at most when the next source has no keyframe, ms. */
const keyframeMs = 10_000;

type Fed = { readonly source: Stream; readonly relay: Relay; readonly since: number };

/**
 * A live stream without a publisher of its own: one writer after the other copies into it what it is to show.
 *
 *     feed(b) while a plays:   a a a a a|b b b       goes over at the next keyframe of b: nothing is missed
 *     feed(b) after a has ended:  a a a|B b b        the newest keyframe that b has, at once (or the next, see `mostAhead`)
 */
export class LiveProgram implements Program {
  readonly stream: LiveStream;
  readonly #context: HubContext;
  readonly #options: LiveOptions;
  readonly #onEnded: (program: LiveProgram) => void;
  /** The tracks that viewers know; none before anything was shown. */
  #parts: readonly Track[];
  #now: Fed | undefined;
  #next: Fed | undefined;
  /** Media time less time that has passed, as it was when the programme began. */
  #pace: Micros | undefined;

  /** Takes over `stream`, of which the directory's listeners hear no more; `onEnded` is called once, when the programme has ended. */
  constructor(stream: LiveStream, options: LiveOptions, context: HubContext, onEnded: (program: LiveProgram) => void) {
    this.stream = stream;
    this.#options = { ...options, resume: true };
    this.#context = context;
    this.#onEnded = onEnded;
    this.#parts = stream.tracks;
    if (this.#parts.length > 0) this.#pace = this.#lead();
  }

  get source(): Stream | undefined {
    return this.#now?.source;
  }

  get watched(): boolean {
    return this.stream.watched;
  }

  feed(source: Stream, onEnd: () => void, onBegun: () => void = () => {}): void {
    if (this.stream.over) return;
    this.#next?.relay[Symbol.dispose]();
    const age = ageOf(source);
    const later = (this.#now !== undefined && age > freshAge) || this.#ahead() + age > mostAhead;
    const relay: Relay = new Relay(source, { begin: () => begin(), cast: (tracks) => this.#cast(tracks), end: () => end() }, later);
    const fed: Fed = { source, relay, since: this.#context.clock.monotonic() };
    const begin = (): LiveWriter => {
      this.#now?.relay[Symbol.dispose]();
      this.#next = undefined;
      this.#now = fed;
      const writer = new LiveWriter(this.stream, this.#options, this.#context.log, () => {});
      this.stream.attach(writer, this.#options, new SluiceError("access.taken", "the programme has gone over to another stream"));
      onBegun();
      return writer;
    };
    const end = (): void => {
      if (this.#now !== fed && this.#next !== fed) return;
      if (this.#now === fed) this.#now = undefined;
      else this.#next = undefined;
      // A source may be over already: then the caller has not got this far yet.
      this.#context.microtask(onEnd);
      // There is nothing any more that could go on until the next keyframe.
      if (!this.#now && this.#next && this.#ahead() + ageOf(this.#next.source) <= mostAhead) this.#next.relay.begin();
    };
    this.#next = fed;
    relay.start();
    this.#pace ??= this.stream.packetRing.end > 0 ? this.#lead() : undefined;
  }

  pause(): void {
    this.#leave();
    if (!this.stream.over) this.stream.detach(true);
  }

  end(reason: CloseReason): void {
    if (this.stream.over) return;
    this.#leave();
    this.stream.close(reason);
    this.#onEnded(this);
  }

  [Symbol.dispose](): void {
    this.end({ code: "CLEAN_INACTIVE", text: "nobody watches any more" });
  }

  /** Regular work of its stream: rates, formats that nobody watches. It never waits for a publisher. */
  tick(): void {
    this.stream.tick();
    const next = this.#next;
    if (!next) return;
    const waited = this.#now ? this.#context.clock.monotonic() - next.since >= keyframeMs : this.#ahead() <= 0;
    if (waited) next.relay.begin();
  }

  #cast(tracks: readonly Track[]): Casting & { readonly silences: readonly Silence[] } {
    const { silence } = this.#context;
    if (this.#parts.length === 0) {
      this.#parts = tracks;
      const sound = tracks.some(({ kind }) => kind !== "video")
        ? undefined
        : silence(Math.max(...tracks.map(({ id }) => id)) + 1, undefined);
      // The stream that comes back will most likely have sound, and players take none that comes later.
      if (sound) this.#parts = [...tracks, sound.track];
    }
    const casting = cast(this.#parts, tracks);
    const silences = casting.missing.map((part) => silence(part.id, part)).filter((one) => one !== undefined);
    return { ...casting, tracks: [...casting.tracks, ...silences.map(({ track }) => track)], silences };
  }

  #lead(): Micros {
    return this.stream.lastTime - this.#context.clock.monotonic() * 1000;
  }

  /** How much more media than time the viewers have had; negative when they have waited. */
  #ahead(): Micros {
    return this.#pace === undefined ? Number.NEGATIVE_INFINITY : this.#lead() - this.#pace;
  }

  #leave(): void {
    for (const fed of [this.#now, this.#next]) fed?.relay[Symbol.dispose]();
    this.#now = this.#next = undefined;
  }
}

/** How old the newest keyframe of a source is. */
function ageOf(source: Stream): Micros {
  if (source.kind === "vod") return 0;
  using cursor = source.packets("live");
  const first = cursor.next();
  return first === undefined ? 0 : source.lastTime - first.dts;
}
