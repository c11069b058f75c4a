import { describe, expect, it } from "vitest";
import { FakeClock } from "../../test/support/fake-clock.ts";
import type { Stream, StreamEvent } from "../streams/stream.ts";
import { createStreamTags } from "./stream-tags.ts";

function bench() {
  const clock = new FakeClock();
  const playing = new Map<string, Stream>();
  let listener: (event: StreamEvent) => void = () => {};
  const tell = (kind: "opened" | "closed", name: string): void => {
    const stream = { name } as Stream;
    if (kind === "opened") playing.set(name, stream);
    else playing.delete(name);
    listener({ kind, stream, reason: { code: "CLEAN_EOF", text: "" } } as StreamEvent);
  };
  const tags = createStreamTags({
    clock,
    directory: {
      get: (name) => playing.get(name),
      onEvent: (run) => {
        listener = run;
        return { [Symbol.dispose]: () => (listener = () => {}) };
      },
    },
    configured: (base) => (base === "live" ? ["sports", "hd"] : []),
  });
  return { clock, tags, tell };
}

describe("tags of streams", () => {
  it("are those of the configuration, by base name", () => {
    const { tags } = bench();
    expect([tags.tagsOf("live"), tags.tagsOf("live+one"), tags.tagsOf("other")]).toEqual([["sports", "hd"], ["sports", "hd"], []]);
  });

  it("can be given and taken while a stream plays, for exactly this stream", async () => {
    const { clock, tags, tell } = bench();
    tell("opened", "live+one");
    expect(tags.tag("live+one", ["vip", "vip", "hd", ""])).toBe(true);
    await clock.advance(3_600_000);
    expect(tags.tagsOf("live+one")).toEqual(["sports", "hd", "vip"]);
    expect(tags.tagsOf("live")).toEqual(["sports", "hd"]);
    tags.untag("live+one", ["sports", "vip", "never"]);
    expect(tags.tagsOf("live+one")).toEqual(["hd"]);
    tags.tag("live+one", ["sports"]);
    expect(tags.tagsOf("live+one")).toEqual(["sports", "hd"]);
  });

  it("wait 60 seconds for a stream, and as long for one that has left", async () => {
    const { clock, tags, tell } = bench();
    tags.tag("soon", ["a"]);
    tags.tag("never", ["b"]);
    await clock.advance(59_000);
    expect(tags.tagsOf("never")).toEqual(["b"]);
    tell("opened", "soon");
    await clock.advance(600_000);
    expect([tags.tagsOf("soon"), tags.tagsOf("never")]).toEqual([["a"], []]);
    tell("closed", "soon");
    await clock.advance(59_000);
    tell("opened", "soon");
    await clock.advance(600_000);
    expect(tags.tagsOf("soon")).toEqual(["a"]);
    tell("closed", "soon");
    await clock.advance(60_000);
    expect(tags.tagsOf("soon")).toEqual([]);
  });

  it("are bounded: 512 bytes for a stream, 10,000 streams; what is taken back is free again", () => {
    const { tags } = bench();
    expect(tags.tag("live", ["x".repeat(513)])).toBe(false);
    expect(tags.tag("live", ["x".repeat(300), "y".repeat(300)])).toBe(false);
    expect(tags.tagsOf("live")).toEqual(["sports", "hd"]);
    expect(tags.tag("live", ["x".repeat(500)])).toBe(true);
    expect(tags.tag("live", ["z".repeat(13)])).toBe(false);
    for (let at = 1; at < 10_000; at++) tags.tag(`s${at}`, ["t"]);
    expect([tags.tag("one-more", ["t"]), tags.tag("s1", ["u"])]).toEqual([false, true]);
  });
});
