import { describe, expect, it } from "vitest";
import { accountSchema } from "./account.ts";
import { readConfiguration } from "./load.ts";
import { hashPassword } from "./scrypt.ts";

const md5 = "5ebe2294ecd0e0f08eab7690d2a6ee69";
const scrypt = await hashPassword("secret");

describe("accounts in the configuration", () => {
  it("have MistServer's form or ours, in either kind of file", () => {
    for (const account of [
      { password: md5 },
      { scrypt },
      { scrypt, scope: "read" },
      { scrypt, md5, scope: "operate" },
      { password: md5, scope: "read" },
    ]) {
      expect(readConfiguration({ account: { a: account } }, "own").settings.account).toEqual({ a: account });
      expect(readConfiguration({ config: {}, account: { a: account } }, "mist").settings.account).toEqual({ a: account });
    }
  });

  it.each([
    {},
    { password: "secret" },
    { password: md5, scrypt },
    { password: md5, md5 },
    { md5 },
    { scrypt: "secret" },
    { scrypt, scope: "all" },
    { scrypt, more: 1 },
  ])("are not %j", (account) => {
    expect(accountSchema.safeParse(account).success).toBe(false);
    const read = () => readConfiguration({ account: { a: account } }, "sluice.config.ts");
    expect(read).toThrow(/account\.a/);
    expect(read).not.toThrow(/"secret"/);
  });
});
