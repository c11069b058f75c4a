import { messageOf, SluiceError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Clock } from "../../base/time.ts";
import type { Identity, SessionEnd, Sessions } from "../../sessions/session.ts";
import type { Outbox } from "../../triggers/delivery/outbox.ts";
import { sessionOrderKey } from "../../triggers/delivery/reliable.ts";
import type { Triggers } from "../../triggers/trigger.ts";
import type { SessionJournal, SessionRecord } from "./session-journal.ts";
import { type EndFacts, userEnd } from "./user-end.ts";

export type SessionEndsOptions = {
  readonly clock: Clock;
  readonly log: Log;
  readonly sessions: Sessions;
  readonly triggers: Triggers;
  /** Left out: ends are lost when the server is killed. */
  readonly journal?: SessionJournal | undefined;
  readonly outbox?: Pick<Outbox, "pending" | "settled"> | undefined;
};

/** What the journal has of a session: its end so far, and whether a question about it was out without an answer. */
type Kept = EndFacts & { readonly unanswered?: true };

/** Tags of an end that was made up at the next start; the second one when it is not known whether the handler had said yes. */
const madeUpTag = "server-restart";
const unansweredTag = "unanswered";

/** The counters of each session are written once in so many ticks of a second. */
const updateEvery = 10;
/** How long the start of a session waits for the end of the one before it to arrive. */
const predecessorMs = 5000;

/**
 * Sees to it that each session that was let in gets one USER_END, also when the server is killed: who may have been let in
 * stands in the journal from before USER_NEW until the end is told, and for who is still there at the next start an end is made up. The journal
 * forgets a session in the transaction in which the outbox takes its end.
 */
export class SessionEnds implements Disposable {
  readonly #options: SessionEndsOptions;
  readonly #listeners: readonly Disposable[];
  /** Sessions in the journal, with what was written of them last. */
  readonly #kept = new Map<string, { bytes: number; seconds: number }>();
  /** Sessions that are to be taken out of the journal, which did not work yet. */
  readonly #unremoved = new Set<string>();
  /** Ends on their way to handlers. */
  readonly #telling = new Map<string, Promise<unknown>>();
  #round: Iterator<string> = [].values();
  #failing = false;

  constructor(options: SessionEndsOptions) {
    this.#options = options;
    const { sessions } = options;
    this.#listeners = [sessions.onAdmit((id) => this.#admitted(id)), sessions.onRefuse((id) => void this.#remove(id))];
  }

  [Symbol.dispose](): void {
    for (const listener of this.#listeners) listener[Symbol.dispose]();
  }

  /**
   * To be awaited before a handler is asked about a new session: the end of an earlier one with the same id comes first.
   * Rejects with "access.denied" when that could not be delivered in time and its handler wants strict order.
   */
  async beforeStart(id: string, identity: Identity): Promise<void> {
    const { triggers, outbox, clock } = this.#options;
    const telling = this.#telling.get(id);
    if (telling) await inTime(clock, telling);
    const key = sessionOrderKey(id);
    if (outbox?.pending(key)) {
      await outbox.settled(key, predecessorMs);
      if (outbox.pending(key) && triggers.holdsSuccessors(identity.stream)) {
        throw new SluiceError("access.denied", "your last visit is not recorded yet; try again in a moment", {
          retryAfterMs: predecessorMs,
        });
      }
    }
    if (!triggers.wants("USER_END", identity.stream)) return;
    const { stream, token, protocol, address } = identity;
    const nothing = {
      streams: [[stream, 0]],
      protocols: [[protocol, 0]],
      hosts: [[address, 0]],
      seconds: 0,
      up: 0,
      down: 0,
      tags: [],
    } as const;
    await this.#write([{ id, token, ...nothing, unanswered: true }]);
  }

  /** Call in the turn in which USER_END was fired; `fired` is what firing gave, if anybody wanted it. Resolves when the journal has forgotten the session. */
  told(id: string, fired: Promise<unknown> | undefined): Promise<void> {
    const removed = this.#remove(id);
    if (!fired) return removed;
    this.#telling.set(id, fired);
    void fired.finally(() => {
      if (this.#telling.get(id) === fired) this.#telling.delete(id);
    });
    return removed;
  }

  /** Fires USER_END for the sessions that an earlier run has left. Resolves when the journal knows. */
  async makeUp(): Promise<void> {
    const { journal, triggers, log } = this.#options;
    const left = (await journal?.read()) ?? [];
    for (const { id } of left) this.#kept.set(id, { bytes: 0, seconds: 0 });
    const removed: Promise<unknown>[] = [];
    for (const { id, value } of left) {
      const end = readKept(id, value);
      if (end && triggers.wants("USER_END", end.streams[0]?.[0])) {
        const tags = [...end.tags, madeUpTag, ...(end.unanswered ? [unansweredTag] : [])];
        const fired = triggers.fire("USER_END", userEnd({ ...end, tags }));
        removed.push(this.told(id, fired));
      } else removed.push(this.#remove(id));
    }
    await Promise.all(removed);
    if (left.length > 0) log.write("INFO", `Sessions that an earlier run left without an end, told now: ${left.length}`);
  }

  /** Once a second: writes what has changed of a tenth of the sessions. */
  tick(): void {
    this.#eraseLate();
    if (this.#kept.size === 0) return;
    const changed: Kept[] = [];
    for (let left = Math.ceil(this.#kept.size / updateEvery); left > 0; left--) {
      let next = this.#round.next();
      if (next.done) next = (this.#round = this.#kept.keys()).next();
      if (next.done) break;
      const end = this.#options.sessions.endOf(next.value);
      const last = this.#kept.get(next.value);
      // Its handler said yes, but it was not let in: there is nothing to end.
      if (!end && this.#options.sessions.get(next.value)?.state !== "checking") void this.#remove(next.value);
      if (end && last && (last.seconds !== end.seconds || last.bytes !== end.up + end.down)) changed.push(factsOf(end));
    }
    if (changed.length > 0) void this.#write(changed);
  }

  #admitted(id: string): void {
    const { sessions, triggers } = this.#options;
    const end = sessions.endOf(id);
    if (end?.type !== "viewer" || !triggers.wants("USER_END", end.stream)) return;
    void this.#write([factsOf(end)]);
  }

  async #write(sessions: readonly Kept[]): Promise<void> {
    const { journal } = this.#options;
    if (!journal) return;
    for (const { id, up, down, seconds } of sessions) {
      this.#kept.set(id, { bytes: up + down, seconds });
      this.#unremoved.delete(id);
    }
    // In the same transaction: what the store can take again, it takes at once.
    this.#eraseLate();
    const records = sessions.map((session): SessionRecord => ({ id: session.id, value: JSON.stringify(session) }));
    await journal.write(records).then(
      () => this.#works(),
      (error: unknown) => this.#fails(error),
    );
  }

  #remove(id: string): Promise<void> {
    return this.#kept.delete(id) ? this.#erase(id) : Promise.resolve();
  }

  #eraseLate(): void {
    if (this.#unremoved.size > 0) for (const id of [...this.#unremoved]) void this.#erase(id);
  }

  async #erase(id: string): Promise<void> {
    this.#unremoved.delete(id);
    await this.#options.journal?.remove(id).then(
      () => this.#works(),
      (error: unknown) => {
        if (!this.#kept.has(id)) this.#unremoved.add(id);
        this.#fails(error);
      },
    );
  }

  #fails(error: unknown): void {
    if (this.#failing) return;
    this.#failing = true;
    const words = `Sessions cannot be written to the store (${messageOf(error)}): playing goes on, but after a crash their ends may be missing or be told twice`;
    this.#options.log.write("ERROR", words);
  }

  #works(): void {
    if (!this.#failing) return;
    this.#failing = false;
    this.#options.log.write("INFO", "Sessions can be written to the store again");
  }
}

/** Resolves with the promise, but waits no longer than for a predecessor. */
async function inTime(clock: Clock, promise: Promise<unknown>): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = clock.after(predecessorMs, resolve);
  await Promise.race([promise, late]);
  timer[Symbol.dispose]();
}

function factsOf({ id, token, stream, protocol, host, seconds, up, down, tags, ...end }: SessionEnd): EndFacts {
  const uses = (list: SessionEnd["streams"], only: string): SessionEnd["streams"] => (list.length > 0 ? list : [[only, 0]]);
  const [streams, protocols, hosts] = [uses(end.streams, stream), uses(end.protocols, protocol), uses(end.hosts, host)];
  return { id, token, streams, protocols, hosts, seconds, up, down, tags };
}

/** Undefined for what cannot be read: it is of no use, and no reason not to start. */
function readKept(id: string, value: string): Kept | undefined {
  try {
    const kept = JSON.parse(value) as Kept;
    userEnd(kept);
    return { ...kept, id };
  } catch {
    return undefined;
  }
}
