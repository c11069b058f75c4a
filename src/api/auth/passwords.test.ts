import { createHash, randomBytes, scryptSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import { FakeClock } from "../../../test/support/fake-clock.ts";
import { isSluiceError } from "../../base/errors.ts";
import { type Account, parseScrypt } from "../../config/account.ts";
import { Passwords } from "./passwords.ts";
import { hashPassword, isPassword } from "../../config/scrypt.ts";

const scrypt = await hashPassword("secret");

describe("scrypt", () => {
  it("knows the password again, and no other; two hashes of one password differ", async () => {
    expect(scrypt).toMatch(/^scrypt\$32768\$8\$1\$[\w-]{22}\$[\w-]{43}$/);
    expect([await isPassword("secret", scrypt), await isPassword("Secret", scrypt), await isPassword("", scrypt)]).toEqual([
      true,
      false,
      false,
    ]);
    expect(await hashPassword("secret")).not.toBe(scrypt);
  });

  it("takes no stored text that is no hash, or would cost more than a server should spend", async () => {
    const [, , , , salt, hash] = scrypt.split("$");
    const texts = ["", "scrypt", "secret", `scrypt$32767$8$1$${salt}$${hash}`, `scrypt$1073741824$8$1$${salt}$${hash}`];
    texts.push(
      `scrypt$32768$8$99$${salt}$${hash}`,
      `scrypt$32768$8$1$${salt}$`,
      `scrypt$32768$8$1$$${hash}`,
      `${scrypt}$more`,
      `bcrypt${scrypt.slice(6)}`,
    );
    for (const text of texts) expect([parseScrypt(text), await isPassword("secret", text)], text).toEqual([undefined, false]);
    expect(parseScrypt(scrypt)).toMatchObject({ N: 32_768, r: 8, p: 1 });
  });
});

/** A hash that costs little, for tests of how many are checked. */
function cheap(password: string): Account {
  const salt = randomBytes(16);
  const hash = scryptSync(password, salt, 32, { N: 1024, r: 8, p: 1 });
  return { scrypt: `scrypt$1024$8$1$${salt.toString("base64url")}$${hash.toString("base64url")}` };
}

describe("passwords", () => {
  const md5 = createHash("md5").update("secret").digest("hex");

  it("are checked against either form", async () => {
    const passwords = new Passwords(new FakeClock());
    expect(await passwords.check("a", "secret", { scrypt })).toBe(true);
    expect(await passwords.check("a", "wrong", { scrypt })).toBe(false);
    expect(await passwords.check("a", "secret", { password: md5 })).toBe(true);
    expect(await passwords.check("a", "wrong", { password: md5 })).toBe(false);
    // What `authorize` needs does not weaken Basic.
    expect(await passwords.check("a", "secret", { scrypt: await hashPassword("other"), md5 })).toBe(false);
    expect(await passwords.check("nobody", "secret", undefined)).toBe(false);
  });

  it("are remembered for a while when they are right, until the account has another one", async () => {
    const clock = new FakeClock();
    const passwords = new Passwords(clock);
    const account = cheap("secret");
    expect(await passwords.check("a", "secret", account)).toBe(true);
    /** While the queue is full only what is remembered gets an answer. */
    const withoutCheck = async (name: string, stored: Account): Promise<unknown> => {
      const guesses = Array.from({ length: 34 }, (_, number) => passwords.check("x", `guess ${number}`, account));
      const answer = await passwords.check(name, "secret", stored).catch(() => "no place");
      await Promise.all(guesses);
      return answer;
    };
    expect(await withoutCheck("a", account)).toBe(true);
    expect(await withoutCheck("b", account)).toBe("no place");
    expect(await withoutCheck("a", cheap("new"))).toBe("no place");
    await clock.advance(5 * 60_000);
    expect(await withoutCheck("a", account)).toBe("no place");
    expect(await passwords.check("a", "secret", account)).toBe(true);
  });

  it("are checked a few at a time: the same pair once, and who finds no place in the queue is told when to come back", async () => {
    const passwords = new Passwords(new FakeClock());
    const account = cheap("secret");
    const same = await Promise.all(Array.from({ length: 100 }, () => passwords.check("a", "secret", account)));
    expect(new Set(same)).toEqual(new Set([true]));
    const all = await Promise.allSettled(Array.from({ length: 60 }, (_, number) => passwords.check("a", `guess ${number}`, account)));
    const refused = all.filter((one) => one.status === "rejected").map(({ reason }) => reason as unknown);
    expect(refused).toHaveLength(60 - 2 - 32);
    for (const reason of refused) expect(isSluiceError(reason, "api.attempts") && reason.retryAfterMs).toBe(1000);
    expect(await passwords.check("a", "other", account)).toBe(false);
  });
});
