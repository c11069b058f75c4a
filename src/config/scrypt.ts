import { randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import { parseScrypt, type ScryptHash } from "./account.ts";

/** About a tenth of a second and 32 MB for each check. */
const cost = { N: 2 ** 15, r: 8, p: 1 } as const;

/** The form in which an account keeps a password: `scrypt$N$r$p$SALT$HASH`. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(16);
  const hash = await derive(password, { ...cost, salt, hash: Buffer.alloc(32) });
  return ["scrypt", cost.N, cost.r, cost.p, salt.toString("base64url"), hash.toString("base64url")].join("$");
}

/** True when this is the password. A stored text that is no hash fits no password. */
export async function isPassword(password: string, stored: string): Promise<boolean> {
  const parsed = parseScrypt(stored);
  if (!parsed) return false;
  return timingSafeEqual(await derive(password, parsed), parsed.hash);
}

/** Costs what a check costs, for names that do not exist. */
export async function pretend(password: string): Promise<false> {
  await derive(password, { ...cost, salt: Buffer.alloc(16), hash: Buffer.alloc(32) });
  return false;
}

function derive(password: string, { N, r, p, salt, hash }: ScryptHash): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    // Node's bound is below what N = 2^15 needs.
    scrypt(password, salt, hash.length, { N, r, p, maxmem: 256 * N * r }, (error, key) => (error ? reject(error) : resolve(key)));
  });
}
