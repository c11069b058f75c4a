import { describe, expect, it } from "vitest";
import { createTestHub, liveOptions } from "../../test/support/hub.ts";
import { tinyPacket, videoTrack } from "../../test/support/tiny-format.ts";
import type { StreamWriter } from "../streams/stream.ts";
import { LiveList, type LiveListSetting } from "./live-list.ts";

function scene() {
  const hub = createTestHub();
  const { clock, directory } = hub;
  const scope = {
    setting: { viewers: false, readers: 10 } as LiveListSetting | false,
    tags: {} as Record<string, string[]>,
    hidden: new Set<string>(),
  };
  const list = new LiveList({
    clock,
    directory,
    log: { write: () => {} },
    sessions: {
      counters: () => ({
        viewers: 4,
        inputs: 1,
        outputs: 0,
        unspecified: 0,
        views: 9,
        totalInputs: 1,
        totalOutputs: 0,
        viewSeconds: 1,
        up: 1,
        down: 1,
      }),
    },
    tagsOf: (name) => scope.tags[name] ?? [],
    setting: () => scope.setting,
    isHidden: (base) => scope.hidden.has(base),
  });
  const names = (): string | undefined =>
    list
      .streams()
      ?.map(({ name }) => name)
      .join(" ");
  const play = async (writer: StreamWriter, from = 0): Promise<void> => {
    for (let ms = from; ms < from + 8000; ms += 1000) {
      writer.write(tinyPacket(1, ms, true));
      await clock.advance(1000);
    }
  };
  const publish = (name: string, resume = false): StreamWriter => {
    const writer = directory.publish(name, { ...liveOptions, resume });
    writer.describe([videoTrack({ id: 1 })]);
    return writer;
  };
  return { ...hub, list, scope, names, play, publish };
}

describe("the public list", () => {
  it("has a stream exactly while every output starts at once, and since when", async () => {
    const { list, names, play, publish, clock } = scene();
    const writer = publish("live");
    writer.write(tinyPacket(1, 0, true));
    expect(names()).toBe("");
    await play(writer, 1000);
    expect(names()).toBe("live");
    const [{ since = 0, viewers } = {}] = list.streams() ?? [];
    expect([since > clock.now() - 6000, since < clock.now(), viewers]).toEqual([true, true, undefined]);
    await writer.close({ code: "CLEAN_EOF", text: "" });
    expect(names()).toBe("");
  });

  it("leaves out a stream that waits for its publisher, who does not begin anew", async () => {
    const { list, names, play, publish, clock } = scene();
    const writer = publish("live", true);
    await play(writer);
    const since = list.streams()?.[0]?.since;
    await writer.close({ code: "CLEAN_EOF", text: "" });
    expect(names()).toBe("");
    await clock.advance(3000);
    await play(publish("live", true));
    expect([names(), list.streams()?.[0]?.since]).toEqual(["live", since]);
  });

  it("leaves out what is hidden by option or tag, shows viewers when it may, and is nothing when it is off", async () => {
    const { list, names, play, publish, scope } = scene();
    for (const name of ["shop+one", "shop+two", "secret+three", "open"]) await play(publish(name));
    scope.hidden.add("secret");
    scope.tags = { "shop+two": ["hidden"], open: ["sports"] };
    expect(names()).toBe("open shop+one");
    scope.setting = { viewers: true, readers: 1 };
    expect(list.streams()?.map(({ viewers, tags }) => [viewers, tags])).toEqual([
      [4, ["sports"]],
      [4, []],
    ]);
    scope.setting = false;
    expect([list.streams(), list.mostReaders]).toEqual([undefined, 0]);
  });

  it("tells who listens: to all, or to one name", async () => {
    const { list, play, publish, clock } = scene();
    let [all, one] = [0, 0];
    const listening = list.onChange(() => all++);
    list.onStream("live", () => one++);
    await play(publish("other"));
    expect([all > 0, one]).toEqual([true, 0]);
    await play(publish("live"));
    expect(one).toBeGreaterThan(0);
    listening[Symbol.dispose]();
    const before = all;
    await clock.advance(5000);
    expect(all).toBe(before);
  });
});
