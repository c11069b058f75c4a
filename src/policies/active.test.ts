import { beforeEach, describe, expect, it } from "vitest";
import { allow, deny, keep, rewrite } from "../base/decision.ts";
import { ActivePolicies } from "./active.ts";
import type { Policy, PolicyContext } from "./policy.ts";

const told: string[] = [];
const context = { log: { write: (kind: string, text: string) => void told.push(`${kind} ${text}`) } } as unknown as PolicyContext;

const policy = (name: string, options: Readonly<Record<string, unknown>> = {}, start?: () => Promise<Disposable>): Policy => ({
  name,
  options,
  start: async () => {
    const owned = await start?.();
    told.push(`${name} starts ${JSON.stringify(options)}`);
    return {
      [Symbol.dispose]: () => {
        told.push(`${name} stops ${JSON.stringify(options)}`);
        owned?.[Symbol.dispose]();
      },
    };
  },
});

let active: ActivePolicies;
beforeEach(() => {
  told.length = 0;
  active = new ActivePolicies(context);
});

describe("policies in force", () => {
  it("start before the old ones stop, and go on when they say what they said before", async () => {
    await active.apply([
      { name: "a", policy: policy("pushTokens", { streams: ["x"] }) },
      { name: "b", policy: policy("viewTokens") },
    ]);
    await active.apply([
      { name: "b", policy: policy("viewTokens") },
      { name: "a", policy: policy("pushTokens", { streams: ["y"] }) },
    ]);
    expect(told).toEqual([
      'pushTokens starts {"streams":["x"]}',
      "viewTokens starts {}",
      'pushTokens starts {"streams":["y"]}',
      'pushTokens stops {"streams":["x"]}',
    ]);
    expect(active.list().map(({ name }) => name)).toEqual(["b", "a"]);
    active[Symbol.dispose]();
    expect(told.slice(4)).toEqual(["viewTokens stops {}", 'pushTokens stops {"streams":["y"]}']);
    expect(active.list()).toEqual([]);
  });

  it("stay as they are when one of the new ones cannot start", async () => {
    await active.apply([{ name: "a", policy: policy("pushTokens") }]);
    const wanted = [
      { name: "c", policy: policy("liveDirectory") },
      { name: "d", policy: policy("broken", {}, () => Promise.reject(new Error("no such database"))) },
    ];
    await expect(active.apply(wanted)).rejects.toThrow("no such database");
    expect(active.list().map(({ name }) => name)).toEqual(["a"]);
    expect(told).toEqual(["pushTokens starts {}", "liveDirectory starts {}", "liveDirectory stops {}"]);
  });

  it("are taken as new when a function among their options is another", async () => {
    await active.apply([{ name: "a", policy: policy("accessControl", { lookup: () => 1 }) }]);
    await active.apply([{ name: "a", policy: policy("accessControl", { lookup: () => 1 }) }]);
    expect(told).toHaveLength(3);
  });

  it("that cannot be stopped keep nobody else from being stopped, and none starts after the end", async () => {
    const bad = policy("bad", {}, async () => ({
      [Symbol.dispose]: () => {
        throw new Error("stuck");
      },
    }));
    await active.apply([
      { name: "a", policy: bad },
      { name: "b", policy: policy("good") },
    ]);
    const late = active.apply([{ name: "c", policy: policy("late") }]);
    active[Symbol.dispose]();
    await late;
    expect(told).toContain("ERROR The policy a could not be stopped: stuck");
    expect(told).toContain("good stops {}");
    expect(told.at(-1)).toBe("late stops {}");
  });

  it("give their handlers their name, count what those answer, and never count back", async () => {
    const handlers: Function[] = [];
    const on = (_trigger: string, handler: Function) => (handlers.push(handler), { [Symbol.dispose]: () => {} });
    const counting = new ActivePolicies({ ...context, on } as unknown as PolicyContext);
    const answers: unknown[] = [allow(), deny("no"), rewrite("x"), keep(), true, false, "text", undefined];
    const answering: Policy = {
      name: "answering",
      options: {},
      start: ({ on }) =>
        on("USER_NEW", () => {
          if (answers.length === 0) throw new Error("nothing left");
          return answers.shift() as boolean;
        }),
    };
    await counting.apply([{ name: "door", policy: answering }]);
    expect(handlers[0]?.name).toBe("policy door");
    const ask = async (mode: string): Promise<unknown> => await handlers[0]?.({}, { mode });
    await ask("rehearsal");
    for (let left = answers.length; left > 0; left--) await ask("live");
    await expect(ask("live")).rejects.toThrow("nothing left");
    await counting.apply([]);
    expect(Object.fromEntries(counting.counts().map(({ policy, result, count }) => [`${policy} ${result}`, count]))).toEqual({
      "door allow": 1,
      "door deny": 2,
      "door rewrite": 2,
      "door keep": 1,
      "door failed": 1,
    });
  });
});
