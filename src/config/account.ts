import { z } from "zod";

/** What an account or a token of the API may do: look, act on what runs, change the configuration. Each includes the one before. */
export const accountScopes = ["read", "operate", "admin"] as const;
export type AccountScope = (typeof accountScopes)[number];

/**
 * An account of the API. MistServer's form has `password` alone, the MD5 of the password in lower-case hex. Ours has `scrypt`, what it
 * may do, and the MD5 only if the account has to log in by MistServer's `authorize`, too.
 */
export type Account = {
  readonly password?: string | undefined;
  readonly scrypt?: string | undefined;
  readonly md5?: string | undefined;
  /** Left out: admin. */
  readonly scope?: AccountScope | undefined;
};

/** The parts of `scrypt$N$r$p$SALT$HASH` (base64url). */
export type ScryptHash = { readonly N: number; readonly r: number; readonly p: number; readonly salt: Buffer; readonly hash: Buffer };

const md5Words = "the MD5 of the password in 32 lower-case hexadecimal digits (printf %s PASSWORD | md5sum)";
const md5 = z.string(md5Words).regex(/^[0-9a-f]{32}$/, md5Words);
const scryptWords = "scrypt$N$r$p$SALT$HASH, as `sluice account hash` prints it";
const accountWords = "an object with `scrypt` and a `scope`, or with a `password` (its MD5), not with both";

/** An account in either form. */
export const accountSchema = z
  .strictObject(
    {
      password: md5.optional(),
      scrypt: z
        .string(scryptWords)
        .refine((value) => parseScrypt(value) !== undefined, scryptWords)
        .optional(),
      md5: md5.optional(),
      scope: z.enum(accountScopes, `one of ${accountScopes.join(", ")}`).optional(),
    },
    accountWords,
  )
  .refine(
    ({ password, scrypt, md5 }) => (password === undefined ? scrypt !== undefined : scrypt === undefined && md5 === undefined),
    accountWords,
  );

/** The keys of an account. */
export const accountKeys = ["password", "scrypt", "md5", "scope"] as const;

/** Reads a hash; undefined when it is none, or would cost more memory (128 N r) or time than a server should spend. */
export function parseScrypt(text: string): ScryptHash | undefined {
  const [kind, ...parts] = text.split("$");
  const [N = 0, r = 0, p = 0] = parts.slice(0, 3).map(Number);
  const [salt, hash] = parts.slice(3).map((part) => Buffer.from(part, "base64url"));
  const sane = Number.isInteger(Math.log2(N)) && N >= 1024 && Number.isInteger(r) && r >= 1 && Number.isInteger(p) && p >= 1 && p <= 16;
  if (kind !== "scrypt" || parts.length !== 5 || !sane || N * r > 2 ** 20 || !salt || !hash || salt.length < 8 || hash.length < 16)
    return undefined;
  return { N, r, p, salt, hash };
}
