import { expect, it } from "vitest";
import { Ended } from "./ended.ts";
import type { SessionEnd } from "./session.ts";

const end = (id: string, seconds = 0): SessionEnd => ({ id, seconds }) as SessionEnd;

it("remembers the newest ends, up to a number and for ten minutes, in their order", () => {
  const ended = new Ended();
  for (let at = 0; at < 50_000; at++) ended.add(end(`s${at}`), at);
  expect([ended.size, ended.list().length, ended.list()[0]?.id, ended.list().at(-1)?.id]).toEqual([20_000, 20_000, "s30000", "s49999"]);
  expect([ended.find("s29999"), ended.find("s30000")?.id]).toEqual([undefined, "s30000"]);
  ended.add(end("s40000", 7), 50_000);
  expect(ended.find("s40000")?.seconds).toBe(7);
  ended.expire(600_000 + 39_999);
  expect([ended.size, ended.list()[0]?.id, ended.find("s39999")]).toEqual([10_001, "s40000", undefined]);
  ended.expire(2_000_000);
  expect([ended.size, ended.list()]).toEqual([0, []]);
});
