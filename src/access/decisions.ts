import type { TraceStep } from "./trace.ts";

/** How somebody was let in, refused, asked about again, or ended: all that `sluice why` tells. Tokens are here only as hashes. */
export type DecisionRecord = {
  /** Short, for people to read out: the refused client is shown it. */
  readonly id: string;
  /** Unix milliseconds. */
  readonly at: number;
  readonly kind: "play" | "publish" | "recheck" | "renew" | "end";
  readonly result: "allow" | "deny";
  /** What the client was told; empty for a yes. */
  readonly reason: string;
  /** What decided, in a few words: `USER_NEW function at sluice.config.ts`, `limit two-per-user`, `answer kept from an earlier question`. */
  readonly rule: string;
  /** Empty where there was no session yet. */
  readonly sessionId: string;
  readonly address: string;
  readonly protocol: string;
  /** The name that was asked for; masked when it is not the name of a configured stream, as it may be a token. */
  readonly asked: string;
  readonly stream: string;
  readonly user: string;
  /** The first 16 hexadecimal digits of the token's SHA-256; empty without a token. */
  readonly tokenHash: string;
  readonly steps: readonly TraceStep[];
};

/** Each given field must fit; `token` is the token itself, and is hashed before it is compared. */
export type DecisionQuery = {
  readonly id?: string;
  readonly sessionId?: string;
  readonly address?: string;
  readonly token?: string;
  readonly tokenHash?: string;
  readonly stream?: string;
  readonly result?: "allow" | "deny";
  /** Newest first; 100 if left out. */
  readonly limit?: number;
};

/** The last decisions, bounded in number. */
export interface Decisions {
  /** Newest first. `text` may be any of a decision's id, session id (or its beginning, from 6 digits on), address, token, token hash. */
  why(text: string): readonly DecisionRecord[];
  find(query: DecisionQuery): readonly DecisionRecord[];
  /** Called for each decision as it is made. */
  onDecision(run: (record: DecisionRecord) => void): Disposable;
}
