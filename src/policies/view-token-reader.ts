import { SluiceError } from "../base/errors.ts";
import type { TokenBook, TokenRecord, TokenSpec } from "../store/token-book.ts";
import { readSigned, signToken } from "./signed-token.ts";
import type { SigningKeys } from "./signed-url.ts";

/** A token's record as the book keeps it; those that are signed say so. */
export type ViewTokenRecord = TokenRecord & { readonly signed?: true };

/** Tokens that a page of the book is read in. */
const pageSize = 1000;

/**
 * Finds what a viewer's token says: of an opaque one in the book, of a signed one in itself. The ids of signed tokens that were revoked
 * are kept in memory, so that a signed token that says everything itself is looked up nowhere.
 */
export class ViewTokenReader implements Disposable {
  readonly #tokens: TokenBook;
  readonly #keys: SigningKeys;
  readonly #revoked = new Set<string>();
  readonly #listener: Disposable;

  private constructor(tokens: TokenBook, keys: SigningKeys) {
    this.#tokens = tokens;
    this.#keys = keys;
    this.#listener = tokens.onRevoke((record: ViewTokenRecord) => {
      if (record.signed) this.#revoked.add(record.id);
    });
  }

  /** Reads which signed tokens were revoked. */
  static async open(tokens: TokenBook, keys: SigningKeys, now: number): Promise<ViewTokenReader> {
    const reader = new ViewTokenReader(tokens, keys);
    if (keys.size === 0) return reader;
    for (let after: string | undefined; ; ) {
      const page: readonly ViewTokenRecord[] = await tokens.list({ kind: "view", limit: pageSize, ...(after !== undefined && { after }) });
      for (const { id, signed, revokedAt, expiresAt } of page)
        if (signed && revokedAt !== undefined && (expiresAt ?? now) >= now) reader.#revoked.add(id);
      after = page.at(-1)?.id;
      if (page.length < pageSize) return reader;
    }
  }

  async find(text: string): Promise<ViewTokenRecord | undefined> {
    const claims = readSigned(text, this.#keys);
    if (!claims) return await this.#tokens.find("view", text);
    const { limited, ...said } = claims;
    const record: ViewTokenRecord = {
      ...said,
      ...{ kind: "view", hint: "signed", createdAt: 0, used: 0, signed: true },
      ...(this.#revoked.has(said.id) && { revokedAt: 0 }),
    };
    if (!limited || record.revokedAt !== undefined) return record;
    const kept = await this.#tokens.get(said.id);
    return kept?.kind === "view" ? kept : undefined;
  }

  [Symbol.dispose](): void {
    this.#listener[Symbol.dispose]();
  }
}

/** What makes that a signed token says less than its record. */
const limits = ["notBefore", "uses", "sessions", "lifetimeMs", "graceMs", "addresses", "protocols", "bind", "whenTaken"] as const;
/** As long as the book's ids are. */
const anyId = "0".repeat(14);

/**
 * Makes a signed token with the first of the keys. Its record has no text of its own that anybody knows: it is there to be listed, revoked,
 * and for what the token does not say. Throws "input.invalid" when the stream's name is too long.
 */
export async function createSigned(
  tokens: TokenBook,
  spec: TokenSpec,
  keys: SigningKeys,
): Promise<{ readonly record: ViewTokenRecord; readonly token: string }> {
  const [[key, secret] = []] = keys;
  if (key === undefined || !secret) throw new SluiceError("input.invalid", "There is no key to sign with");
  // Whole seconds are what a token can say.
  const expiresAt = spec.expiresAt === undefined ? undefined : Math.ceil(spec.expiresAt / 1000) * 1000;
  const said = {
    stream: spec.stream,
    limited: limits.some((limit) => spec[limit] !== undefined),
    ...(expiresAt !== undefined && { expiresAt }),
  };
  signToken({ ...said, id: anyId }, key, secret);
  const wanted = { ...spec, ...(expiresAt !== undefined && { expiresAt }), signed: true as const };
  const { record } = await tokens.create(wanted);
  return { record: { ...record, signed: true }, token: signToken({ ...said, id: record.id }, key, secret) };
}
