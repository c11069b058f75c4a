import type { StreamName } from "../../base/stream-name.ts";

/** What a token is shown for. */
export type TokenUse = {
  readonly permission: "input" | "output" | "admin";
  /** The final name for viewers, the asked one for publishers; "" for `admin`. */
  readonly stream: StreamName;
  readonly address: string;
  /** The moment whose `nbf` and `exp` count (Unix milliseconds): a token that was let in then is looked at again. Now if left out. */
  readonly at?: number;
};

export type TokenVerdict =
  /** It is no JWT, or no key is configured. */
  | { readonly kind: "none" }
  | {
      readonly kind: "valid";
      readonly claims: Readonly<Record<string, unknown>>;
      /** Unix milliseconds from which on it does not hold any more; undefined: it has no `exp`. */
      readonly expiresAt: number | undefined;
    }
  | {
      readonly kind: "invalid";
      /** In words for the trace and, where a token is required, for the client. */
      readonly reason: string;
      /** Unix milliseconds from which on it holds, when `nbf` is all that is wrong. */
      readonly notBefore?: number;
    };

/** JWTs against the configured keys. A signature is verified once and remembered; claims are looked at each time. */
export interface TokenVerifier {
  verify(token: string, use: TokenUse): Promise<TokenVerdict>;
  /** The stream that a JWT in the place of a stream name stands for (its `sub` without wildcard); undefined for everything else. Says nothing about its signature. */
  streamOf(name: string): string | undefined;
  /** Called when other keys count than before: what was valid may not be any more. */
  onChange(run: () => void): Disposable;
}

/** Names to push to that are secret: `key` stands for a stream. */
export interface StreamKeys {
  streamOf(key: string): StreamName | undefined;
  /** Called when a key was added, changed or taken away. */
  onChange(run: () => void): Disposable;
}
