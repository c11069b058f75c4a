import { describe, expect, it } from "vitest";
import { FakeClock } from "../../../test/support/fake-clock.ts";
import { seeded } from "../../../test/support/seeded.ts";
import { isSluiceError } from "../../base/errors.ts";
import type { Seated } from "../../sessions/session.ts";
import { LimitKeeper } from "./limit-keeper.ts";
import type { LimitRule } from "./limit.ts";

const users = ["", "ann", "ben"];
const streams = ["a", "b", "b+1", "c"];
const addresses = ["192.0.2.1", "192.0.2.2", "198.51.100.1"];
const tokens = ["", "t1", "t2"];

/** In whose name a session counts, worked out in another way than the keeper does. */
function nameOf({ by, streams: only }: LimitRule, { identity, user }: Seated): string | undefined {
  if (only && !only.includes(identity.stream.split("+")[0] ?? "")) return undefined;
  const names = { user, token: identity.token, address: identity.address, stream: identity.stream, server: "server" };
  return names[by] || undefined;
}

describe.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])("random joins, ends, moves and rules (seed %i)", (seed) => {
  const random = seeded(seed);
  const randomRule = (): LimitRule => ({
    by: random.pick(["user", "token", "address", "stream", "server"] as const),
    sessions: 1 + random.below(4),
    ...(random.below(2) === 0 && { streams: ["a", "b"] }),
    ...(random.below(3) === 0 && { safe: 0.5 }),
    onReached: random.pick(["refuse", "refuse", "end-oldest"] as const),
  });

  it("never let a newcomer in where there is no place, count exactly, and come to zero", async () => {
    const clock = new FakeClock();
    let rules: Record<string, LimitRule> = {};
    const live = new Map<Seated, number>();
    const ended: Seated[] = [];
    const keeper = new LimitKeeper({
      clock,
      log: { write: () => undefined },
      rules: () => rules,
      streamTags: () => [],
      bitrate: () => 100,
      rates: () => new Map(),
      endPublisher: () => undefined,
    });
    keeper.bind((session) => {
      ended.push(session);
      live.delete(session);
      keeper.free(session);
    });
    const countOf = (rule: LimitRule, name: string): number => [...live.keys()].filter((one) => nameOf(rule, one) === name).length;
    let [come, refused, made] = [0, 0, 0];
    for (let step = 0; step < 600; step++) {
      const choice = random.below(20);
      const some = live.size > 0 ? random.pick([...live.keys()]) : undefined;
      if (choice === 0) rules = Object.fromEntries(["x", "y", "z"].slice(random.below(4)).map((name) => [name, randomRule()]));
      else if (choice === 1) await clock.advance(random.below(20_000));
      else if (choice < 4 && some) keeper.move(some, random.pick(users));
      else if (choice < 9 && some) {
        live.delete(some);
        keeper.free(some);
      } else {
        const identity = {
          type: "viewer",
          stream: random.pick(streams),
          address: random.pick(addresses),
          token: random.pick(tokens),
        } as const;
        const session: Seated = { id: String(made++), identity: { ...identity, protocol: "FLV", url: "" }, user: random.pick(users) };
        const before = live.size;
        ended.length = 0;
        const meant = Object.values(rules).flatMap((rule) => {
          const name = nameOf(rule, session);
          return name === undefined ? [] : [{ rule, name, full: countOf(rule, name) >= (rule.sessions ?? 0) }];
        });
        try {
          keeper.take(session, undefined);
          live.set(session, step);
          come++;
          for (const { rule, name } of meant) expect(countOf(rule, name)).toBeLessThanOrEqual(rule.sessions ?? 0);
          if (!meant.some(({ rule, full }) => full && rule.onReached === "end-oldest")) expect(ended).toEqual([]);
        } catch (error) {
          if (!isSluiceError(error, "access.full")) throw error;
          refused++;
          expect([live.size, ended]).toEqual([before, []]);
          const held = meant.some(({ rule, full }) => rule.onReached === "refuse" && (full || rule.safe !== undefined));
          expect(held).toBe(true);
        }
      }
      for (const { name, rule, key, used, most, closed } of keeper.states()) {
        const counted = rule.by === "token" ? used : countOf(rule, key);
        expect([name, used]).toEqual([name, counted]);
        if (used >= most) expect(closed).toBe(true);
        else if (rule.safe === undefined) expect(closed).toBe(false);
      }
    }
    expect(come).toBeGreaterThan(50);
    expect(refused).toBeGreaterThan(10);
    for (const session of live.keys()) keeper.free(session);
    expect([keeper.states(), keeper.sums().map(({ used }) => used)]).toEqual([[], Object.keys(rules).map(() => 0)]);
  });

  it("never promise more bandwidth than there is, and give all of it back", async () => {
    const clock = new FakeClock();
    const bitrates: Record<string, number> = { a: 1_000, b: 2_500, "b+1": 700, c: 4_000 };
    const live = new Set<Seated>();
    const rules: Record<string, LimitRule> = { each: { by: "stream", egress: 9_000 }, all: { by: "server", egress: 20_000, safe: 0.7 } };
    const keeper = new LimitKeeper({
      clock,
      log: { write: () => undefined },
      rules: () => rules,
      streamTags: () => [],
      bitrate: (stream) => bitrates[stream] ?? 0,
      rates: () => new Map(),
      endPublisher: () => undefined,
    });
    let refused = 0;
    for (let step = 0; step < 300; step++) {
      if (random.below(3) === 0) await clock.advance(random.below(1_500));
      const session: Seated = {
        id: String(step),
        identity: { type: "viewer", stream: random.pick(streams), address: "", token: "", protocol: "FLV", url: "" },
        user: "",
      };
      try {
        keeper.take(session, undefined);
        live.add(session);
      } catch (error) {
        if (!isSluiceError(error, "access.full")) throw error;
        refused++;
      }
      if (random.below(2) === 0 && live.size > 0) {
        const gone = random.pick([...live]);
        live.delete(gone);
        keeper.free(gone);
      }
      for (const { used, most } of keeper.states()) expect(used).toBeLessThanOrEqual(most);
    }
    expect(refused).toBeGreaterThan(5);
    for (const session of live) keeper.free(session);
    expect(keeper.sums().map(({ used }) => used)).toEqual([0, 0]);
    await clock.advance(10_000);
    expect(keeper.states()).toEqual([]);
  });
});
