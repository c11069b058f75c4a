import { describe, expect, it } from "vitest";
import { FakeClock } from "../../../test/support/fake-clock.ts";
import { HandlerFailure } from "../answer.ts";
import { Breaker, defaultBreaker } from "./breaker.ts";

function scene(options = {}) {
  const clock = new FakeClock();
  const events: string[] = [];
  const breaker = new Breaker({ ...defaultBreaker, ...options }, clock, {
    onOpen: (pauseMs, failures) => void events.push(`open ${pauseMs} after ${failures}`),
    onClose: () => void events.push("closed"),
  });
  const fail = (error: unknown = new Error("no")): Promise<void> =>
    breaker.run(() => Promise.reject(error)).catch(() => undefined) as Promise<void>;
  const succeed = (): Promise<number> => breaker.run(async () => 1);
  return { clock, events, breaker, fail, succeed };
}

describe("breaker", () => {
  it("opens after five failures in a row, is tried after 5 seconds, closes when that goes well", async () => {
    const { breaker, clock, events, fail, succeed } = scene();
    for (let i = 0; i < 4; i++) await fail();
    await succeed();
    for (let i = 0; i < 4; i++) await fail();
    expect(breaker.refuses).toBe(false);
    await fail();
    expect(breaker.refuses).toBe(true);
    expect(breaker.status()).toEqual({ state: "open", since: clock.now(), failures: 5 });
    await clock.advance(4999);
    expect(breaker.refuses).toBe(true);
    await clock.advance(1);
    expect(breaker.refuses).toBe(false);
    const { promise, resolve } = Promise.withResolvers<number>();
    const probe = breaker.run(() => promise);
    expect(breaker.refuses).toBe(true);
    expect(breaker.status().state).toBe("half-open");
    resolve(7);
    expect(await probe).toBe(7);
    expect(breaker.status()).toEqual({ state: "closed", since: clock.now(), failures: 0 });
    expect(events).toEqual(["open 5000 after 5", "closed"]);
  });

  it("waits twice as long each time that the try fails, up to 30 seconds, and starts over after a success", async () => {
    const { breaker, clock, events, fail, succeed } = scene();
    for (let i = 0; i < 5; i++) await fail();
    for (const pause of [5000, 10_000, 20_000, 30_000]) {
      await clock.advance(pause - 1);
      expect(breaker.refuses).toBe(true);
      await clock.advance(1);
      await fail();
    }
    await clock.advance(30_000);
    await succeed();
    for (let i = 0; i < 5; i++) await fail();
    expect(events).toEqual([
      "open 5000 after 5",
      "open 10000 after 6",
      "open 20000 after 7",
      "open 30000 after 8",
      "open 30000 after 9",
      "closed",
      "open 5000 after 5",
    ]);
  });

  it("opens when more than half of the last calls failed, but not before there were twenty", async () => {
    const { breaker, fail, succeed } = scene();
    let calls = 0;
    while (!breaker.refuses && calls < 100) await (calls++ % 3 === 2 ? succeed() : fail());
    expect(calls).toBe(20);
    expect(breaker.refuses).toBe(true);
  });

  it("does not count what says nothing about the handler, and no late end of an old call", async () => {
    const { breaker, clock, fail, succeed } = scene();
    for (let i = 0; i < 9; i++) await fail(new HandlerFailure("the server ends", { sort: "busy" }));
    expect(breaker.status().failures).toBe(0);
    const { promise, reject } = Promise.withResolvers<never>();
    const old = breaker.run(() => promise).catch(() => undefined);
    for (let i = 0; i < 5; i++) await fail();
    await clock.advance(5000);
    const { promise: answer, resolve } = Promise.withResolvers<number>();
    const probe = breaker.run(() => answer);
    reject(new Error("late"));
    await old;
    expect(breaker.status().state).toBe("half-open");
    resolve(1);
    await probe;
    expect(breaker.refuses).toBe(false);
    await succeed();
  });
});
