import type { Allow, Limits } from "../../base/decision.ts";
import type { Payload } from "../../triggers/table.ts";

/** A viewer's session that was let in here, as far as its MistServer told it. */
export type HeldSession = {
  readonly id: string;
  readonly stream: string;
  readonly host: string;
  readonly token: string;
  readonly user: string | undefined;
  readonly tags: readonly string[];
  /** Unix milliseconds of its first yes. */
  readonly since: number;
};

/** Sessions that are known at once; the oldest are forgotten. */
const mostSessions = 200_000;
const mostPushes = 10_000;

/**
 * What was said of sessions and pushes, since a MistServer keeps none of it: tags, users, and how many sessions somebody may have.
 * Sessions are known from their yes to their USER_END.
 */
export class HeldSessions {
  readonly #sessions = new Map<string, HeldSession>();
  /** Tags of the last push to each stream. */
  readonly #pushes = new Map<string, readonly string[]>();

  get(id: string): HeldSession | undefined {
    return this.#sessions.get(id);
  }

  tagged(tag: string): readonly HeldSession[] {
    return [...this.#sessions.values()].filter(({ tags }) => tags.includes(tag));
  }

  /** Streams whose publisher has the tag. */
  pushedWith(tag: string): readonly string[] {
    return [...this.#pushes].filter(([, tags]) => tags.includes(tag)).map(([stream]) => stream);
  }

  add({ sessionId, stream, host, token }: Payload<"USER_NEW">, { user, tags = [] }: Allow, now: number): void {
    const since = this.#sessions.get(sessionId)?.since ?? now;
    this.#sessions.set(sessionId, { id: sessionId, stream, host, token, user, tags, since });
    trim(this.#sessions, mostSessions);
  }

  delete(id: string): void {
    this.#sessions.delete(id);
  }

  /** The last push to a stream decides; one without tags takes those of the push before away. */
  pushed(stream: string, tags: readonly string[] = []): void {
    this.#pushes.delete(stream);
    if (tags.length > 0) this.#pushes.set(stream, tags);
    trim(this.#pushes, mostPushes);
  }

  /**
   * Who stands against a yes with limits: what the newcomer is told, or the sessions that have to end for it. `lives` tells those that
   * are still there: a MistServer that was killed tells the end of none.
   */
  overfull(
    payload: Payload<"USER_NEW">,
    { user, limits = [] }: Allow,
    lives: (session: HeldSession) => boolean,
  ): { readonly reason: string } | { readonly oldest: readonly string[] } {
    const oldest = new Set<string>();
    for (const limit of [limits].flat() as readonly Limits[]) {
      const { sessions, per, onReached = "refuse", reason } = limit;
      const sameViewer = namesOf({ user, token: payload.token, host: payload.host }, limit);
      if (!sameViewer) continue;
      const others = [...this.#sessions.values()].filter(
        (one) => one.id !== payload.sessionId && (per !== "stream" || one.stream === payload.stream) && sameViewer(one) && lives(one),
      );
      const over = others.length + 1 - sessions;
      if (over <= 0) continue;
      if (onReached === "refuse")
        return { reason: reason ?? `only ${sessions} session${sessions === 1 ? "" : "s"} at a time; end another one first` };
      for (const one of others.toSorted((a, b) => a.since - b.since).slice(0, over)) oldest.add(one.id);
    }
    return { oldest: [...oldest] };
  }
}

/** True for the sessions of the same viewer; undefined when it does not have the name that the limit counts by. */
function namesOf(
  { user, token, host }: { readonly user: string | undefined; readonly token: string; readonly host: string },
  { by = user === undefined ? (token === "" ? "address" : "token") : "user" }: Limits,
): ((session: HeldSession) => boolean) | undefined {
  if (by === "user") return user === undefined ? undefined : (one) => one.user === user;
  if (by === "token") return token === "" ? undefined : (one) => one.token === token;
  return (one) => one.host === host;
}

function trim(map: Map<string, unknown>, most: number): void {
  if (map.size > most) for (const oldest of map.keys()) return void map.delete(oldest);
}
