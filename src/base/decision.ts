import type { Duration } from "./time.ts";

/** For whom an answer to USER_NEW holds, on its stream: the session that was asked about, or all with its token, user or address. */
export type Scope = "session" | "token" | "user" | "address";

/** How many sessions of one viewer may live at the same time. */
export type Limits = {
  /** A whole number from 1 on. A later answer that says less ends nobody. */
  readonly sessions: number;
  /** Count each stream for itself. Left out: all streams together. */
  readonly per?: "stream";
  /**
   * Whose sessions count. Left out: those of the `user`, if there is one, else of the token that the client brought, else of the
   * address, and each session counts in that one name only. A name that the viewer does not have has no limit.
   */
  readonly by?: "user" | "token" | "address";
  /** Who has to go when so many live: who comes ("refuse"), or who has been there longest. Left out: "refuse". */
  readonly onReached?: "refuse" | "end-oldest";
  /** What who has to go is told. Left out: a sentence that says how many there may be. */
  readonly reason?: string;
  /** When the refused client may try again. Left out: nothing is said. */
  readonly retryAfter?: Duration;
};

/** The life of a yes to USER_NEW, and what it says about the viewer. */
export type ViewerLife = {
  /** The yes ends after this long, and is asked for again. Left out: it holds as long as the session. */
  readonly ttl?: Duration;
  /** So long after `ttl` the old yes still serves while a fresh answer is fetched. Left out: new requests wait for the answer. */
  readonly staleFor?: Duration;
  /** Ask again this often, in the background. A failure changes nothing, as the yes itself has no end. */
  readonly recheckEvery?: Duration;
  /** The answer holds until then (Unix milliseconds), as a token's `exp` says; it is asked for again in time. */
  readonly expiresAt?: number;
  /** The session stays with its token when the client's address changes, although the identity has the address in it. */
  readonly roams?: boolean;
  /** Left out: "session". */
  readonly scope?: Scope;
  /** Who the viewer is, for lists, `scope: "user"` and limits. Up to 200 characters. */
  readonly user?: string;
  /** Why, for `sluice why`, the log and the journal; the client is not shown it. Up to 200 characters. */
  readonly note?: string;
  /** Tags of the session: they can be picked by `stop_tag` and are told in USER_END. */
  readonly tags?: readonly string[];
  /**
   * How many sessions the viewer may have; of several limits all hold. It counts when a session begins: a lower limit in the
   * answer of a recheck ends nobody.
   */
  readonly limits?: Limits | readonly Limits[];
};

/** Let it happen. */
export type Allow = { readonly kind: "allow" } & ViewerLife;
/** A yes without a life: what all triggers but USER_NEW take. */
export type Yes = { readonly kind: "allow" } & { readonly [F in keyof ViewerLife]?: never };

/** The life of a no. */
export type DenyLife = {
  /** A viewer's refusal is remembered for this long; 0 asks again at the next try. Left out: as long as `retryAfter`, else 600 seconds. */
  readonly denyFor?: Duration;
  /** Whom else the no to USER_NEW is for: they are refused without a question, and who watches already is ended. */
  readonly scope?: Scope;
  /** Who was refused; needed by `scope: "user"`. */
  readonly user?: string;
  /** When the client may try again: HTTP says it as `Retry-After`. Left out: nothing is said. */
  readonly retryAfter?: Duration;
  /** What decided, for `sluice why`, the log and the journal; the client is not shown it. */
  readonly note?: string;
  /** No further handler of this trigger is asked. */
  readonly final?: boolean;
};

/** Refuse. The reason is shown to the client that is refused, to the log and to the API. */
export type Deny = {
  readonly kind: "deny";
  readonly reason: string;
  /** Set by the trigger bus when nobody said no but a handler failed: who watches already is not touched by that. */
  readonly failed?: true;
} & DenyLife;
/** What an answer about a push may say beside the name. */
export type PushLife = {
  /**
   * When somebody pushes to that stream already: `refuse` (left out: that) the newcomer; `take-over`: the newcomer goes on with the
   * stream and the other is ended, without the viewers noticing more than a cut; `backup`: the newcomer waits and goes on when the other leaves.
   */
  readonly whenTaken?: "refuse" | "take-over" | "backup";
  /** Tags of the publisher's session: it can be ended by them. */
  readonly tags?: readonly string[];
  /** Why, for `sluice why`, the log and the journal. */
  readonly note?: string;
};
/** Go on under another name, URL or source. */
export type Rewrite = { readonly kind: "rewrite"; readonly to: string } & PushLife;
/** Go on with the value that was there before the question. */
export type Keep = { readonly kind: "keep" };

/** What a yes-or-no trigger ends in. */
export type Verdict = Allow | Deny;
/** What a trigger that may change a name, URL or source ends in. */
export type Rewriting = Rewrite | Keep | Deny;

/** A yes. */
export function allow(): Yes;
/** A yes to USER_NEW, with its life. */
export function allow(life: ViewerLife): Allow;
export function allow(life: ViewerLife = {}): Allow {
  return { kind: "allow", ...life };
}
/** A no, with the reason that the client is told, and its life. */
export const deny = (reason = "not allowed", life: DenyLife = {}): Deny => ({ kind: "deny", reason, ...life });
/** Another value instead of the one that was asked about. */
export const rewrite = (to: string, push: PushLife = {}): Rewrite => ({ kind: "rewrite", to, ...push });
/** The value that was asked about, unchanged. */
export const keep = (): Keep => ({ kind: "keep" });
