/** What counts, and in whose name: each name has its own count. */
export const limitBy = ["user", "token", "address", "stream", "server"] as const;
export type LimitBy = (typeof limitBy)[number];

/** What happens to who comes when a limit is reached. */
export type LimitAction = "refuse" | "end-oldest" | { readonly fallback: string };

/** One limit as it is declared in the configuration (`limits`, by name), over the API, or in an answer to USER_NEW. */
export type LimitRule = {
  readonly by: LimitBy;
  /** With `by: "address"`: how many bits of it count; left out, all. */
  readonly prefix?: { readonly ipv4?: number; readonly ipv6?: number };
  /** Streams that it is for: names (`live` is also `live+a`), `live+`, one `*` for any text, `#tag`, each with `!` before it for all but those. Left out: all. */
  readonly streams?: readonly string[];
  /** Viewers' sessions at the same time. */
  readonly sessions?: number;
  /** Bits per second to viewers, measured, with what those who have just come in will need. */
  readonly egress?: number;
  /** Bits per second from one publisher (`by: "stream"`) or all (`by: "server"`). */
  readonly ingest?: number;
  /** After it was reached the limit holds until the count is at or below this part of it (0 to 1); left out: 1 for sessions, 0.9 for bit rates. */
  readonly safe?: number;
  readonly onReached?: LimitAction;
  /** What the refused client is told. */
  readonly reason?: string;
  /** Milliseconds or a duration that the refused client is told to wait. */
  readonly retryAfter?: number | string;
};

/** One counter of one limit, as the API and the events show it. */
export type LimitState = {
  readonly name: string;
  readonly rule: LimitRule;
  /** In whose name: a user, the hash of a token, a network, a stream; `server`. */
  readonly key: string;
  readonly measure: "sessions" | "egress" | "ingest";
  readonly used: number;
  readonly most: number;
  /** True from when it was reached until `used` is at the safe mark. */
  readonly closed: boolean;
  /** Clients that were refused, ended or sent elsewhere because of it. */
  readonly refused: number;
};

/** One measure of one limit, over all of its counters. */
export type LimitSum = {
  readonly name: string;
  readonly measure: LimitState["measure"];
  /** Of the counter that is fullest. */
  readonly used: number;
  readonly most: number;
  /** Clients ever, as in `LimitState`. */
  readonly refused: number;
};

/** The limits as the API, metrics and events see them. */
export interface LimitBook {
  /** Rules by name: those of the configuration, and those that policies have added. */
  rules(): Readonly<Record<string, LimitRule>>;
  /** Counters in use. */
  states(): readonly LimitState[];
  /** One for each measure of each rule, also where nothing is counted yet. */
  sums(): readonly LimitSum[];
  /** Called when a limit closes or opens again. */
  onChange(run: (state: LimitState) => void): Disposable;
}
