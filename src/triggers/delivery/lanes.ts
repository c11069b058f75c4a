import type { Clock } from "../../base/time.ts";
import type { NewLetter } from "./letter.ts";

/** What is kept in memory of a letter that waits. */
export type Waiting = {
  /** Its number in the store; undefined while it is not there. */
  id: number | undefined;
  /** The letter itself, only while the store does not have it. */
  letter: NewLetter | undefined;
  /** False while the store is being asked to keep it: nothing is sent before that. */
  ready: boolean;
  attempts: number;
  /** Unix milliseconds of the next attempt. */
  nextAt: number;
  readonly bytes: number;
  readonly handler: string;
  readonly orderKey: string;
};

/** Makes one attempt. "delivered" and "dead" take the letter away, "failed" comes again at `nextAt`. Never rejects. */
export type Attempt = (letter: Waiting) => Promise<"delivered" | "dead" | "failed">;

type Lane = { readonly key: string; readonly letters: Waiting[]; busy: boolean; queued: boolean; timer: Disposable | undefined };
type Recipient = { readonly queue: Lane[]; running: number; failing: boolean };

export type LanesOptions = {
  readonly clock: Clock;
  readonly attempt: Attempt;
  /** Attempts at one handler at the same time; one only while it fails. */
  readonly concurrency: number;
  /** Longest wait before an attempt, milliseconds: the wall clock may jump. */
  readonly longestWaitMs: number;
};

/**
 * The order of deliveries: a lane for each handler and order key, in which one letter is on its way at a time; the lanes of
 * a handler side by side, up to a limit.
 */
export class Lanes {
  readonly #options: LanesOptions;
  readonly #lanes = new Map<string, Lane>();
  readonly #recipients = new Map<string, Recipient>();
  #active = 0;
  #stopped = false;
  #idle: (() => void)[] = [];

  constructor(options: LanesOptions) {
    this.#options = options;
  }

  /** Puts a letter behind those with lower numbers; one without a number is the last. */
  add(letter: Waiting): void {
    const key = laneKey(letter);
    let lane = this.#lanes.get(key);
    if (!lane) this.#lanes.set(key, (lane = { key, letters: [], busy: false, queued: false, timer: undefined }));
    const order = (one: Waiting): number => one.id ?? Number.POSITIVE_INFINITY;
    let at = lane.letters.length;
    while (at > (lane.busy ? 1 : 0) && order(lane.letters[at - 1] as Waiting) > order(letter)) at--;
    lane.letters.splice(at, 0, letter);
    this.#pump(lane);
  }

  /** Call when a letter became ready, or is to be tried earlier. */
  changed(letter: Waiting): void {
    const lane = this.#lanes.get(laneKey(letter));
    if (lane) this.#pump(lane);
  }

  find(id: number): Waiting | undefined {
    for (const { letters } of this.#lanes.values()) {
      const found = letters.find((letter) => letter.id === id);
      if (found) return found;
    }
    return undefined;
  }

  /** Takes a letter away; an attempt that is on its way is not undone. */
  remove(letter: Waiting): void {
    const lane = this.#lanes.get(laneKey(letter));
    const at = lane?.letters.indexOf(letter) ?? -1;
    if (!lane || at < 0) return;
    lane.letters.splice(at, 1);
    this.#pump(lane);
  }

  *letters(): Iterable<Waiting> {
    for (const { letters } of this.#lanes.values()) yield* letters;
  }

  /** Resolves when no attempt is on its way and none is due. */
  async quiet(): Promise<void> {
    while (this.#active > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  /** Begins no more attempts. */
  stop(): void {
    this.#stopped = true;
    for (const lane of this.#lanes.values()) {
      lane.timer?.[Symbol.dispose]();
      if (lane.queued) this.#rest();
      lane.queued = false;
    }
    for (const recipient of this.#recipients.values()) recipient.queue.length = 0;
  }

  #pump(lane: Lane): void {
    lane.timer?.[Symbol.dispose]();
    lane.timer = undefined;
    const head = lane.letters[0];
    if (!head) {
      if (!lane.busy) this.#lanes.delete(lane.key);
      return;
    }
    if (lane.busy || lane.queued || !head.ready || this.#stopped) return;
    const wait = Math.min(head.nextAt - this.#options.clock.now(), this.#options.longestWaitMs);
    if (wait > 0) {
      lane.timer = this.#options.clock.after(wait, () => {
        head.nextAt = Math.min(head.nextAt, this.#options.clock.now());
        this.#pump(lane);
      });
      return;
    }
    let recipient = this.#recipients.get(head.handler);
    if (!recipient) this.#recipients.set(head.handler, (recipient = { queue: [], running: 0, failing: false }));
    lane.queued = true;
    this.#active++;
    recipient.queue.push(lane);
    this.#run(recipient);
  }

  #run(recipient: Recipient): void {
    while (recipient.running < (recipient.failing ? 1 : this.#options.concurrency)) {
      const lane = recipient.queue.shift();
      if (!lane) return;
      lane.queued = false;
      const head = lane.letters[0];
      if (head) void this.#send(recipient, lane, head);
      else this.#rest();
    }
  }

  async #send(recipient: Recipient, lane: Lane, letter: Waiting): Promise<void> {
    lane.busy = true;
    recipient.running++;
    const outcome = await this.#options.attempt(letter);
    recipient.running--;
    recipient.failing = outcome !== "delivered";
    lane.busy = false;
    if (outcome !== "failed" && lane.letters[0] === letter) lane.letters.shift();
    this.#pump(lane);
    this.#rest();
    this.#run(recipient);
  }

  /** One lane less has something to do. */
  #rest(): void {
    this.#active--;
    if (this.#active > 0) return;
    const waiting = this.#idle;
    this.#idle = [];
    for (const resolve of waiting) resolve();
  }
}

function laneKey({ handler, orderKey }: Waiting): string {
  return `${handler}\n${orderKey}`;
}
