import type { Duration } from "./time.ts";

/** Let it happen. For `USER_NEW` the yes holds as long as the session lives, or is asked again every `recheckEvery`. */
export type Allow = { readonly kind: "allow"; readonly recheckEvery?: Duration };
/**
 * Refuse. The reason is shown to the client that is refused, to the log and to the API.
 * A viewer's refusal is remembered for 600 seconds, or for `denyFor`; 0 asks again at the next try.
 */
export type Deny = {
  readonly kind: "deny";
  readonly reason: string;
  readonly denyFor?: Duration;
  /** Set by the trigger bus when nobody said no but a handler failed: who watches already is not touched by that. */
  readonly failed?: true;
};
/** Go on under another name, URL or source. */
export type Rewrite = { readonly kind: "rewrite"; readonly to: string };
/** Go on with the value that was there before the question. */
export type Keep = { readonly kind: "keep" };

/** What a yes-or-no trigger ends in. */
export type Verdict = Allow | Deny;
/** What a trigger that may change a name, URL or source ends in. */
export type Rewriting = Rewrite | Keep | Deny;

/** A yes, with its life. */
export const allow = (life: { readonly recheckEvery?: Duration } = {}): Allow => ({ kind: "allow", ...life });
/** A no, with the reason that the client is told, and its life. */
export const deny = (reason = "not allowed", life: { readonly denyFor?: Duration } = {}): Deny => ({ kind: "deny", reason, ...life });
/** Another value instead of the one that was asked about. */
export const rewrite = (to: string): Rewrite => ({ kind: "rewrite", to });
/** The value that was asked about, unchanged. */
export const keep = (): Keep => ({ kind: "keep" });
