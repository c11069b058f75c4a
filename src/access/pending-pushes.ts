import { SluiceError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { Listeners } from "../sessions/listeners.ts";

/** A push on its way. Dispose when it has begun, or never will. */
export interface PendingPush extends Disposable {
  /** Aborted with "access.ended" when it may not begin any more. */
  readonly signal: AbortSignal;
  /** From now on its session can be ended by its tags. */
  begun(): void;
}

/**
 * Pushes that were given a name and have not begun: some wait as backups for hours, and have no session by which they could be ended.
 * Each that does not begin is told.
 */
export class PendingPushes {
  readonly #waiting = new Set<{ readonly tags: readonly string[]; readonly stop: AbortController }>();
  readonly #refused: Listeners<[tags: readonly string[]]>;

  constructor(log: Log) {
    this.#refused = new Listeners(log);
  }

  add(tags: readonly string[]): PendingPush {
    const one = { tags, stop: new AbortController() };
    let begun = false;
    this.#waiting.add(one);
    return {
      signal: one.stop.signal,
      begun() {
        one.stop.signal.throwIfAborted();
        begun = true;
      },
      [Symbol.dispose]: () => {
        if (this.#waiting.delete(one) && !begun) this.#refused.tell(tags);
      },
    };
  }

  /** Refuses those with this tag, with the reason. Gives how many. */
  stopTagged(tag: string, reason: string): number {
    const picked = [...this.#waiting].filter(({ tags }) => tags.includes(tag));
    for (const { stop } of picked) stop.abort(new SluiceError("access.ended", reason));
    return picked.length;
  }

  /** Calls `run` with the tags of each push that was given a name and did not begin. */
  onRefused(run: (tags: readonly string[]) => void): Disposable {
    return this.#refused.add(run);
  }
}
