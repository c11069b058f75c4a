import { describe, expect, it } from "vitest";
import { memoryApiTokens } from "../../../test/support/api-server.ts";
import { FakeClock, settle } from "../../../test/support/fake-clock.ts";
import { ApiTokens } from "./api-tokens.ts";

function book(clock = new FakeClock(), store = memoryApiTokens()) {
  const lines: string[] = [];
  return { clock, store, lines, tokens: new ApiTokens({ store, clock, log: { write: (_kind, text) => void lines.push(text) } }) };
}

describe("bearer tokens", () => {
  it("are known by their text, which is kept nowhere", async () => {
    const { tokens, store } = book();
    const { token, text } = await tokens.create({ name: "site", scope: "operate" });
    expect(text).toMatch(/^sluice_[\w-]{43}$/);
    expect(await tokens.verify(text)).toMatchObject({ id: token.id, name: "site", scope: "operate" });
    for (const wrong of ["", "sluice_", `${text}x`, text.slice(0, -1), text.toUpperCase(), token.id])
      expect(await tokens.verify(wrong), wrong).toBeUndefined();
    expect(JSON.stringify([await store.read(), await tokens.list()])).not.toContain(text.slice(7));
    expect(JSON.stringify(await tokens.list())).not.toContain((await store.read())[0]?.hash);
  });

  it("end at their time, and at once when they are revoked; others go on", async () => {
    const { tokens, clock } = book();
    const short = await tokens.create({ name: "short", scope: "read", expiresAt: clock.now() + 1000 });
    const long = await tokens.create({ name: "long", scope: "read" });
    await clock.advance(999);
    expect(await tokens.verify(short.text)).toBeDefined();
    await clock.advance(1);
    expect([await tokens.verify(short.text), (await tokens.verify(long.text))?.name]).toEqual([undefined, "long"]);
    expect([await tokens.revoke(long.token.id), await tokens.verify(long.text), await tokens.revoke(long.token.id)]).toEqual([
      true,
      undefined,
      false,
    ]);
    expect((await tokens.list()).map(({ name }) => name)).toEqual(["short"]);
  });

  it("outlive the process, with their last use to the minute", async () => {
    const { tokens, store, clock } = book();
    const { text } = await tokens.create({ name: "site", scope: "read" });
    await tokens.verify(text);
    await clock.advance(59_000);
    await tokens.verify(text);
    await settle();
    expect((await store.read())[0]?.lastUsedAt).toBe(clock.now() - 59_000);
    await clock.advance(1000);
    expect(await book(clock, store).tokens.verify(text)).toMatchObject({ name: "site" });
    await settle();
    expect((await store.read())[0]?.lastUsedAt).toBe(clock.now());
  });

  it("hold although their use cannot be written down; the store is read again after it failed", async () => {
    const store = memoryApiTokens();
    const { tokens, lines } = book(new FakeClock(), { ...store, used: () => Promise.reject(new Error("disk full")) });
    const { text } = await tokens.create({ name: "site", scope: "read" });
    expect(await tokens.verify(text)).toBeDefined();
    await settle();
    expect(lines.join()).toContain("disk full");
    let fails = true;
    const shaky = book(new FakeClock(), { ...store, read: () => (fails ? Promise.reject(new Error("locked")) : store.read()) }).tokens;
    await expect(shaky.verify(text)).rejects.toThrow("locked");
    fails = false;
    expect(await shaky.verify(text)).toBeDefined();
  });
});
