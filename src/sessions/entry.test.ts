import { getHeapStatistics } from "node:v8";
import { expect, it } from "vitest";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { allow } from "../base/decision.ts";
import { defaultSessionSettings, type Identity } from "./session.ts";
import { createSessions } from "./sessions.ts";

const log = { write: (): void => {} };
const identity: Identity = { type: "viewer", stream: "live", address: "192.0.2.1", token: "t", protocol: "FLV", url: "" };

async function scene() {
  const clock = new FakeClock();
  const sessions = createSessions({ clock, log, settings: () => defaultSessionSettings });
  const join = (part: Partial<Identity> = {}) => sessions.join({ ...identity, ...part }, async () => allow());
  return { clock, sessions, join };
}

it("counts packets without allocating", async () => {
  const { join } = await scene();
  const connection = await join();
  // Beyond what fits into 32 bits.
  connection.count(2 ** 40, 2 ** 33);
  const send = (packets: number): void => {
    for (let packet = 0; packet < packets; packet++) {
      connection.count(1_316, 1);
      connection.position(packet);
    }
  };
  for (let round = 0; round < 20; round++) send(50_000);
  const packets = 100_000;
  const grown: number[] = [];
  // So few that there is room for an object for each without a collection in between.
  for (let round = 0; round < 5; round++) {
    const before = getHeapStatistics().used_heap_size;
    send(packets);
    grown.push((getHeapStatistics().used_heap_size - before) / packets);
  }
  // The smallest object has 16 bytes.
  expect(Math.max(...grown)).toBeLessThan(1);
});

it("tells the seconds of each connector, address and stream apart from when there is a second one", async () => {
  const { clock, sessions, join } = await scene();
  const first = await join();
  await clock.advance(5_000);
  using _second = await join({ protocol: "HLS" });
  await clock.advance(3_000);
  first[Symbol.dispose]();
  await clock.advance(2_000);
  const end = sessions.endOf(first.sessionId);
  expect(end).toMatchObject({
    seconds: 11,
    streams: [["live", 11]],
    protocols: [
      ["FLV", 9],
      ["HLS", 6],
    ],
    hosts: [["192.0.2.1", 11]],
  });
});

it("shows what is active within the last 15 seconds, and the rate of the last 5", async () => {
  const { clock, sessions, join } = await scene();
  const first = await join();
  const second = await join({ protocol: "HLS" });
  for (let at = 0; at < 10; at++) {
    second.count(1_000, 0);
    await clock.advance(1_000);
  }
  first[Symbol.dispose]();
  expect(sessions.get(first.sessionId)).toMatchObject({ protocol: "FLV,HLS", upPerSecond: 1_000, up: 10_000 });
  await clock.advance(15_000);
  expect(sessions.get(first.sessionId)).toMatchObject({ protocol: "HLS", upPerSecond: 0, up: 10_000 });
  // Nothing moved for so long that it has no marks any more; with the next bytes it has some.
  second[Symbol.dispose]();
  await clock.advance(8_000);
  using third = await join();
  third.count(5_000, 0);
  await clock.advance(1_000);
  expect(sessions.get(first.sessionId)).toMatchObject({ upPerSecond: 1_000, up: 15_000 });
  await clock.advance(6_000);
  expect(sessions.get(first.sessionId)).toMatchObject({ upPerSecond: 0, up: 15_000 });
});

it("goes on counting seconds when ticks come late, but not those in which the machine slept", async () => {
  const { clock, sessions, join } = await scene();
  const { sessionId } = await join();
  await clock.advance(3_000);
  expect(sessions.get(sessionId)?.seconds).toBe(4);
  const late = clock.monotonic.bind(clock);
  let ahead = 2_000;
  clock.monotonic = () => late() + ahead;
  await clock.advance(1_000);
  expect(sessions.get(sessionId)?.seconds).toBe(7);
  ahead += 3_600_000;
  await clock.advance(1_000);
  expect(sessions.get(sessionId)?.seconds).toBe(12);
});

it("visits ten thousand sessions in turns, and counts each second of each", async () => {
  const { clock, sessions, join } = await scene();
  const open = await Promise.all(Array.from({ length: 10_000 }, (_, at) => join({ token: `t${at}` })));
  await clock.advance(20_000);
  expect(new Set(sessions.list().map(({ seconds }) => seconds))).toEqual(new Set([21]));
  for (const one of open) one[Symbol.dispose]();
  await clock.advance(14_000);
  expect(sessions.census().now.viewer).toBe(10_000);
  await clock.advance(2_000);
  expect([sessions.census().now.viewer, sessions.totals({ start: -2 })?.rows.at(-1)?.clients]).toEqual([0, 10_000]);
});
