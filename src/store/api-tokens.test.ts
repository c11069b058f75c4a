import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { openStore } from "./store.ts";

it("keeps the API's tokens over a restart, and forgets what was removed", async () => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-store-"));
  const token = { id: "a1", name: "site", hash: "0".repeat(64), scope: "read", createdAt: 5 } as const;
  try {
    {
      await using store = openStore(folder);
      await store.apiTokens.add(token);
      await store.apiTokens.add({ ...token, id: "b2", hash: "1".repeat(64), expiresAt: 99 });
      await expect(store.apiTokens.add({ ...token, id: "c3" })).rejects.toThrow(/UNIQUE/);
      await store.apiTokens.used("b2", 7);
    }
    await using store = openStore(folder);
    expect(await store.apiTokens.read()).toEqual([token, { ...token, id: "b2", hash: "1".repeat(64), expiresAt: 99, lastUsedAt: 7 }]);
    expect([await store.apiTokens.remove("a1"), await store.apiTokens.remove("a1")]).toEqual([true, false]);
    expect((await store.apiTokens.read()).map(({ id }) => id)).toEqual(["b2"]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
