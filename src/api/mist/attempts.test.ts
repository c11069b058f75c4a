import { describe, expect, it } from "vitest";
import { FakeClock } from "../../../test/support/fake-clock.ts";
import { Attempts } from "./attempts.ts";

const fail = (attempts: Attempts, address: string, times: number): void => {
  for (let time = 0; time < times; time++) attempts.failed(address);
};

describe("wrong attempts", () => {
  it("make an address wait longer and longer, but never more than a minute", async () => {
    const attempts = new Attempts(new FakeClock());
    const waits = Array.from({ length: 13 }, () => {
      attempts.failed("203.0.113.1");
      return attempts.waitMs("203.0.113.1") / 1000;
    });
    expect(waits).toEqual([0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
    expect(attempts.waitMs("203.0.113.2")).toBe(0);
  });

  it("are forgotten after a right one and after 15 minutes", async () => {
    const clock = new FakeClock();
    const attempts = new Attempts(clock);
    fail(attempts, "a", 4);
    attempts.succeeded("a");
    fail(attempts, "a", 4);
    await clock.advance(15 * 60_000);
    fail(attempts, "a", 4);
    expect(attempts.waitMs("a")).toBe(0);
  });

  it("count for a whole IPv6 network of 64 bits", () => {
    const attempts = new Attempts(new FakeClock());
    for (let host = 1; host <= 5; host++) attempts.failed(`2001:db8:0:1::${host}`);
    expect(attempts.waitMs("2001:db8::1:aaaa:0:0:9")).toBe(1000);
    expect(attempts.waitMs("2001:db8:0:2::1")).toBe(0);
    expect(attempts.waitMs("::1")).toBe(0);
  });

  it("do not fill the memory", () => {
    const attempts = new Attempts(new FakeClock());
    fail(attempts, "first", 5);
    for (let number = 0; number < 10_000; number++) attempts.failed(`address ${number}`);
    expect(attempts.waitMs("first")).toBe(0);
  });
});
