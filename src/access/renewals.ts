import { SluiceError } from "../base/errors.ts";
import type { Clock } from "../base/time.ts";
import { durationMs } from "../base/time.ts";
import type { AccessRequest } from "../sessions/access-request.ts";
import type { Ask, Identity, Sessions, Standing } from "../sessions/session.ts";
import { tokenPlace } from "../sessions/token.ts";
import type { Verdict } from "../base/decision.ts";

export type RenewalOptions = {
  readonly clock: Clock;
  readonly sessions: Pick<Sessions, "standing" | "renew" | "get">;
  readonly tknMode: () => number;
};

/**
 * Fresh tokens of viewers that watch already. Whoever brings one has to show the old one, too: the ids of sessions are no secrets.
 */
export class Renewals {
  readonly #options: RenewalOptions;
  /** Those that are asked about now, by session and new token: the requests of one player come in bundles. */
  readonly #going = new Map<string, Promise<void>>();

  constructor(options: RenewalOptions) {
    this.#options = options;
  }

  /** The older tokens that a request carries beside `token`, the likelier first. */
  olderTokens({ query, cookies }: Pick<AccessRequest, "query" | "cookies">, token: string): readonly string[] {
    const inCookies = this.#options.tknMode() & tokenPlace.readCookie ? [cookies["tkn"], cookies["jwt"]] : [];
    const found = [query["was"], ...inCookies].filter((old): old is string => old !== undefined && old !== "" && old !== token);
    return [...new Set(found)];
  }

  /** The session that lives under one of these tokens and was shown it by its client; undefined if there is none. */
  living(identity: Identity, tokens: readonly string[]): Standing | undefined {
    for (const token of tokens) {
      const standing = this.#options.sessions.standing({ ...identity, token });
      // A token that the server has made says nothing about who the client is: the one that it brings now begins its session.
      if (standing.state === "living" && !standing.madeToken) return standing;
    }
    return undefined;
  }

  /** Asks whether the session may go on with the new identity. Rejects with "access.denied", and the session goes on as it was; or with "access.unknown". */
  async renew(id: string, identity: Identity, ask: Ask): Promise<void> {
    const key = `${id} ${identity.token}`;
    let going = this.#going.get(key);
    if (!going) {
      going = this.#options.sessions.renew(id, identity, this.#sameUser(id, ask)).finally(() => this.#going.delete(key));
      this.#going.set(key, going);
    }
    await going;
  }

  /** The question, whose answer must not make one user's session another user's: two people may share a browser and its cookie. */
  #sameUser(id: string, ask: Ask): Ask {
    let user = this.#options.sessions.get(id)?.user ?? "";
    return async (...question) => {
      const verdict = await ask(...question);
      const other = user !== "" && verdict.kind === "allow" && (verdict.user ?? user) !== user;
      // What is asked later is the session's own affair.
      user = "";
      if (other) throw new SluiceError("access.denied", "This token is another user's.");
      return verdict;
    };
  }

  /** When the yes ends. */
  expiry(answer: Verdict | undefined): number | undefined {
    if (answer?.kind !== "allow") return undefined;
    const { ttl, expiresAt } = answer;
    const byTtl = ttl === undefined ? Number.POSITIVE_INFINITY : this.#options.clock.now() + durationMs(ttl);
    const end = Math.min(expiresAt ?? Number.POSITIVE_INFINITY, byTtl);
    return Number.isFinite(end) ? end : undefined;
  }
}

/** Nobody may take over a session by its id alone. */
export function noOldToken(): SluiceError {
  return new SluiceError(
    "access.unknown",
    "No session of yours plays this stream now; send its token as the cookie tkn or as the parameter was, and the new one as tkn.",
  );
}
