import { describe, expect, it } from "vitest";
import type { Log } from "../base/log.ts";
import { type ChangeStore, openConfiguration } from "./configuration.ts";
import { readConfiguration } from "./load.ts";
import type { SettingValues } from "./settings.ts";

const memory = (rows = new Map<string, unknown>()): ChangeStore & { readonly rows: Map<string, unknown> } => ({
  rows,
  read: async () => new Map(rows),
  write: async (changes) => {
    for (const [key, value] of changes) rows.set(key, JSON.parse(JSON.stringify(value)));
  },
});

const open = (value: unknown, store: ChangeStore, lines: string[] = [], overrides: SettingValues = {}) => {
  const log: Log = { write: (kind, message) => void lines.push(`${kind} ${message}`) };
  return openConfiguration({ ...readConfiguration(value, "f", []), file: "sluice.config.json", overrides }, store, log);
};

describe("the configuration in force", () => {
  it("keeps a change before it counts, and has it after a restart", async () => {
    const store = memory();
    const configuration = await open({ streams: { live: "push://", old: "push://" }, defaultStream: "a" }, store);
    const seen: string[] = [];
    using _listening = configuration.onChange((settings, before) => seen.push(`${before.defaultStream}>${settings.defaultStream}`));
    await configuration.change(({ streams }) => ({
      defaultStream: "b",
      streams: { live: streams["live"] ?? { source: "" }, fresh: { source: "push://x" } },
    }));
    expect([...store.rows]).toEqual([
      ["defaultStream", "b"],
      ["streams.old", null],
      ["streams.fresh", { source: "push://x" }],
    ]);
    expect(seen).toEqual(["a>b"]);

    const lines: string[] = [];
    const again = await open({ streams: { live: "push://", old: "push://", later: "push://" }, defaultStream: "c" }, store, lines);
    expect(Object.keys(again.settings.streams)).toEqual(["live", "later", "fresh"]);
    expect(again.defaultStream).toBe("b");
    expect(lines).toEqual([
      "CONF What was changed through the API counts before sluice.config.json: defaultStream, streams.old, streams.fresh",
    ]);
  });

  it("null goes back to the default, not to the file's value", async () => {
    const store = memory();
    const configuration = await open({ defaultStream: "a", tknMode: 3 }, store);
    await configuration.change(() => ({ defaultStream: null, tknMode: null }));
    expect(configuration.settings).toMatchObject({ defaultStream: "", tknMode: 15 });
    expect((await open({ defaultStream: "a" }, store)).defaultStream).toBe("");
  });

  it("changes nothing when a value is wrong or cannot be kept", async () => {
    const store = memory();
    const configuration = await open({}, store);
    await expect(configuration.change(() => ({ defaultStream: "b", tknMode: 99 }))).rejects.toThrow(/tknMode is 99/);
    await expect(configuration.change(() => ({ streams: { "Bad Name": { source: "" } } }))).rejects.toThrow(/is no stream name/);
    const failing = await open({}, { ...store, write: async () => Promise.reject(new Error("disk full")) });
    await expect(failing.change(() => ({ defaultStream: "b" }))).rejects.toThrow("disk full");
    expect([configuration.defaultStream, failing.defaultStream, store.rows.size]).toEqual(["", "", 0]);
  });

  it("makes changes one after the other, each on the one before", async () => {
    const configuration = await open({}, memory());
    const add = (name: string) => configuration.change(({ streams }) => ({ streams: { ...streams, [name]: { source: "push://" } } }));
    await Promise.all(["a", "b", "c", "__proto__", "constructor"].map(add));
    expect(Object.keys(configuration.settings.streams)).toEqual(["a", "b", "c", "__proto__", "constructor"]);
    expect(configuration.stream("__proto__")?.source).toBe("push://");
  });

  it("no longer lets every name be pushed to once a stream is configured, also after a restart and when it is gone again", async () => {
    const store = memory();
    const configuration = await open({}, store);
    expect(configuration.defaultSource).toBe("push://");
    await configuration.change(() => ({ streams: { live: { source: "push://" } } }));
    expect(configuration.defaultSource).toBeUndefined();
    await configuration.change(() => ({ streams: null }));
    expect(configuration.settings.streams).toEqual({});
    expect((await open({}, store)).defaultSource).toBeUndefined();
  });

  it("reads a stream's settings, and finds none under names that only objects know", async () => {
    const configuration = await open({ streams: { live: { source: "push://", resume: 1, DVR: 5 } } }, memory());
    expect(configuration.stream("live")).toMatchObject({ source: "push://", resume: true, DVR: 5 });
    expect(configuration.stream("live")).toBe(configuration.stream("live"));
    expect(configuration.stream("constructor")).toBeUndefined();
    expect(configuration.stream("__proto__")).toBeUndefined();
  });

  it("lets flags count before what is kept, and ignores kept rows that no longer fit", async () => {
    const lines: string[] = [];
    const store = memory(
      new Map<string, unknown>([
        ["apiPort", 5000],
        ["tknMode", "x"],
        ["gone", 1],
        ["streams.A", {}],
      ]),
    );
    const configuration = await open({}, store, lines, { apiPort: 6000 });
    expect(configuration.settings).toMatchObject({ apiPort: 6000, tknMode: 15 });
    expect(lines.filter((line) => line.startsWith("WARN"))).toHaveLength(3);
  });
});
