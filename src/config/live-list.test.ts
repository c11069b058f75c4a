import { describe, expect, it } from "vitest";
import { readConfiguration } from "./load.ts";
import { streamSettings, withDefaults } from "./settings.ts";

const read = (config: unknown) => withDefaults(readConfiguration(config, "sluice.config.json").values);

describe("liveList", () => {
  it("is on without viewers when nothing is said, and can be switched off or made to show more", () => {
    expect(read({}).liveList).toEqual({ viewers: false, readers: 10_000 });
    expect(read({ liveList: true }).liveList).toEqual({ viewers: false, readers: 10_000 });
    expect(read({ liveList: { viewers: true } }).liveList).toEqual({ viewers: true, readers: 10_000 });
    expect(read({ liveList: { readers: 5 } }).liveList).toEqual({ viewers: false, readers: 5 });
    expect(read({ liveList: false }).liveList).toBe(false);
  });

  it.each([
    { liveList: "yes" },
    { liveList: { readers: -1 } },
    { liveList: { readers: 1.5 } },
    { liveList: { viewers: 1 } },
    { liveList: { show: true } },
  ])("refuses %j, naming the setting and what may stand there", (config) => {
    expect(() => read(config)).toThrow(
      /liveList\b.*(true, false, or an object with viewers, readers|a number of readers from 0 to 1000000|true or false|viewers, readers)/,
    );
  });

  it("leaves out streams with `hidden`, in MistServer's shape, too", () => {
    const hidden = (config: unknown): boolean | undefined => streamSettings(read(config).streams["live"] ?? { source: null }).hidden;
    expect(hidden({ streams: { live: { source: "push://", hidden: true } } })).toBe(true);
    expect(hidden({ config: {}, streams: { live: { source: "push://", hidden: 1 } } })).toBe(true);
    expect(hidden({ streams: { live: "push://" } })).toBeUndefined();
  });
});
