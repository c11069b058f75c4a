import type { Clock } from "../../base/time.ts";
import type { Sessions } from "../../sessions/session.ts";

/** A session gets its player's name as a tag when it has lasted this long. */
const delayMs = 10_000;

/** Tags that are kept once for all sessions that have them. */
const mostTags = 1_000;

/** Adds MistServer's tag `UA:<User-Agent>` to sessions. New ones wait in line; there is no timer for each. */
export class AgentTags {
  readonly #clock: Clock;
  readonly #sessions: Pick<Sessions, "tag">;
  readonly #tags = new Map<string, string>();
  #waiting: { readonly due: number; readonly id: string; readonly tag: string }[] = [];

  constructor(clock: Clock, sessions: Pick<Sessions, "tag">) {
    this.#clock = clock;
    this.#sessions = sessions;
  }

  /** A new session of a client that calls itself `agent`. */
  add(id: string, agent: string | undefined): void {
    // oxlint-disable-next-line no-control-regex -- control characters are what this removes
    const name = agent?.replace(/[\u0000-\u001f\u007f[\]]/g, "").slice(0, 200);
    if (name) this.#waiting.push({ due: this.#clock.monotonic() + delayMs, id, tag: this.#once(`UA:${name}`) });
  }

  tick(): void {
    const now = this.#clock.monotonic();
    let count = 0;
    for (const { due, id, tag } of this.#waiting) {
      if (due > now) break;
      this.#sessions.tag(id, tag);
      count++;
    }
    if (count > 0) this.#waiting = this.#waiting.slice(count);
  }

  /** One text for all sessions with the same player. */
  #once(tag: string): string {
    const known = this.#tags.get(tag);
    if (known !== undefined) return known;
    this.#tags.set(tag, tag);
    if (this.#tags.size > mostTags) for (const oldest of this.#tags.keys()) return (this.#tags.delete(oldest), tag);
    return tag;
  }
}
