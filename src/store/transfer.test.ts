import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { onEachStore } from "../../test/support/store-places.ts";
import { columns } from "./columns.ts";
import { openStore } from "./store.ts";
import { exportStore, importStore } from "./transfer.ts";

type Parsed = {
  readonly sluice: number;
  readonly exportedAt: string;
  readonly outboxNumber: number;
  tables: Record<string, Record<string, unknown>[]>;
};

async function exported(place: string): Promise<string> {
  const parts: string[] = [];
  await exportStore(
    place,
    (text) => void parts.push(text),
    () => 0,
  );
  return parts.join("");
}

const letter = {
  trigger: "USER_END",
  handler: "http://127.0.0.1:9/",
  orderKey: "session:a",
  payload: '{"a":"ä"}',
  uuid: "u",
  createdAt: 5,
};

/** Puts something into every table; gives the text of a token. */
async function fill(place: string): Promise<string> {
  await using store = await openStore(place, { now: () => 1_800_000_000_000 });
  await store.configChanges.write(
    new Map<string, unknown>([
      ["defaultStream", "a"],
      ["streams.live", { source: "push://", name: "\u{1F600} ' \" \\ \u2028" }],
      ["account.ops", null],
    ]),
  );
  await store.apiTokens.add({ id: "a1", name: "site", hash: "0".repeat(64), scope: "read", createdAt: 5, expiresAt: 9_000_000_000_000 });
  const { token, record } = await store.tokens.create({ kind: "view", stream: "live", uses: 3, lifetimeMs: 60_000 });
  await store.tokens.create({ kind: "push", stream: "live+$name" });
  await store.tokens.use(record.id, 1_800_000_000_001);
  for (let count = 1; count <= 4; count++) await store.letters.add({ ...letter, uuid: `u${count}` });
  await store.letters.update(1, { attempts: 500, nextAt: 7, state: "dead", error: "status 500" });
  await store.letters.remove(4);
  await store.openSessions.write([{ id: "s1", value: "{}" }]);
  await store.liveStreams.write("live+a", 1_800_000_000_002);
  return token;
}

onEachStore("an export", ({ place }) => {
  let folder = "";
  let directories = 0;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "sluice-transfer-"));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const directory = (): string => join(folder, String(++directories));

  it("moves everything to SQLite and back, and nothing is lost or changed", async () => {
    const from = await place();
    const token = await fill(from);
    const text = await exported(from);
    expect(text).not.toContain(token);
    const parsed = JSON.parse(text) as Parsed;
    expect(parsed).toMatchObject({ sluice: 1, exportedAt: "1970-01-01T00:00:00.000Z", outboxNumber: 4 });
    expect(Object.keys(parsed.tables)).toEqual(Object.keys(columns));
    expect(Object.fromEntries(Object.entries(parsed.tables).map(([name, rows]) => [name, rows.length]))).toEqual({
      config_change: 3,
      api_token: 1,
      operator_token: 2,
      outbox: 3,
      open_session: 1,
      live_stream: 1,
    });
    const middle = directory();
    await importStore(middle, text);
    expect(await exported(middle)).toBe(text);
    const back = await place();
    const counts = { config_change: 3, api_token: 1, operator_token: 2, outbox: 3, open_session: 1, live_stream: 1 };
    expect(await importStore(back, text)).toEqual(counts);
    expect(await exported(back)).toBe(text);

    await using store = await openStore(back);
    expect(await store.tokens.find("view", token)).toMatchObject({ stream: "live", used: 1, uses: 3, firstUsedAt: 1_800_000_000_001 });
    // A number that was given before is not given again.
    expect(await store.letters.add(letter)).toBe(5);
    expect((await store.letters.waiting()).map(({ id }) => id)).toEqual([2, 3, 5]);
  });

  it("goes into an empty store only, unless it is to be merged: what is there stays, what is missing is added", async () => {
    const from = await place();
    await fill(from);
    const text = await exported(from);
    await expect(importStore(from, text)).rejects.toMatchObject({
      code: "api.conflict",
      message: expect.stringMatching(/not empty.*--merge/),
    });
    expect(await importStore(from, text, { merge: true })).toEqual({
      config_change: 0,
      api_token: 0,
      operator_token: 0,
      outbox: 0,
      open_session: 0,
      live_stream: 0,
    });
    expect(await exported(from)).toBe(text);

    const to = await place();
    {
      await using store = await openStore(to);
      await store.configChanges.write(new Map<string, unknown>([["defaultStream", "mine"]]));
      await store.letters.add({ ...letter, uuid: "mine" });
    }
    expect(await importStore(to, text, { merge: true })).toEqual({
      config_change: 2,
      api_token: 1,
      operator_token: 2,
      outbox: 3,
      open_session: 1,
      live_stream: 1,
    });
    await using store = await openStore(to);
    expect((await store.configChanges.read()).get("defaultStream")).toBe("mine");
    expect((await store.letters.list({ limit: 9 })).map(({ uuid, state }) => [uuid, state])).toEqual([
      ["mine", "waiting"],
      ["u1", "dead"],
      ["u2", "waiting"],
      ["u3", "waiting"],
    ]);
  });

  it("is refused with words when it is something else, newer or damaged, and then nothing of it is there", async () => {
    const from = await place();
    await fill(from);
    const good = JSON.parse(await exported(from)) as Parsed;
    const to = await place();
    const refused = async (change: (value: Parsed) => unknown, words: RegExp): Promise<void> => {
      const value = structuredClone(good);
      const given = change(value) ?? value;
      const text = typeof given === "string" ? given : JSON.stringify(given);
      await expect(importStore(to, text)).rejects.toMatchObject({ code: "input.invalid", message: expect.stringMatching(words) });
    };
    await refused(() => "", /no export of Sluice: it is not JSON/);
    await refused(() => JSON.stringify(good).slice(0, -20), /not JSON/);
    await refused(() => [], /no export of Sluice/);
    await refused(() => ({ ...good, sluice: 2 }), /version 2, and this Sluice knows 1; use a newer one/);
    await refused(() => ({ ...good, tables: [] }), /`tables` must be an object/);
    await refused(() => ({ ...good, outboxNumber: -1 }), /outboxNumber/);
    await refused((value) => void (value.tables["later"] = []), /a table that this Sluice does not know: later/);
    await refused((value) => void (value.tables["__proto__x"] = []), /does not know: __proto__x/);
    await refused((value) => void Object.assign(value.tables, { outbox: {} }), /table outbox must be a list/);
    await refused((value) => void Object.assign(value.tables, { outbox: [null] }), /row 1 of the export's table outbox must be an object/);
    await refused(
      (value) => void Object.assign(value.tables["operator_token"]![1]!, { used: "1; DROP TABLE outbox" }),
      /row 2 .*operator_token: used must be a whole/,
    );
    await refused((value) => void Object.assign(value.tables["operator_token"]![0]!, { spec: "{" }), /spec must be a text that is JSON/);
    await refused(
      (value) => void Object.assign(value.tables["api_token"]![0]!, { owner: 1 }),
      /a field that this Sluice does not know: owner/,
    );
    await refused(
      (value) => void Object.assign(value.tables["api_token"]![0]!, { scope: "root" }),
      /cannot be brought into .*: .*constraint/i,
    );
    await refused((value) => void value.tables["open_session"]!.push(...value.tables["open_session"]!), /cannot be brought into/);
    expect((JSON.parse(await exported(to)) as Parsed).tables).toEqual(Object.fromEntries(Object.keys(columns).map((name) => [name, []])));
  });

  it("takes 100,000 tokens", { timeout: 60_000 }, async () => {
    const rows = Array.from({ length: 100_000 }, (_, index) => ({
      id: String(index).padStart(14, "0"),
      kind: "view",
      hash: String(index).padStart(64, "0"),
      hint: "abcd",
      stream: "live",
      spec: '{"kind":"view","stream":"live"}',
      created_at: 1_800_000_000_000 + index,
      used: 0,
    }));
    const to = await place();
    const counts = await importStore(to, JSON.stringify({ sluice: 1, tables: { operator_token: rows } }));
    expect(counts["operator_token"]).toBe(100_000);
    let most = 0;
    let length = 0;
    await exportStore(to, (text) => {
      most = Math.max(most, text.length);
      length += text.length;
    });
    expect(length).toBeGreaterThan(20_000_000);
    expect(most).toBeLessThan(1_000_000);
  });
});

it("is only made of a store that is there", async () => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-transfer-"));
  await expect(exported(join(folder, "absent"))).rejects.toMatchObject({
    code: "config.invalid",
    message: expect.stringMatching(/no store/),
  });
  rmSync(folder, { recursive: true });
});
