import { describe, expect, it } from "vitest";
import { FakeClock, settle } from "../../../test/support/fake-clock.ts";
import { HandlerFailure } from "../answer.ts";
import { Slots } from "./slots.ts";

describe("places for calls in flight", () => {
  it("are free up to the limit, then go to those who wait, in their order", async () => {
    const slots = new Slots({ maxCalls: 2, maxWaitMs: 100 }, new FakeClock());
    expect(slots.take([])).toBeUndefined();
    expect(slots.take([])).toBeUndefined();
    const order: string[] = [];
    for (const name of ["a", "b", "c"]) void slots.take([])?.then(() => order.push(name));
    expect([slots.inFlight, slots.waiting]).toEqual([2, 3]);
    slots.release();
    slots.release();
    await settle();
    expect(order).toEqual(["a", "b"]);
    expect([slots.inFlight, slots.waiting]).toEqual([2, 1]);
    slots.release();
    slots.release();
    slots.release();
    await settle();
    expect(order).toEqual(["a", "b", "c"]);
    expect([slots.inFlight, slots.waiting]).toEqual([0, 0]);
  });

  it("are not waited for longer than allowed, and who gave up takes no place", async () => {
    const clock = new FakeClock();
    const slots = new Slots({ maxCalls: 1, maxWaitMs: 100 }, clock);
    void slots.take([]);
    const late = slots.take([])?.catch((error: unknown) => error);
    await clock.advance(99);
    const next = slots.take([]);
    await clock.advance(1);
    const error = await late;
    expect(error).toBeInstanceOf(HandlerFailure);
    expect(error).toMatchObject({ sort: "busy", message: "1 calls were in flight and no place was free within 100 ms" });
    expect(slots.waiting).toBe(1);
    slots.release();
    await next;
    expect([slots.inFlight, slots.waiting]).toEqual([1, 0]);
  });

  it("are left by those whose question is moot, with the signal's reason", async () => {
    const slots = new Slots({ maxCalls: 1, maxWaitMs: 100 }, new FakeClock());
    void slots.take([]);
    const gone = new AbortController();
    const waits = slots.take([new AbortController().signal, gone.signal]);
    gone.abort(new Error("the client has gone"));
    await expect(waits).rejects.toThrow("the client has gone");
    expect(slots.waiting).toBe(0);
    await expect(slots.take([gone.signal])).rejects.toThrow("the client has gone");
  });

  it("have a line of bounded length", async () => {
    const slots = new Slots({ maxCalls: 1, maxWaitMs: 100 }, new FakeClock());
    for (let i = 0; i < 1 + 16_384; i++) void slots.take([]);
    await expect(slots.take([])).rejects.toMatchObject({ sort: "busy" });
    expect(slots.waiting).toBe(16_384);
  });
});
