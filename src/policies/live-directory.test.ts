import { describe, expect, it } from "vitest";
import { createTestHub, liveOptions } from "../../test/support/hub.ts";
import { tinyPacket, videoTrack } from "../../test/support/tiny-format.ts";
import type { ListingEntry } from "../access/live-arrangement.ts";
import { LiveList } from "../access/live-list.ts";
import { type DirectoryStream, liveDirectory, type LiveDirectoryOptions } from "./live-directory.ts";
import type { PolicyContext } from "./policy.ts";
import { policyOf } from "./registry.ts";
import { StreamFacts } from "./stream-facts.ts";

/** The policy on the real list of a real hub. */
function scene() {
  const hub = createTestHub();
  const { clock, directory } = hub;
  const logged: string[] = [];
  const log = { write: (_kind: string, message: string, fields?: { stream?: string }) => void logged.push(`${fields?.stream} ${message}`) };
  const scope = {
    viewers: {} as Record<string, number>,
    tags: {} as Record<string, string[]>,
    entries: {} as Record<string, ListingEntry>,
    shown: true,
  };
  const list = new LiveList({
    clock,
    directory,
    log,
    sessions: { counters: (name: string) => ({ viewers: scope.viewers[name] ?? 0 }) } as never,
    tagsOf: (name) => scope.tags[name] ?? [],
    setting: () => ({ viewers: scope.shown, readers: 10 }),
    isHidden: (base) => base === "secret",
    entries: () => scope.entries,
  });
  const context = { liveList: list, clock, log } as unknown as PolicyContext;
  return {
    clock,
    list,
    logged,
    scope,
    use: (options: LiveDirectoryOptions) => liveDirectory(options).start(context) as Disposable,
    names: () => (list.streams() ?? []).map(({ name }) => name).join(" "),
    metadata: (name: string) => list.streams()?.find((stream) => stream.name === name)?.metadata,
    async play(...names: string[]) {
      for (const name of names) {
        const writer = directory.publish(name, liveOptions);
        writer.describe([videoTrack({ id: 1 })]);
        for (let ms = 0; ms < 8000; ms += 1000) {
          writer.write(tinyPacket(1, ms, true));
          await clock.advance(1000);
        }
      }
    },
  };
}

describe("liveDirectory", () => {
  it("lists the streams that it is for, without those that are hidden, and all again when it is gone", async () => {
    const { play, use, names, scope } = scene();
    await play("shop+a", "shop+b", "other", "secret+x");
    expect(names()).toBe("other shop+a shop+b");
    const one = use({ streams: ["shop", "!shop+b"] });
    expect(names()).toBe("shop+a");
    const two = use({ hidden: ["shop+a"] });
    expect(names()).toBe("");
    one[Symbol.dispose]();
    expect(names()).toBe("other shop+b");
    two[Symbol.dispose]();
    scope.tags = { other: ["private"] };
    use({ hidden: ["#private"] });
    use({ hidden: [], streams: [] });
    expect(names()).toBe("shop+a shop+b");
  });

  it("hides what its function fails on, says so once, and shows nothing that the configuration hides", async () => {
    const { play, use, names, logged } = scene();
    await play("a", "b", "c", "secret+x");
    use({
      hidden: ({ name }) => {
        if (name === "a") throw new Error("no database");
        return name === "b" ? (undefined as never) : false;
      },
    });
    expect([names(), names(), names()]).toEqual(["c", "c", "c"]);
    expect(new Set(logged)).toEqual(
      new Set([
        "a liveDirectory.hidden failed, the stream is not listed: no database",
        "b liveDirectory.hidden failed, the stream is not listed: it must answer true or false at once",
      ]),
    );
    expect(logged).toHaveLength(2);
  });

  it("orders by name, by age, by viewers or by a function, equal ones by name; viewers are shown only if the setting says so", async () => {
    const { play, use, names, list, scope } = scene();
    await play("b", "a", "c");
    scope.viewers = { a: 1, b: 1, c: 5 };
    const orders: string[] = [];
    for (const order of [
      undefined,
      "name",
      "since",
      "viewers",
      (x: DirectoryStream, y: DirectoryStream) => x.viewers - y.viewers,
    ] as const) {
      using inForce = use({ ...(order && { order }), metadata: { c: { rank: 1 } } });
      void inForce;
      orders.push(`${names()} ${list.ordered}`);
    }
    expect(orders).toEqual(["a b c false", "a b c false", "c a b true", "c a b true", "a b c true"]);
    scope.shown = false;
    expect(list.streams()?.map(({ viewers }) => viewers)).toEqual([undefined, undefined, undefined]);
  });

  it("stays in the order of the names when its function fails, and orders by metadata when it does not", async () => {
    const { play, use, names, logged } = scene();
    await play("a", "b");
    const metadata = { a: { rank: 2 }, b: { rank: 1 } };
    const failing = use({
      order: () => {
        throw new Error("no rank");
      },
    });
    expect([names(), names()]).toEqual(["a b", "a b"]);
    expect(logged).toEqual(["undefined The order of the list of live streams failed: no rank"]);
    failing[Symbol.dispose]();
    use({ metadata, order: (one, other) => Number(one.metadata?.["rank"]) - Number(other.metadata?.["rank"]) });
    expect(names()).toBe("b a");
  });

  it("lays what was set by name over the policy's metadata, and that of a full name over that of its base", async () => {
    const { play, use, metadata, names, scope } = scene();
    await play("live", "live+a", "live+b");
    use({ metadata: { "*": { title: "Live", lang: "en" }, "live+": { title: "Room" } } });
    expect([metadata("live"), metadata("live+a")]).toEqual([
      { title: "Live", lang: "en" },
      { title: "Room", lang: "en" },
    ]);
    scope.entries = { live: { metadata: { site: 1, title: "Base" } }, "live+a": { metadata: { title: "A" } }, "live+b": { hidden: true } };
    expect([metadata("live"), metadata("live+a"), names()]).toEqual([
      { title: "Base", lang: "en", site: 1 },
      { title: "A", lang: "en", site: 1 },
      "live live+a",
    ]);
    scope.entries = { live: { hidden: true }, "live+b": { hidden: false } };
    expect(names()).toBe("live+b");
  });

  it("asks a function that waits once for each life of a stream, again when its answer is old, and tells readers of the answer", async () => {
    const { play, use, metadata, list, clock, names } = scene();
    const asked: string[] = [];
    let title = "one";
    use({
      streams: ["!skip"],
      refresh: "30s",
      metadata: async ({ name, kind, tracks }) => {
        asked.push(`${name} ${kind} ${tracks.length}`);
        await Promise.resolve();
        return { title, since: new Date(0), left: undefined };
      },
    });
    let told = 0;
    list.onChange(() => told++);
    await play("a", "skip");
    expect([names(), metadata("a")]).toEqual(["a", undefined]);
    const before = told;
    await clock.advance(0);
    expect(told).toBe(before + 1);
    expect(metadata("a")).toEqual({ title: "one", since: "1970-01-01T00:00:00.000Z" });
    expect(asked).toEqual(["a live 1"]);
    title = "two";
    await clock.advance(29_000);
    metadata("a");
    await clock.advance(1500);
    expect(metadata("a")).toMatchObject({ title: "one" });
    await clock.advance(0);
    expect(metadata("a")).toMatchObject({ title: "two" });
    expect(asked).toHaveLength(2);
  });

  it("keeps the last answer when the next one fails, hangs or is no metadata", async () => {
    const { play, use, metadata, clock, logged } = scene();
    const circle: Record<string, unknown> = {};
    circle["self"] = circle;
    const answers: unknown[] = [
      { title: "first" },
      "text",
      [],
      { text: "x".repeat(5000) },
      circle,
      { n: 1n },
      "reject",
      new Promise(() => {}),
      undefined,
    ];
    use({
      refresh: "1s",
      metadata: () => {
        const answer = answers.shift();
        return answer === "reject" ? Promise.reject(new Error("down")) : (answer as object);
      },
    });
    await play("a");
    const seen: unknown[] = [];
    for (let at = 0; at < 8; at++) {
      metadata("a");
      await clock.advance(1500);
      seen.push(answers.length);
    }
    expect(metadata("a")).toEqual({ title: "first" });
    expect(logged.filter((line) => line.includes("down"))).toHaveLength(1);
    expect(logged.filter((line) => line.includes("an object of JSON"))).toEqual([
      "a liveDirectory.metadata failed, what was known stays: metadata must be an object of JSON with at most 4096 bytes",
      expect.stringMatching(/; this has 5011$/),
      expect.stringMatching(/; this has no form in JSON$/),
    ]);
    expect(seen.at(-1)).toBe(1);
    // The one that hangs is given up, and the next answer, none, counts.
    await clock.advance(10_000);
    expect(metadata("a")).toBeUndefined();
  });

  it("starts anew with a stream that begins anew", async () => {
    const { clock } = scene();
    const waiting: ((value: unknown) => void)[] = [];
    let changed = 0;
    const facts = new StreamFacts<{ name: string; since: number }>({
      clock,
      log: { write: () => {} },
      refreshMs: 1000,
      ask: () => new Promise((resolve) => waiting.push(resolve)),
      changed: () => changed++,
    });
    facts.of({ name: "a", since: 1 });
    facts.of({ name: "a", since: 2 });
    waiting[0]?.({ title: "of the life before" });
    await clock.advance(0);
    expect([facts.of({ name: "a", since: 2 }), changed, waiting.length]).toEqual([undefined, 0, 2]);
    waiting[1]?.({ title: "of this one" });
    await clock.advance(0);
    expect([facts.of({ name: "a", since: 2 }), changed]).toEqual([{ title: "of this one" }, 1]);
  });

  it.each([
    [{ order: "age" }, 'liveDirectory.order must be one of "name", "since", "viewers", or a function'],
    [{ hidden: true }, "liveDirectory.hidden must be a list of streams, or a function"],
    [{ streams: "live" }, "liveDirectory.streams must be a list of stream names"],
    [{ metadata: "title" }, "liveDirectory.metadata must be a function, or an object with stream names"],
    [{ metadata: { live: "title" } }, "liveDirectory.metadata"],
    [{ metadata: { live: { text: "ü".repeat(2100) } } }, "liveDirectory.metadata.live must be an object of JSON with at most 4096 bytes"],
    [{ refresh: "soon" }, 'liveDirectory.refresh must be milliseconds, or a text such as "30s"'],
    [{ title: "x" }, 'liveDirectory has no option "title"'],
  ] as [object, string][])("refuses what is wrong, naming the option: %#", (options, words) => {
    expect(() => policyOf({ use: "liveDirectory", ...options })).toThrow(words);
  });

  it("comes from JSON with everything but functions", () => {
    const entry = { use: "liveDirectory", streams: ["live"], order: "since", hidden: ["#private"], metadata: { live: { title: "x" } } };
    const { use: name, ...options } = entry;
    expect(policyOf(entry)).toMatchObject({ name, options });
  });
});
