import { Readable } from "node:stream";
import { Command } from "commander";
import { describe, expect, it } from "vitest";
import { startApi, type TestApi } from "../../test/support/api-server.ts";
import { parseScrypt } from "../config/account.ts";
import { accountCommand, apiTokenCommand } from "./access.ts";

/** Runs `sluice WORDS...` against a server's API; gives what was printed. */
async function run(api: TestApi, words: readonly string[], typed = ""): Promise<string> {
  let printed = "";
  const terminal = {
    write: (text: string) => void (printed += text),
    interactive: false,
    style: (_look: string, text: string) => text,
    interrupted: () => new AbortController().signal,
  };
  const parts = { environment: { SLUICE_API: `http://127.0.0.1:${api.port}` }, terminal, input: Readable.from([typed]) };
  const program = new Command().exitOverride().addCommand(accountCommand(parts)).addCommand(apiTokenCommand(parts));
  await program.parseAsync(words, { from: "user" });
  return printed;
}

describe("sluice account", () => {
  it("makes, lists and removes accounts, with the password from standard input", async () => {
    await using api = await startApi();
    expect(await run(api, ["account", "list"])).toBe("There is no account.\n");
    expect(await run(api, ["account", "add", "site", "--scope", "operate", "--mist"], "long password\nmore")).toBe(
      "site may operate now\n",
    );
    expect(api.configuration.settings.account["site"]).toMatchObject({ scope: "operate", md5: expect.any(String) });
    expect(await run(api, ["account", "list"])).toMatch(/name +scope +authorize\nsite +operate +yes\n/);
    await expect(run(api, ["account", "add", "other"], "short")).rejects.toThrow("password must be a password of 8 to 1000 characters");
    await expect(run(api, ["account", "add", "other"])).rejects.toThrow("standard input");
    expect(await run(api, ["account", "remove", "site"])).toBe("site is removed\n");
    expect(api.configuration.settings.account).toEqual({});
    expect(parseScrypt((await run(api, ["account", "hash"], "any\n")).trim())).toBeDefined();
  });
});

describe("sluice api-token", () => {
  it("prints a token once, lists and revokes it", async () => {
    await using api = await startApi();
    const text = (await run(api, ["api-token", "create", "site", "--scope", "operate", "--expires", "30d"])).trim();
    const token = await api.parts.apiTokens.verify(text);
    expect(token).toMatchObject({ name: "site", scope: "operate", expiresAt: api.clock.now() + 30 * 86_400_000 });
    const list = await run(api, ["api-token", "list"]);
    expect(list).toContain(`${token?.id}  site  operate`);
    expect(list).not.toContain(text.slice(7));
    expect(JSON.parse(await run(api, ["api-token", "list", "--json"]))).toMatchObject({ items: [{ name: "site" }] });
    expect(await run(api, ["api-token", "revoke", token?.id ?? ""])).toBe(`${token?.id} is revoked\n`);
    expect(await api.parts.apiTokens.verify(text)).toBeUndefined();
    await expect(run(api, ["api-token", "revoke", "none"])).rejects.toThrow("There is no token");
  });
});
