import { afterEach, describe, expect, it } from "vitest";
import { settle } from "../../../test/support/fake-clock.ts";
import { GateBench, type Kept } from "../../../test/support/gate-bench.ts";
import { createMemoryLetters } from "../../../test/support/memory-letters.ts";
import { allow, deny } from "../../base/decision.ts";
import { createOutbox } from "../../triggers/delivery/outbox.ts";
import type { SessionJournal } from "./session-journal.ts";

/** A journal in memory: what a kill leaves behind. */
function memoryJournal(): SessionJournal & { readonly rows: Map<string, string>; words: string | undefined; writes: number } {
  const rows = new Map<string, string>();
  const journal = {
    rows,
    words: undefined as string | undefined,
    writes: 0,
    write: async (records: readonly { id: string; value: string }[]) => {
      journal.writes++;
      check();
      for (const { id, value } of records) rows.set(id, value);
    },
    remove: async (id: string) => {
      check();
      rows.delete(id);
    },
    read: async () => [...rows].map(([id, value]) => ({ id, value })),
  };
  const check = (): void => {
    if (journal.words !== undefined) throw new Error(journal.words);
  };
  return journal;
}

const benches: GateBench[] = [];
afterEach(async () => {
  for (const bench of benches.splice(0)) await bench.close();
});

/** A server with a live stream. */
function start(kept: Kept): GateBench {
  const bench = new GateBench(kept);
  benches.push(bench);
  bench.live();
  return bench;
}
const view = (bench: GateBench, tkn = "a") => bench.gate.play(bench.view("live", { query: { tkn } }));
const madeUp = (bench: GateBench): string[] => bench.of("USER_END").map((line) => line.split("|").slice(1, 9).join("|"));

describe("ends over a kill", () => {
  it("knows a session before anybody is asked about it, and forgets it with its end", async () => {
    const journal = memoryJournal();
    const bench = start({ journal });
    const known: number[] = [];
    bench.on("USER_END", undefined);
    bench.on("USER_NEW", ({ token }) => {
      known.push(journal.rows.size);
      return token === "a" ? true : deny("no");
    });
    const admission = await view(bench);
    await expect(view(bench, "b")).rejects.toThrow("no");
    await settle();
    expect(known).toEqual([1, 2]);
    expect([...journal.rows.keys()]).toEqual([admission.sessionId]);
    admission[Symbol.dispose]();
    await bench.clock.advance(17_000);
    expect(bench.of("USER_END")).toHaveLength(1);
    expect(journal.rows.size).toBe(0);
  });

  it("forgets at once whom a handler's yes found without a place", async () => {
    const journal = memoryJournal();
    const bench = start({ journal });
    bench.on("USER_END", undefined);
    bench.on("USER_NEW", allow({ user: "ann", limits: { sessions: 1 } }));
    const admission = await view(bench);
    await expect(view(bench, "b")).rejects.toThrow("1 viewer at most");
    await settle();
    expect([...journal.rows.keys()]).toEqual([admission.sessionId]);
  });

  it("makes up the ends of who was there, with counters of the last seconds, once", async () => {
    const journal = memoryJournal();
    const killed = start({ journal });
    killed.on("USER_END", undefined);
    killed.on("USER_NEW", true);
    const admission = await view(killed);
    killed.sessions.tag(admission.sessionId, "vip");
    for (let second = 0; second < 25; second++) {
      admission.count(1000, 1);
      await killed.clock.advance(1000);
    }
    const left = new Map(journal.rows);

    const second = memoryJournal();
    for (const [id, value] of left) second.rows.set(id, value);
    const bench = start({ journal: second });
    bench.on("USER_END", undefined);
    await bench.gate.recover();
    const [line = ""] = madeUp(bench);
    expect(line).toMatch(/^a\|live\|FLV\|127\.0\.0\.1\|\d+\|\d+\|\d+\|\[vip\]\[server-restart\]$/);
    const [seconds, up] = line.split("|").slice(4, 6).map(Number);
    expect(seconds).toBeGreaterThan(10);
    expect(up).toBeGreaterThan(10_000);
    expect(second.rows.size).toBe(0);
    await bench.gate.recover();
    expect(madeUp(bench)).toHaveLength(1);
  });

  it("says when it is not known whether the handler had said yes", async () => {
    const journal = memoryJournal();
    const killed = start({ journal });
    killed.on("USER_END", undefined);
    const answer = Promise.withResolvers<boolean>();
    killed.on("USER_NEW", () => answer.promise);
    const asked = view(killed);
    await settle();
    const left = new Map(journal.rows);
    answer.resolve(true);
    await asked;

    const second = memoryJournal();
    for (const [id, value] of left) second.rows.set(id, value);
    second.rows.set("broken", "{");
    const bench = start({ journal: second });
    bench.on("USER_END", undefined);
    await bench.gate.recover();
    expect(madeUp(bench)).toEqual(["a|live|FLV|127.0.0.1|0|0|0|[server-restart][unanswered]"]);
    expect(second.rows.size).toBe(0);
  });

  it("costs nothing when nobody wants to know ends", async () => {
    const journal = memoryJournal();
    const bench = start({ journal });
    bench.on("USER_NEW", true);
    await view(bench);
    await bench.clock.advance(20_000);
    expect(journal.writes).toBe(0);
    journal.rows.set("old", "{}");
    await bench.gate.recover();
    expect(journal.rows.size).toBe(0);
  });

  it("writes a session's counters when they have changed, and about every ten seconds", async () => {
    const journal = memoryJournal();
    const bench = start({ journal });
    bench.on("USER_END", undefined);
    await Promise.all(Array.from({ length: 30 }, (_, index) => view(bench, `t${index}`)));
    const before = journal.writes;
    await bench.clock.advance(10_000);
    expect(journal.writes - before).toBe(10);
    expect([...journal.rows.values()].every((value) => (JSON.parse(value) as { seconds: number }).seconds > 1)).toBe(true);
  });

  it("lets everybody play while the journal fails, says so once, and forgets later what it could not", async () => {
    const journal = memoryJournal();
    const bench = start({ journal });
    bench.on("USER_END", undefined);
    bench.on("USER_NEW", true);
    const first = await view(bench);
    journal.words = "database or disk is full";
    const second = await view(bench, "b");
    first[Symbol.dispose]();
    second[Symbol.dispose]();
    await bench.clock.advance(20_000);
    expect(bench.of("USER_END")).toHaveLength(2);
    expect(journal.rows.size).toBe(1);
    const errors = (): readonly string[] => bench.logged.filter((line) => line.startsWith("ERROR"));
    expect(errors()).toEqual([expect.stringContaining("database or disk is full")]);
    journal.words = undefined;
    await bench.clock.advance(1000);
    expect(journal.rows.size).toBe(0);
  });
});

describe("the start of a successor", () => {
  const reliable = { USER_END: [{ handler: "http://127.0.0.1:1/", delivery: "reliable" }] };

  /** A session that has just been ended by a command, with its end on the way; `door` lets it arrive. */
  async function ended(entries: unknown = reliable) {
    const door = Promise.withResolvers<void>();
    const bench = start({
      journal: memoryJournal(),
      outbox: (clock) => createOutbox({ store: createMemoryLetters(), clock, log: { write: () => undefined }, random: () => 0 }),
    });
    bench.triggers.configure(entries);
    bench.outbox?.deliverBy(() => door.promise);
    bench.on("USER_NEW", true);
    await view(bench);
    bench.sessions.stop(() => true, "stopped");
    await settle();
    return { bench, door };
  }

  it("comes after the end of its predecessor", async () => {
    const { bench, door } = await ended();
    const again = view(bench);
    await settle();
    await bench.clock.advance(1000);
    expect(bench.of("USER_NEW")).toHaveLength(1);
    await view(bench, "somebody else");
    expect(bench.of("USER_NEW")).toHaveLength(2);
    door.resolve();
    await again;
    expect(bench.of("USER_NEW")).toHaveLength(3);
  });

  it("waits five seconds at most", async () => {
    const { bench, door } = await ended();
    const again = view(bench);
    await settle();
    await bench.clock.advance(5000);
    await again;
    expect(bench.of("USER_NEW")).toHaveLength(2);
    door.resolve();
  });

  it("waits for the end as long as it takes where the order is strict: who comes back is told to try again", async () => {
    const { bench, door } = await ended({ USER_END: [{ handler: "http://127.0.0.1:1/", delivery: "reliable", order: "strict" }] });
    const again = view(bench).catch((error: unknown) => error);
    await settle();
    await bench.clock.advance(5000);
    expect(await again).toMatchObject({ code: "access.denied", retryAfterMs: 5000, message: expect.stringContaining("try again") });
    expect(bench.of("USER_NEW")).toHaveLength(1);
    await view(bench, "somebody else");
    door.resolve();
    await settle();
    await view(bench);
    expect(bench.of("USER_NEW")).toHaveLength(3);
  });

  it("waits for functions, too", async () => {
    const bench = start({});
    const told = Promise.withResolvers<void>();
    bench.on("USER_END", () => told.promise);
    bench.on("USER_NEW", true);
    await view(bench);
    bench.sessions.stop(() => true, "stopped");
    const again = view(bench);
    await settle();
    expect(bench.of("USER_NEW")).toHaveLength(1);
    told.resolve();
    await again;
    expect(bench.of("USER_NEW")).toHaveLength(2);
  });
});
