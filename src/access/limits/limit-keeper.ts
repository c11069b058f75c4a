import type { Limits } from "../../base/decision.ts";
import { type ErrorDetails, messageOf, SluiceError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { StreamName } from "../../base/stream-name.ts";
import type { Clock } from "../../base/time.ts";
import { type Leaving, Places } from "../../sessions/places.ts";
import type { Seat } from "../../sessions/seats.ts";
import type { EndSeated, PlaceKeeper, Seated, StreamRate } from "../../sessions/session.ts";
import type { StreamTags } from "../../triggers/filter.ts";
import type { Gauge, Tally } from "./gauge.ts";
import { Gauges } from "./gauges.ts";
import type { LimitBook, LimitRule, LimitState, LimitSum } from "./limit.ts";
import { Publishers } from "./publishers.ts";
import { endedWords, fullWords, refusal } from "./refusal.ts";
import { shareLeft } from "./reservations.ts";

/** What a viewer will need, bits per second, as long as nothing is known of a stream. */
const guess = 1_000_000;

export type LimitKeeperOptions = {
  readonly clock: Clock;
  readonly log: Log;
  /** Read at each decision; another object means that something may have changed. */
  readonly rules: () => Readonly<Record<string, LimitRule>>;
  readonly streamTags: StreamTags;
  /** Bits per second of the stream itself; 0 when that is not known. */
  readonly bitrate: (stream: StreamName) => number;
  /** `Sessions.rates`; asked once a second, and only if a rule needs it. */
  readonly rates: () => ReadonlyMap<StreamName, StreamRate>;
  /** Ends a stream whose publisher brings too much. */
  readonly endPublisher: (stream: StreamName, reason: string) => void;
};

/**
 * Holds viewers and publishers to the limits that are declared, and to those of answers to USER_NEW. Places are taken in one step;
 * bandwidth is measured over 5 seconds, and who comes takes a promise of it until the measurement has it.
 * Dispose to stop measuring.
 */
export class LimitKeeper implements PlaceKeeper, LimitBook, Disposable {
  readonly #options: LimitKeeperOptions;
  readonly #places: Places;
  readonly #gauges: Gauges;
  readonly #publishers: Publishers;
  readonly #ticker: Disposable;
  readonly #listeners = new Set<(state: LimitState) => void>();
  #rules: Readonly<Record<string, LimitRule>> | undefined;
  /** What a stream's viewers get on average, bits per second. */
  #perViewer: ReadonlyMap<StreamName, number> = new Map();

  constructor(options: LimitKeeperOptions) {
    const { clock, log, endPublisher, streamTags } = options;
    this.#options = options;
    const now = (): number => clock.monotonic();
    this.#places = new Places(now);
    this.#gauges = new Gauges(streamTags, (state) => this.#tell(state));
    this.#gauges.second = this.#second() - 1;
    this.#publishers = new Publishers({ gauges: this.#gauges, log, now, end: endPublisher });
    this.#ticker = clock.every(1000, () => this.#tick());
  }

  bind(end: EndSeated): void {
    this.#places.bind(end);
  }

  /** Throws "access.full" with the rule's reason, or "access.denied" where the answer to USER_NEW has the limit. */
  take(session: Seated, limits: Limits | readonly Limits[] | undefined): void {
    if (session.identity.type !== "viewer") return;
    this.#read();
    const leaving = this.#places.leaving(session, limits);
    const counted = this.#gauges.of(session);
    const rates = counted.filter(([{ measure }]) => measure === "egress").map(([{ most }]) => most);
    const need = rates.length > 0 ? this.#needOf(session.identity.stream, Math.min(...rates)) : 0;
    const ended: (readonly [Gauge, Tally])[] = [];
    for (const [gauge, tally] of counted) if (gauge.ends) this.#makeRoom(session, gauge, tally, need, leaving, ended);
    for (const [gauge, tally] of counted) {
      if (!gauge.ends && !this.#fits(gauge, tally, need, leaving)) throw this.#refused(gauge, tally, fullWords(gauge));
    }
    // Nothing can be refused from here on.
    for (const seat of leaving.keys()) this.#credit(seat);
    for (const [gauge, tally] of ended) count(gauge, tally);
    this.#gauges.inOneStep(() => {
      this.#places.clear(leaving);
      const seat = this.#places.sit(session);
      if (seat) this.#gauges.enter(seat, { second: this.#second(), bits: need });
    });
  }

  move(session: Seated, user: string): void {
    if (session.user === user) return;
    this.#read();
    const before = this.#places.seatOf(session);
    const promised = before && this.#gauges.leave(before);
    this.#places.move(session, user);
    const seat = this.#places.seatOf(session);
    if (seat) this.#gauges.enter(seat, promised ?? { second: 0, bits: 0 });
  }

  free(session: Seated): void {
    const seat = this.#places.leave(session);
    if (seat) this.#gauges.leave(seat);
  }

  /** The publishers' door: throws "access.full" when the limit of what may be pushed is reached. */
  admitPublisher(stream: StreamName): void {
    this.#read();
    this.#publishers.admit(stream);
  }

  /** Counts everybody anew; to be called when streams have other tags. */
  recount(): void {
    this.#rules = undefined;
    this.#read();
  }

  rules(): Readonly<Record<string, LimitRule>> {
    return this.#options.rules();
  }

  states(): readonly LimitState[] {
    this.#read();
    return this.#gauges.states();
  }

  /** The counters in which a viewer counts, or would if it were let in: for those who explain a decision. */
  of(who: Pick<Seated, "identity" | "user">): readonly LimitState[] {
    this.#read();
    return this.#gauges.statesOf(who);
  }

  sums(): readonly LimitSum[] {
    this.#read();
    return this.#gauges.sums();
  }

  onChange(run: (state: LimitState) => void): Disposable {
    this.#listeners.add(run);
    return { [Symbol.dispose]: () => void this.#listeners.delete(run) };
  }

  [Symbol.dispose](): void {
    this.#ticker[Symbol.dispose]();
  }

  #second(): number {
    return Math.floor(this.#options.clock.monotonic() / 1000);
  }

  /** Counts by the rules in force. */
  #read(): void {
    const rules = this.#options.rules();
    if (rules !== this.#rules) {
      this.#rules = rules;
      this.#gauges.use(rules, this.#places.seats());
      this.#publishers.forgive();
      this.#measure();
    } else if (this.#second() - this.#gauges.second > 2) this.#measure();
  }

  #tick(): void {
    this.#read();
    const rates = this.#measure();
    if (rates) this.#publishers.hold(rates, this.#second());
    this.#gauges.tidy();
  }

  /** Takes the rates of the last 5 whole seconds into the counters. */
  #measure(): ReadonlyMap<StreamName, StreamRate> | undefined {
    const gauges = this.#gauges;
    gauges.second = this.#second() - 1;
    if (!gauges.rated) return undefined;
    const rates = this.#options.rates();
    const perViewer = new Map<StreamName, number>();
    for (const gauge of gauges.all) for (const tally of gauge.tallies.values()) tally.measured = 0;
    for (const [stream, { up, down, viewers }] of rates) {
      if (up > 0) for (const [, tally] of gauges.ofStream(stream, "egress")) tally.measured += up * 8;
      if (down > 0) for (const [, tally] of gauges.ofStream(stream, "ingest")) tally.measured += down * 8;
      if (viewers > 0) perViewer.set(stream, Math.round((up * 8) / viewers));
    }
    this.#perViewer = perViewer;
    gauges.tidy();
    return rates;
  }

  /** What a viewer of the stream will get, bits per second. Of a stream that nothing is known of, not more than there may be. */
  #needOf(stream: StreamName, most = guess): number {
    return Math.round(this.#options.bitrate(stream)) || this.#perViewer.get(stream) || Math.min(guess, most);
  }

  /** What is in use without those who leave. */
  #usedWithout(gauge: Gauge, tally: Tally, leaving: Leaving): number {
    let used = gauge.used(tally, this.#gauges.second);
    for (const seat of leaving.keys()) {
      if (tally.seats.has(seat)) used -= gauge.measure === "sessions" ? 1 : this.#needOf(seat.identity.stream);
    }
    return Math.max(0, used);
  }

  #fits(gauge: Gauge, tally: Tally, need: number, leaving: Leaving): boolean {
    const used = this.#usedWithout(gauge, tally, leaving);
    if (!gauge.ends && gauge.closedAt(used, tally.closed)) return false;
    return used + (gauge.measure === "sessions" ? 1 : need) <= gauge.most;
  }

  /** Adds to `leaving` who has been there longest until the session fits. Throws when it never will. */
  #makeRoom(session: Seated, gauge: Gauge, tally: Tally, need: number, leaving: Leaving, ended: (readonly [Gauge, Tally])[]): void {
    while (!this.#fits(gauge, tally, need, leaving)) {
      const ousted = this.#places.ousted.detailsOf(session);
      if (ousted) throw this.#refused(gauge, tally, endedWords(gauge), ousted);
      const seat = gauge.oldest(tally, new Set(leaving.keys()));
      if (!seat) throw this.#refused(gauge, tally, fullWords(gauge));
      leaving.set(seat, new SluiceError("access.ended", endedWords(gauge)));
      ended.push([gauge, tally]);
    }
  }

  #refused(gauge: Gauge, tally: Tally, words: string, details?: ErrorDetails): SluiceError {
    count(gauge, tally);
    this.#gauges.shut(gauge, tally);
    return refusal(gauge, words, details);
  }

  /** What somebody who is ended has got stays in the measurement for 5 seconds, but is not in use. */
  #credit(seat: Seat): void {
    const promised = this.#gauges.promisedTo(seat);
    const bits = promised?.bits ?? this.#needOf(seat.identity.stream);
    const measured = promised ? 1 - shareLeft(promised.second, this.#gauges.second) : 1;
    for (const [gauge, tally] of this.#gauges.of(seat)) {
      if (gauge.measure === "egress") tally.promised.add(this.#second(), -Math.round(bits * measured));
    }
  }

  #tell(state: LimitState): void {
    for (const run of this.#listeners) {
      try {
        run(state);
      } catch (error) {
        this.#options.log.write("ERROR", `A listener of the limits failed: ${messageOf(error)}`);
      }
    }
  }
}

function count(gauge: Gauge, tally: Tally): void {
  gauge.refused++;
  tally.refused++;
}
