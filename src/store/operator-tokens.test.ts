import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { onEachStore } from "../../test/support/store-places.ts";
import { openStore, type Store } from "./store.ts";
import type { TokenRecord } from "./token-book.ts";

onEachStore("the operator's tokens", ({ kind, place }) => {
  let where = "";
  let store: Store;
  let now = 1_800_000_000_000;

  beforeEach(async () => {
    where = await place();
    store = await openStore(where, { now: () => now });
  });
  afterEach(async () => await store[Symbol.asyncDispose]());

  it("are found by their text, which is kept nowhere", async () => {
    const { token, record } = await store.tokens.create({ kind: "push", stream: "live", label: "camera 1", metadata: { room: 4 } });
    expect(token).toMatch(/^[a-z2-7]{32}$/);
    expect(record).toMatchObject({ kind: "push", stream: "live", label: "camera 1", hint: token.slice(0, 4), used: 0, createdAt: now });
    expect(await store.tokens.find("push", token)).toEqual(record);
    expect(await store.tokens.find("view", token)).toBeUndefined();
    expect(await store.tokens.find("push", token.toUpperCase())).toBeUndefined();
    expect(await store.tokens.get(record.id)).toEqual(record);
    const short = await store.tokens.create({ kind: "push", stream: "live", short: true });
    expect(short.token).toMatch(/^[a-z2-7]{24}$/);
    await store[Symbol.asyncDispose]();
    if (kind === "SQLite") {
      const bytes = readFileSync(join(where, "sluice.db"));
      expect(bytes.includes(record.id)).toBe(true);
      expect(bytes.includes(token)).toBe(false);
    }
    store = await openStore(where, { now: () => now });
    expect(await store.tokens.find("push", token)).toEqual(record);
  });

  it("take whatever text a client sends", async () => {
    const { record } = await store.tokens.create({ kind: "view", stream: "a\u0000b", label: "\u0000 \ud800 'x' \\" });
    expect(await store.tokens.list({ stream: "a\u0000b", limit: 9 })).toHaveLength(1);
    expect(await store.tokens.find("view", "\u0000")).toBeUndefined();
    expect(await store.tokens.get("\u0000")).toBeUndefined();
    const bound = await store.tokens.bind(record.id, "device \u0000");
    expect(await store.tokens.bind(record.id, "other")).toBe(kind === "SQLite" ? bound : "device \ufffd");
  });

  it("are used no more often than they may be, however many come at once", async () => {
    const { record } = await store.tokens.create({ kind: "view", stream: "live", uses: 3 });
    const got = await Promise.all(Array.from({ length: 200 }, () => store.tokens.use(record.id, now)));
    expect(got.filter(Boolean)).toHaveLength(3);
    await store.tokens.giveBack(record.id);
    expect(await store.tokens.use(record.id, now)).toBe(true);
    expect(await store.tokens.use(record.id, now)).toBe(false);
    expect(await store.tokens.get(record.id)).toMatchObject({ used: 3, firstUsedAt: now });
  });

  it("hold from when to when they say", async () => {
    const { record } = await store.tokens.create({
      kind: "view",
      stream: "live",
      notBefore: now + 10,
      expiresAt: now + 100,
      lifetimeMs: 50,
    });
    expect(await store.tokens.use(record.id, now)).toBe(false);
    expect(await store.tokens.use(record.id, now + 20)).toBe(true);
    expect(await store.tokens.use(record.id, now + 69)).toBe(true);
    expect(await store.tokens.use(record.id, now + 70)).toBe(false);
    const other = await store.tokens.create({ kind: "view", stream: "live", expiresAt: now + 100 });
    expect(await store.tokens.use(other.record.id, now + 99)).toBe(true);
    expect(await store.tokens.use(other.record.id, now + 100)).toBe(false);
    expect(await store.tokens.use("absent", now)).toBe(false);
  });

  it("are bound by whom comes first", async () => {
    const { record } = await store.tokens.create({ kind: "view", stream: "live", bind: { to: "address", how: "strict" } });
    const bound = await Promise.all(["a", "b", "c"].map((to) => store.tokens.bind(record.id, to)));
    expect(new Set(bound)).toEqual(new Set([bound[0]]));
    await store.tokens.rebind(record.id, "d");
    expect(await store.tokens.bind(record.id, "e")).toBe("d");
  });

  it("are revoked once, and who listens is told", async () => {
    const told: TokenRecord[] = [];
    using _listening = store.tokens.onRevoke((record) => told.push(record));
    const { record } = await store.tokens.create({ kind: "push", stream: "live" });
    expect(await store.tokens.revoke(record.id, now + 5)).toBe(true);
    expect(await store.tokens.revoke(record.id, now + 6)).toBe(false);
    expect(await store.tokens.revoke("absent", now)).toBe(false);
    expect(told).toEqual([{ ...record, revokedAt: now + 5 }]);
    expect(await store.tokens.use(record.id, now)).toBe(false);
  });

  it("are listed in the order in which they were made", async () => {
    const made: string[] = [];
    for (let count = 0; count < 5; count++) {
      now++;
      made.push((await store.tokens.create({ kind: count % 2 ? "view" : "push", stream: count < 4 ? "live" : "other" })).record.id);
    }
    expect((await store.tokens.list({ limit: 9 })).map(({ id }) => id)).toEqual(made);
    expect((await store.tokens.list({ limit: 2, after: made[1]! })).map(({ id }) => id)).toEqual(made.slice(2, 4));
    expect((await store.tokens.list({ limit: 9, kind: "push", stream: "live" })).map(({ id }) => id)).toEqual([made[0], made[2]]);
  });
});
