import { describe, expect, it } from "vitest";
import type { LimitRule } from "../access/limits/limit.ts";
import { type ChangeStore, openConfiguration } from "./configuration.ts";
import { defineConfig } from "./define.ts";
import { readConfiguration } from "./load.ts";

const log = { write: () => undefined };
const limitsOf = (value: unknown): Readonly<Record<string, LimitRule>> => readConfiguration(value, "c.json").settings.limits;
const one = (rule: unknown): unknown => limitsOf({ limits: { one: rule } });

describe("limits in a configuration", () => {
  it("are read as they stand, in our shape and in MistServer's", () => {
    const limits = {
      "two-screens": { by: "user", sessions: 2, onReached: "end-oldest", reason: "two screens at a time" },
      hall: { by: "server", sessions: 5000, egress: 9e9, safe: 0.8, retryAfter: "30s", onReached: { fallback: "slate" } },
      house: { by: "address", prefix: { ipv4: 24, ipv6: 56 }, sessions: 5, streams: ["live+", "#paid"] },
      encoder: { by: "stream", ingest: 8_000_000, retryAfter: 5000 },
    } as const;
    expect(limitsOf(defineConfig({ limits }))).toEqual(limits);
    expect(limitsOf({ config: {}, limits })).toEqual(limits);
    expect(limitsOf({ config: { limits } })).toEqual(limits);
    expect(limitsOf({})).toEqual({});
  });

  it("of an old MistServer, which are lists, are a warning", () => {
    for (const value of [{ config: { limits: [{ name: "kbps_max" }] } }, { config: {}, limits: [{}] }]) {
      const { settings, warnings } = readConfiguration(value, "c.json");
      expect([settings.limits, warnings.join()]).toEqual([{}, expect.stringContaining("limits is a list of an older MistServer")]);
    }
    expect(readConfiguration({ config: { limits: [] } }, "c.json").warnings).toEqual([]);
  });

  it.each([
    [{ sessions: 1 }, "c.json: limits.one.by is missing; it must be one of user, token, address, stream, server"],
    [{ by: "house", sessions: 1 }, 'limits.one.by is "house"; it must be one of user'],
    [{ by: "user" }, "limits.one.sessions is missing; it must be there, or `egress`, or `ingest`"],
    [{ by: "user", sessions: 0 }, "limits.one.sessions is 0; it must be a whole number from 1 on"],
    [{ by: "user", sessions: 1.5 }, "a whole number from 1 on"],
    [{ by: "user", sessions: "2" }, 'limits.one.sessions is "2"; it must be a whole number'],
    [{ by: "user", egress: 5 }, 'limits.one.by is "user"; it must be stream or server'],
    [{ by: "stream", egress: 0 }, "limits.one.egress is 0; it must be bits per second"],
    [{ by: "stream", ingest: Number.POSITIVE_INFINITY }, "bits per second"],
    [{ by: "user", sessions: 1, safe: 2 }, "limits.one.safe is 2; it must be a part from 0 to 1"],
    [{ by: "user", sessions: 1, prefix: { ipv4: 24 } }, "limits.one.prefix is"],
    [{ by: "address", sessions: 1, prefix: { ipv4: 33 } }, "limits.one.prefix.ipv4 is 33; it must be a number of bits from 0 to 32"],
    [{ by: "address", sessions: 1, prefix: { v4: 24 } }, 'limits.one.prefix.v4 is no known setting; did you mean "ipv4"'],
    [{ by: "user", sessions: 1, streams: [] }, "a list of one stream or more; leave it out for all"],
    [{ by: "user", sessions: 1, streams: "live" }, 'limits.one.streams is "live"; it must be a list of streams'],
    [{ by: "user", sessions: 1, onReached: "kill" }, 'limits.one.onReached is "kill"; it must be refuse, end-oldest'],
    [{ by: "stream", ingest: 1, onReached: { fallback: "x" } }, "a publisher cannot be sent elsewhere"],
    [{ by: "user", sessions: 1, retryAfter: "soon" }, 'limits.one.retryAfter is "soon"; it must be milliseconds, or a duration'],
    [{ by: "user", sessions: 1, reason: "a\r\nSet-Cookie: x" }, "limits.one.reason is"],
    [{ by: "user", sesions: 1 }, 'limits.one.sesions is no known setting; did you mean "sessions"?'],
    [5, "limits.one is 5; it must be an object with `by`"],
  ])("are refused with the field that is wrong: %j", (rule, words) => {
    expect(() => one(rule)).toThrow(words);
    expect(() => limitsOf({ config: {}, limits: { one: rule } })).toThrow(/limits\.one/);
  });

  it.each(["", "a b", "a/b", "-a", "x".repeat(65), "ü"])("have names that fit into URLs and metrics, not %j", (name) => {
    expect(() => limitsOf({ limits: { [name]: { by: "user", sessions: 1 } } })).toThrow("1 to 64 letters");
    expect(() => limitsOf({ config: { limits: { [name]: { by: "user", sessions: 1 } } } })).toThrow("1 to 64 letters");
  });

  it("are checked by the compiler", () => {
    defineConfig({
      limits: {
        // @ts-expect-error a limit says in whose name it counts
        one: { sessions: 1 },
      },
    });
    // @ts-expect-error there is no such action
    defineConfig({ limits: { one: { by: "user", sessions: 1, onReached: "kill" } } });
  });
});

describe("limits that are changed through the API", () => {
  const rule: LimitRule = { by: "user", sessions: 2 };

  it("are kept one by one, over a change of the file", async () => {
    const kept = new Map<string, unknown>();
    const store: ChangeStore = {
      read: async () => kept,
      write: async (changes) => {
        for (const [row, value] of changes) kept.set(row, value);
      },
    };
    const file = { limits: { old: rule, gone: rule } };
    const load = (): Promise<Awaited<ReturnType<typeof openConfiguration>>> =>
      openConfiguration({ ...readConfiguration(file, "c.json"), file: undefined, overrides: {} }, store, log);
    const configuration = await load();
    await configuration.change(({ limits }) => ({ limits: { old: limits["old"] ?? rule, "new.one": { by: "server", sessions: 9 } } }));
    expect([...kept.keys()].sort()).toEqual(["limits.gone", "limits.new.one"]);
    const wanted = { old: rule, "new.one": { by: "server", sessions: 9 } };
    expect(configuration.settings.limits).toEqual(wanted);
    expect((await load()).settings.limits).toEqual(wanted);
    await configuration.reload(readConfiguration({ limits: { old: { ...rule, sessions: 3 }, gone: rule } }, "c.json").values);
    expect(configuration.settings.limits).toEqual({ ...wanted, old: { ...rule, sessions: 3 } });
  });

  it("change nothing when they are wrong", async () => {
    const store: ChangeStore = { read: async () => new Map(), write: () => Promise.reject(new Error("it was written")) };
    const configuration = await openConfiguration({ ...readConfiguration({}, "c.json"), file: undefined, overrides: {} }, store, log);
    const wrong = { a: { by: "user", egress: 1 } } as const;
    await expect(configuration.change(() => ({ limits: wrong }))).rejects.toThrow("limits.a.by");
    expect(configuration.settings.limits).toEqual({});
  });
});
