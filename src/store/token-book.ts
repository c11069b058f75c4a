/** What a token lets somebody do: push to a stream, or watch one. */
export const tokenKinds = ["push", "view"] as const;
export type TokenKind = (typeof tokenKinds)[number];

/** What may be said of a new token; what is left out does not limit it. Times are Unix milliseconds. */
export type TokenSpec = {
  readonly kind: TokenKind;
  /** The stream, a template (`live+$name`, push) or a pattern (`live+*`, view). */
  readonly stream: string;
  /** For people. */
  readonly label?: string;
  readonly notBefore?: number;
  readonly expiresAt?: number;
  /** How often it may be used: pushes begun, viewers' sessions begun. */
  readonly uses?: number;
  /** Viewers' sessions at the same time. */
  readonly sessions?: number;
  /** View: milliseconds that it holds from its first use on. */
  readonly lifetimeMs?: number;
  /** View: milliseconds in which who was in may come back without another use. */
  readonly graceMs?: number;
  /** Addresses and networks that may use it. */
  readonly addresses?: readonly string[];
  /** Connectors (`RTMP`, `HLS`, ...) over which it may be used. */
  readonly protocols?: readonly string[];
  /** View: bound to the first address or device that uses it; `soft` moves along with a use, `strict` refuses. */
  readonly bind?: { readonly to: "address" | "device"; readonly how: "soft" | "strict" };
  /** What happens when it is in use already: by another publisher (push), or in all of its `sessions` (view). */
  readonly whenTaken?: "refuse" | "take-over" | "backup";
  readonly metadata?: Readonly<Record<string, unknown>>;
  /** At most 24 characters, for encoders with short limits. */
  readonly short?: boolean;
};

export type TokenRecord = Omit<TokenSpec, "short"> & {
  /** Names the token without being it. */
  readonly id: string;
  /** Its first characters, for people to tell tokens apart. */
  readonly hint: string;
  readonly createdAt: number;
  readonly used: number;
  readonly firstUsedAt?: number;
  readonly boundTo?: string;
  readonly revokedAt?: number;
};

/** The operator's tokens. They are kept as hashes: a token's text is given once, by `create`. */
export interface TokenBook {
  create(spec: TokenSpec): Promise<{ readonly record: TokenRecord; readonly token: string }>;
  /** The token with this text, also when it is spent, over or revoked; undefined for an unknown one. */
  find(kind: TokenKind, token: string): Promise<TokenRecord | undefined>;
  get(id: string): Promise<TokenRecord | undefined>;
  /** In the order in which they were made; `after` is the id of the last one of the page before. */
  list(query: {
    readonly kind?: TokenKind;
    readonly stream?: string;
    readonly after?: string;
    readonly limit: number;
  }): Promise<readonly TokenRecord[]>;
  /** Counts one use, on the disk when it resolves; false, and nothing counted, when it has none left, or does not hold now. */
  use(id: string, now: number): Promise<boolean>;
  /** Takes a use back that led to nothing. */
  giveBack(id: string): Promise<void>;
  /** Binds it to this address or device if it is not bound yet; gives what it is bound to. */
  bind(id: string, to: string): Promise<string>;
  /** Binds it to another address or device than before. */
  rebind(id: string, to: string): Promise<void>;
  /** False when it was revoked before, or is not there. */
  revoke(id: string, now: number): Promise<boolean>;
  /** Called when a token was revoked, by whomever: its push or its viewers are ended. */
  onRevoke(run: (record: TokenRecord) => void): Disposable;
}
