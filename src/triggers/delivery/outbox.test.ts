import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FakeClock, settle } from "../../../test/support/fake-clock.ts";
import { createMemoryLetters, type MemoryLetters } from "../../../test/support/memory-letters.ts";
import { createOutbox, type Delivery, type Outbox, type OutboxLimits } from "./outbox.ts";

type Scene = AsyncDisposable & {
  readonly outbox: Outbox;
  readonly clock: FakeClock;
  readonly letters: MemoryLetters;
  readonly lines: string[];
  readonly got: Delivery[];
  /** Decides about each delivery; takes it if left out. */
  take: (delivery: Delivery) => Promise<void> | void;
};

function scene(limits: Partial<OutboxLimits> = {}, letters = createMemoryLetters()): Scene {
  const clock = new FakeClock();
  const lines: string[] = [];
  const got: Delivery[] = [];
  const log = { write: (kind: string, message: string) => void lines.push(`${kind} ${message}`) };
  const outbox = createOutbox({ store: letters, clock, log, random: () => 0, limits: { drainMs: 0, ...limits } });
  const made: Scene = {
    outbox,
    clock,
    letters,
    lines,
    got,
    take: () => undefined,
    [Symbol.asyncDispose]: async () => {
      const disposed = outbox[Symbol.asyncDispose]();
      await clock.advance(1);
      await disposed;
    },
  };
  outbox.deliverBy(async (delivery, signal) => {
    got.push(delivery);
    const aborted = new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    aborted.catch(() => undefined);
    await Promise.race([made.take(delivery), aborted]);
  });
  return made;
}

function letter(clock: FakeClock, uuid: string, orderKey = "stream:live", handler = "http://h/") {
  return { trigger: "STREAM_BUFFER", handler, orderKey, payload: JSON.stringify({ uuid }), uuid, createdAt: clock.now() };
}
const no = (): never => {
  throw new Error("it answered with status 500");
};
const uuids = (scene: Scene): string[] => scene.got.map(({ uuid }) => uuid);

describe("the outbox", () => {
  it("delivers when the letter is kept and not before, and forgets it then", async () => {
    await using run = scene();
    run.letters.hold();
    const sent = run.outbox.send(letter(run.clock, "a"));
    await settle();
    expect(run.got).toEqual([]);
    run.letters.release();
    await sent;
    await settle();
    expect(run.got).toMatchObject([{ uuid: "a", sequence: 1, attempt: 1 }]);
    expect(run.letters.rows()).toEqual([]);
    expect(run.outbox.stats()).toEqual({ waiting: 0, dead: 0, bytes: 0, delivered: 1, failed: 0, refused: 0 });
  });

  it("keeps the order of each key, with one letter on its way, and lets other keys and handlers pass", async () => {
    await using run = scene({ concurrency: 2 });
    const doors = new Map<string, () => void>();
    run.take = ({ uuid }) => new Promise((resolve) => void doors.set(uuid, resolve));
    for (const [uuid, key, handler] of [
      ["a1", "stream:a"],
      ["a2", "stream:a"],
      ["b1", "stream:b"],
      ["c1", "stream:c"],
      ["x1", "stream:a", "http://other/"],
    ] as const)
      void run.outbox.send(letter(run.clock, uuid, key, handler));
    await settle();
    expect(uuids(run)).toEqual(["a1", "b1", "x1"]);
    doors.get("b1")?.();
    await settle();
    expect(uuids(run)).toEqual(["a1", "b1", "x1", "c1"]);
    doors.get("a1")?.();
    await settle();
    expect(uuids(run).at(-1)).toBe("a2");
  });

  it("tries again with doubled waits up to a limit, the same UUID and a counted attempt; others of the key wait", async () => {
    await using run = scene({ longestWaitMs: 1000 });
    run.take = ({ uuid, attempt }) => (uuid === "a" && attempt < 6 ? no() : undefined);
    await run.outbox.send(letter(run.clock, "a"));
    await run.outbox.send(letter(run.clock, "b"));
    const times: number[] = [];
    for (let attempt = 1; attempt <= 6; attempt++) {
      const before = run.clock.monotonic();
      while (run.got.length < attempt) await run.clock.advance(10);
      times.push(run.clock.monotonic() - before);
    }
    await settle();
    expect(times).toEqual([0, 250, 500, 1000, 1000, 1000]);
    expect(run.got.map(({ uuid, attempt }) => [uuid, attempt])).toEqual([...[1, 2, 3, 4, 5, 6].map((n) => ["a", n]), ["b", 1]]);
    expect(run.letters.rows()).toEqual([]);
  });

  it("shortens waits by chance, by half at most", async () => {
    const letters = createMemoryLetters();
    const clock = new FakeClock();
    await using outbox = createOutbox({
      store: letters,
      clock,
      log: { write: () => undefined },
      random: () => 0.999,
      limits: { drainMs: 0 },
    });
    outbox.deliverBy(() => Promise.reject(new Error("no")));
    await outbox.send(letter(clock, "a"));
    await settle();
    expect(letters.rows()[0]?.nextAt).toBe(clock.now() + 125);
    void clock.advance(1);
  });

  it("takes up what an earlier run has left: attempts, waits, order", async () => {
    const letters = createMemoryLetters();
    {
      await using first = scene({}, letters);
      first.take = no;
      await first.outbox.send(letter(first.clock, "a"));
      await first.outbox.send(letter(first.clock, "b"));
      await first.clock.advance(300);
    }
    expect(letters.rows().map(({ uuid, attempts, error }) => [uuid, attempts, error])).toEqual([
      ["a", 2, "it answered with status 500"],
      ["b", 0, ""],
    ]);
    await using second = scene({}, letters);
    await second.outbox.start();
    await second.clock.advance(1000);
    expect(second.got.map(({ uuid, attempt, sequence }) => [uuid, attempt, sequence])).toEqual([
      ["a", 3, 1],
      ["b", 1, 2],
    ]);
  });

  it("gives a letter up after its attempts or its age, and lets the next one of the key go", async () => {
    await using run = scene({ attempts: 2, ageMs: 60_000 });
    run.take = ({ uuid }) => (uuid === "b" ? undefined : no());
    await run.outbox.send(letter(run.clock, "a"));
    await run.outbox.send(letter(run.clock, "b"));
    await run.outbox.send({ ...letter(run.clock, "old", "stream:x"), createdAt: run.clock.now() - 60_000 });
    await run.clock.advance(1000);
    expect(run.letters.rows().map(({ uuid, state, attempts }) => [uuid, state, attempts])).toEqual([
      ["a", "dead", 2],
      ["old", "dead", 1],
    ]);
    expect(uuids(run)).toContain("b");
    expect(run.lines.filter((line) => line.includes("given up"))).toHaveLength(1);
  });

  it("lists letters, tries dead and waiting ones again, and throws away what nobody wants", async () => {
    await using run = scene({ attempts: 1 });
    run.take = no;
    for (const uuid of ["a", "b"]) await run.outbox.send(letter(run.clock, uuid));
    await settle();
    expect((await run.outbox.list({ state: "dead", limit: 10 })).map(({ uuid }) => uuid)).toEqual(["a", "b"]);
    run.take = () => undefined;
    expect(await run.outbox.retry(2)).toBe(true);
    expect(await run.outbox.drop(1)).toBe(true);
    await settle();
    expect(run.got.at(-1)).toMatchObject({ uuid: "b", attempt: 1, sequence: 2 });
    expect([await run.outbox.retry(7), await run.outbox.drop(7), run.letters.rows()]).toEqual([false, false, []]);
    expect(run.outbox.stats()).toMatchObject({ waiting: 0, bytes: 0 });
  });

  it("hurries a waiting letter on", async () => {
    await using run = scene();
    run.take = ({ attempt }) => (attempt < 3 ? no() : undefined);
    await run.outbox.send(letter(run.clock, "a"));
    await settle();
    await run.outbox.retry(1);
    await settle();
    await run.outbox.retry(1);
    await settle();
    expect(run.got).toHaveLength(3);
  });

  it("when it is full, drops the oldest dead letters, then refuses new ones and says so once", async () => {
    await using run = scene({ bytes: 1000, attempts: 1 });
    run.take = no;
    for (const uuid of ["a", "b"]) {
      await run.outbox.send(letter(run.clock, uuid));
      await settle();
    }
    run.take = () => new Promise(() => undefined);
    for (const uuid of ["c", "d", "e", "f", "g"]) await run.outbox.send(letter(run.clock, uuid));
    expect(run.letters.rows().map(({ uuid }) => uuid)).toEqual(["c", "d", "e"]);
    expect(run.outbox.stats()).toMatchObject({ waiting: 3, refused: 2 });
    expect(run.lines.filter((line) => line.startsWith("ERROR"))).toEqual([expect.stringContaining("outbox is full")]);
  });

  it("delivers from memory while the store fails, says so once, and keeps what is left when it works again", async () => {
    await using run = scene();
    run.letters.fail("database or disk is full");
    run.take = ({ uuid }) => (uuid === "b" ? no() : undefined);
    for (const uuid of ["a", "b", "c"]) await run.outbox.send(letter(run.clock, uuid));
    await settle();
    expect(run.got.map(({ uuid, sequence }) => [uuid, sequence])).toEqual([
      ["a", undefined],
      ["b", undefined],
    ]);
    expect(run.lines).toEqual([expect.stringMatching(/^ERROR Notifications cannot be kept \(database or disk is full\)/)]);
    run.letters.fail(undefined);
    await run.clock.advance(250);
    expect(run.letters.rows().map(({ uuid, attempts }) => [uuid, attempts])).toEqual([["b", 2]]);
    expect(run.lines.at(-1)).toBe("INFO Notifications can be kept again");
  });

  it("waits with what the store cannot read just now, and does not count that against the letter", async () => {
    const letters = createMemoryLetters();
    let broken = false;
    const read: typeof letters.read = async (id) => (broken ? Promise.reject(new Error("no connection")) : letters.read(id));
    await using run = scene({ attempts: 3 }, { ...letters, read });
    broken = true;
    await run.outbox.send(letter(run.clock, "a"));
    await run.clock.advance(10_000);
    expect(run.got).toEqual([]);
    expect(run.outbox.stats()).toMatchObject({ waiting: 1, dead: 0, failed: 0 });
    expect(run.lines).toEqual(["WARN A notification cannot be read from the store (no connection): it waits"]);
    broken = false;
    await run.clock.advance(1000);
    expect(run.got.map(({ uuid, attempt }) => [uuid, attempt])).toEqual([["a", 1]]);
  });

  it("removes a delivered letter later when the store fails just then, so that a restart does not send it again", async () => {
    await using run = scene();
    run.take = () => run.letters.fail("locked");
    await run.outbox.send(letter(run.clock, "a"));
    await settle();
    expect(run.letters.rows()).toHaveLength(1);
    expect(run.outbox.pending("stream:live")).toBe(true);
    run.letters.fail(undefined);
    await run.clock.advance(1000);
    expect(run.letters.rows()).toEqual([]);
    expect(run.outbox.pending("stream:live")).toBe(false);
  });

  it("keeps what is on its way when the server ends, and what could not be kept before", async () => {
    const letters = createMemoryLetters();
    {
      await using run = scene({}, letters);
      run.take = () => new Promise(() => undefined);
      await run.outbox.send(letter(run.clock, "a"));
      letters.fail("locked");
      await run.outbox.send(letter(run.clock, "b"));
      letters.fail(undefined);
    }
    expect(letters.rows().map(({ uuid, attempts, state }) => [uuid, attempts, state])).toEqual([
      ["a", 0, "waiting"],
      ["b", 0, "waiting"],
    ]);
  });

  it("waits at its end for what is due", async () => {
    const run = scene({ drainMs: 5000 });
    const door = Promise.withResolvers<void>();
    run.take = () => door.promise;
    await run.outbox.send(letter(run.clock, "a"));
    await run.outbox.send(letter(run.clock, "b"));
    const ended = run.outbox[Symbol.asyncDispose]();
    await settle();
    door.resolve();
    await ended;
    expect(run.letters.rows()).toEqual([]);
    expect(uuids(run)).toEqual(["a", "b"]);
  });
});

describe("who waits for letters of a key", () => {
  it("waits until they have arrived", async () => {
    await using run = scene();
    const door = Promise.withResolvers<void>();
    run.take = () => door.promise;
    await run.outbox.send(letter(run.clock, "a", "session:1"));
    expect([run.outbox.pending("session:1"), run.outbox.pending("session:2")]).toEqual([true, false]);
    let settled = false;
    const waited = run.outbox.settled("session:1", 3000).then(() => (settled = true));
    await settle();
    expect(settled).toBe(false);
    door.resolve();
    await waited;
    expect(run.outbox.pending("session:1")).toBe(false);
  });

  it("waits no longer than it likes, and not at all for a handler that is down", async () => {
    await using run = scene();
    run.take = no;
    await run.outbox.send(letter(run.clock, "a", "session:1"));
    await settle();
    const waited = run.outbox.settled("session:1", 200);
    await run.clock.advance(200);
    await waited;
    expect(run.outbox.pending("session:1")).toBe(true);
    await run.clock.advance(4700);
    expect(run.outbox.pending("session:1")).toBe(true);
    await run.clock.advance(200);
    expect(run.outbox.pending("session:1")).toBe(false);
    await run.outbox.settled("session:1", 1e9);
  });
});

it("whatever fails and wherever the server is killed, each letter arrives, first arrivals in the order of their key", async () => {
  const step = fc.record({ key: fc.nat(2), fails: fc.nat(3), killAfter: fc.option(fc.nat(400), { nil: undefined }) });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 20 }), async (steps) => {
      const letters = createMemoryLetters();
      const sent: string[] = [];
      const arrived: string[] = [];
      const failures = new Map(steps.map(({ fails }, index) => [`u${index}`, fails]));
      const start = async (): Promise<Scene> => {
        const made = scene({}, letters);
        made.take = ({ uuid }) => {
          const left = failures.get(uuid) ?? 0;
          failures.set(uuid, left - 1);
          if (left > 0) no();
          if (!arrived.includes(uuid)) arrived.push(uuid);
        };
        await made.outbox.start();
        return made;
      };
      let run = await start();
      for (const [index, { key, killAfter }] of steps.entries()) {
        sent.push(`u${index}`);
        await run.outbox.send(letter(run.clock, `u${index}`, `stream:${key}`));
        if (killAfter === undefined) continue;
        await run.clock.advance(killAfter);
        // Killed: nothing of the old run goes on, as its clock stands still.
        run = await start();
      }
      for (let tries = 0; tries < 100 && arrived.length < sent.length; tries++) await run.clock.advance(10_000);
      await settle();
      for (const lane of [0, 1, 2]) {
        const of = (list: readonly string[]): string[] => list.filter((uuid) => steps[Number(uuid.slice(1))]?.key === lane);
        expect(of(arrived)).toEqual(of(sent));
      }
      expect(letters.rows()).toEqual([]);
    }),
    { numRuns: 60 },
  );
});
