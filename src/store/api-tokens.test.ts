import { expect, it } from "vitest";
import { onEachStore } from "../../test/support/store-places.ts";
import { openStore } from "./store.ts";

onEachStore("the API's tokens", ({ place }) => {
  it("are there after a restart, and forgotten when they were removed", async () => {
    const where = await place();
    const token = { id: "a1", name: "site", hash: "0".repeat(64), scope: "read", createdAt: 1_700_000_000_005 } as const;
    const other = { ...token, id: "b2", hash: "1".repeat(64), expiresAt: 1_900_000_000_099 };
    {
      await using store = await openStore(where);
      await store.apiTokens.add(token);
      await store.apiTokens.add(other);
      // The second one's fault is not that of who writes in the same turn.
      const refused = store.apiTokens.add({ ...token, id: "c3" });
      await Promise.all([expect(refused).rejects.toThrow(/unique/i), store.apiTokens.used("b2", 7)]);
    }
    await using store = await openStore(where);
    expect(await store.apiTokens.read()).toEqual([token, { ...other, lastUsedAt: 7 }]);
    expect([await store.apiTokens.remove("a1"), await store.apiTokens.remove("a1")]).toEqual([true, false]);
    expect((await store.apiTokens.read()).map(({ id }) => id)).toEqual(["b2"]);
  });
});
