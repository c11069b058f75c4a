import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readEvents } from "../../../../test/support/event-reader.ts";
import { FakeClock } from "../../../../test/support/fake-clock.ts";
import { loopbackHost } from "../../../../test/support/loopback.ts";
import { audioTrack, videoTrack } from "../../../../test/support/tiny-format.ts";
import type { Sink } from "../../../base/sink.ts";
import type { RunningHost } from "../../../host/host.ts";
import type { LiveStream, PublicStreams } from "../../protocol.ts";
import { http } from "../index.ts";
import type { Output } from "../stream-info.ts";
import { Channel } from "./channel.ts";
import { deltaEvents, editionOf } from "./edition.ts";

const outputs: readonly Output[] = [
  { type: "flash/7", hrn: "FLV", scheme: "http", path: "/$.flv", priority: 5, codecs: ["h264", "aac"] },
  { type: "html5/application/vnd.apple.mpegurl", hrn: "HLS", scheme: "http", path: "/hls/$/index.m3u8", priority: 9, codecs: ["h264"] },
  { type: "html5/audio/mp3", hrn: "MP3", scheme: "http", path: "/$.mp3", priority: 8, codecs: ["mp3"] },
  { type: "flash/10", hrn: "RTMP", scheme: "rtmp", path: "/play/$", priority: 7, codecs: ["h264"] },
];
const stream = (name: string, more: Partial<LiveStream> = {}): LiveStream => ({
  name,
  kind: "live",
  since: 1_795_361_000_000,
  tracks: [videoTrack({ width: 1280, height: 720 })],
  tags: [],
  viewers: undefined,
  ...more,
});

type Answer = { streams: { name: string }[] };

describe("/live.json", () => {
  let host: RunningHost;
  let base: string;
  let streams: LiveStream[] | undefined;
  let most: number;
  let ordered: boolean;
  let change: () => void;

  beforeEach(async () => {
    streams = [stream("live", { tags: ["sports", "hd"] }), stream("live+two", { tags: ["sports"] }), stream("radio", { kind: "vod" })];
    most = 3;
    ordered = false;
    change = () => {};
    const live: PublicStreams = {
      streams: () => streams,
      get mostReaders() {
        return most;
      },
      get ordered() {
        return ordered;
      },
      onChange(run) {
        change = run;
        return { [Symbol.dispose]: () => {} };
      },
      onStream: () => ({ [Symbol.dispose]: () => {} }),
    };
    ({ host } = loopbackHost({ live, watchAddresses: () => outputs }));
    await http.serve?.(host, {});
    base = `http://127.0.0.1:${(await host.listenHttp()).port}/live.json`;
  });
  afterEach(() => host[Symbol.asyncDispose]());

  const names = async (query = ""): Promise<string> => {
    const { streams: found } = (await (await fetch(base + query)).json()) as Answer;
    return found.map(({ name }) => name).join(" ");
  };

  it("says of each stream what a page needs, with relative addresses of the outputs that can carry it", async () => {
    streams = [stream("live+ü 1", { tracks: [videoTrack(), audioTrack({ language: "de" })], tags: ["a"], viewers: 3 })];
    const response = await fetch(base, { headers: { Origin: "https://site.example" } });
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "content-type": "application/json",
      "cache-control": "public, max-age=1",
      "access-control-allow-origin": "*",
      vary: "Accept",
      etag: expect.stringMatching(/^"[\w-]{22}"$/),
    });
    expect([response.headers.get("access-control-allow-credentials"), response.headers.get("set-cookie")]).toEqual([null, null]);
    expect(await response.json()).toEqual({
      streams: [
        {
          name: "live+ü 1",
          kind: "live",
          since: "2026-11-22T15:23:20.000Z",
          tracks: [
            { kind: "video", codec: "h264", width: 640, height: 360, frameRate: 25 },
            { kind: "audio", codec: "aac", sampleRate: 44_100, channels: 2, language: "de" },
          ],
          tags: ["a"],
          viewers: 3,
          page: "live+%C3%BC%201.html",
          urls: [
            { type: "html5/application/vnd.apple.mpegurl", url: "hls/live+%C3%BC%201/index.m3u8" },
            { type: "flash/7", url: "live+%C3%BC%201.flv" },
          ],
        },
      ],
    });
  });

  it("is filtered by tags, all of them, by prefix, and has recordings only when asked", async () => {
    expect(await names()).toBe("live live+two");
    expect(await names("?vod=1")).toBe("live live+two radio");
    expect(await names("?tag=sports")).toBe("live live+two");
    expect(await names("?tag=sports&tag=hd")).toBe("live");
    expect(await names("?prefix=live%2B")).toBe("live+two");
    expect(await names("?tag=none")).toBe("");
    expect((await fetch(`${base}?${"tag=a1&".repeat(3)}${[1, 2, 3, 4, 5, 6, 7, 8, 9].map((tag) => `tag=${tag}`).join("&")}`)).status).toBe(
      400,
    );
    expect((await fetch(`${base}?prefix=${"x".repeat(101)}`)).status).toBe(400);
  });

  it("has a tag that changes with the list, and 304 while it does not", async () => {
    const etag = (await fetch(base)).headers.get("etag") ?? "";
    const again = await fetch(base, { headers: { "If-None-Match": `"other", W/${etag}` } });
    expect([again.status, again.headers.get("etag"), again.headers.get("access-control-allow-origin")]).toEqual([304, etag, "*"]);
    streams = streams?.slice(1);
    change();
    const other = await fetch(base, { headers: { "If-None-Match": etag } });
    expect([other.status, other.headers.get("etag") === etag]).toEqual([200, false]);
    const head = await fetch(base, { method: "HEAD" });
    expect([head.status, head.headers.get("etag"), await head.text()]).toEqual([200, other.headers.get("etag"), ""]);
  });

  it("is not there when it is switched off, and only read", async () => {
    expect((await fetch(base, { method: "POST", body: "{}" })).status).toBe(405);
    streams = undefined;
    change();
    expect((await fetch(base)).status).toBe(404);
    expect((await fetch(`${base}?stream`)).status).toBe(404);
  });

  it("is followed as events: the list, then what is added, changed and removed", async () => {
    most = 10;
    using reader = await readEvents(base);
    expect([reader.status, reader.headers["content-type"], reader.headers["access-control-allow-origin"]]).toEqual([
      200,
      "text/event-stream",
      "*",
    ]);
    using sports = await readEvents(`${base}?stream&tag=sports`, { Accept: "*/*" });
    await reader.until(({ event }) => event === "list");
    await sports.until(({ event }) => event === "list");
    expect(`"${reader.lastId()}"`).toBe((await fetch(base)).headers.get("etag"));
    streams = [stream("live", { tags: ["hd"] }), stream("news")];
    change();
    await reader.until(({ event }) => event === "added");
    await sports.until((_, { name }) => name === "live+two");
    const shown = (events: readonly { event: string; id: string; data: string }[]): string[] =>
      events.slice(1).map(({ event, data }) => `${event} ${(JSON.parse(data) as { name: string }).name}`);
    expect(shown(reader.events)).toEqual(["removed live+two", "changed live", "added news"]);
    expect(shown(sports.events)).toEqual(["removed live", "removed live+two"]);
    expect(`"${reader.lastId()}"`).toBe((await fetch(base)).headers.get("etag"));

    using same = await readEvents(base, { "Last-Event-ID": reader.lastId() });
    using behind = await readEvents(base, { "Last-Event-ID": reader.events[0]?.id ?? "" });
    await behind.until(({ event }) => event === "list");
    streams = [];
    change();
    await same.until((_, { name }) => name === "news");
    expect(same.events.map(({ event }) => event)).toEqual(["removed", "removed"]);
  });

  it("tells metadata that change, and the order where it is not that of the names", async () => {
    streams = [stream("b", { metadata: { title: "</b>" } }), stream("a"), stream("c")];
    ordered = true;
    using reader = await readEvents(base);
    await reader.until(({ event }) => event === "list");
    expect(reader.events[0]?.data).toContain('"metadata":{"title":"</b>"}');
    expect(await names()).toBe("b a c");
    /** What a page has that does as the recipe says. */
    const shown = (): string => {
      let held: string[] = [];
      for (const { event, data } of reader.events) {
        const said = JSON.parse(data) as Answer & { name: string; names: string[] };
        if (event === "list") held = said.streams.map(({ name }) => name);
        else if (event === "removed") held = held.filter((name) => name !== said.name);
        else if (event === "order") held = said.names;
        else if (!held.includes(said.name)) held.push(said.name);
      }
      return held.join(" ");
    };
    const becomes = async (...next: LiveStream[]): Promise<void> => {
      const before = reader.events.length;
      streams = next;
      change();
      const now = next.map(({ name }) => name).join(" ");
      await expect.poll(() => `${reader.events.length > before} ${shown()}`).toBe(`true ${now}`);
      expect([await names(), `"${reader.lastId()}"`]).toEqual([now, (await fetch(base)).headers.get("etag")]);
    };
    await becomes(stream("b", { metadata: { title: "news" } }), stream("a"), stream("c"));
    expect(reader.events.slice(1).map(({ event }) => event)).toEqual(["changed"]);
    await becomes(stream("c"), stream("a"), stream("b"));
    expect(reader.events.slice(2).map(({ event }) => event)).toEqual(["changed", "order"]);
    await becomes(stream("a"), stream("d"), stream("b"));
    await becomes(stream("a"), stream("d"), stream("b"), stream("x"));
    expect(reader.events.at(-1)?.event).toBe("added");
    ordered = false;
    await becomes(stream("a"), stream("b"), stream("d"), stream("x"));
    expect(reader.events.at(-1)?.event).toBe("order");
    // Now the order is that of the names, and nobody is told what is known.
    await becomes(stream("a"), stream("b"), stream("d"), stream("x"), stream("y"));
    expect(reader.events.at(-1)?.event).toBe("added");
  });

  it("is followed by so many readers as the setting says, and makes room when one leaves", async () => {
    const readers = [await readEvents(base), await readEvents(base), await readEvents(base)];
    const full = await fetch(base, { headers: { Accept: "text/event-stream" } });
    expect([full.status, full.headers.get("retry-after"), (await fetch(base)).status]).toEqual([503, "10", 200]);
    readers[0]?.[Symbol.dispose]();
    await expect
      .poll(async () => {
        using reader = await readEvents(base);
        return reader.status;
      })
      .toBe(200);
    for (const reader of readers) reader[Symbol.dispose]();
  });
});

/** A socket that a test can stop up. */
function testSink() {
  const controller = new AbortController();
  const written: Uint8Array[] = [];
  let drained: (() => void) | undefined;
  const state = { congested: false };
  const sink: Sink = {
    write: (bytes) => void written.push(bytes),
    get congested() {
      return state.congested;
    },
    onDrained(run) {
      drained = run;
      return { [Symbol.dispose]: () => (drained = undefined) };
    },
    end: () => controller.abort(),
    signal: controller.signal,
  };
  return {
    sink,
    written,
    text: () => written.splice(0).map((bytes) => Buffer.from(bytes).toString()),
    stop: () => (state.congested = true),
    drain: () => {
      state.congested = false;
      drained?.();
    },
  };
}

describe("a channel", () => {
  const edition = (...names: string[]) => editionOf(new Map(names.map((name) => [name, JSON.stringify({ name })])));

  it("makes what it sends once for all readers", async () => {
    const clock = new FakeClock();
    using channel = new Channel(edition("a"), clock);
    const sinks = Array.from({ length: 1000 }, testSink);
    for (const { sink } of sinks) channel.add(sink, undefined, () => {});
    channel.publish(edition("a", "b"));
    await clock.advance(100);
    const [first] = sinks;
    expect(first?.written).toHaveLength(2);
    expect(sinks.filter(({ written }) => written.every((bytes, at) => bytes === first?.written[at]))).toHaveLength(1000);
  });

  it("passes over a reader that is busy and tells it what it has missed; after a lot, the whole list", async () => {
    const clock = new FakeClock();
    using channel = new Channel(edition("a"), clock);
    const slow = testSink();
    channel.add(slow.sink, undefined, () => {});
    slow.text();
    slow.stop();
    channel.publish(edition("a", "b"));
    channel.publish(edition("b"));
    expect(slow.text()).toEqual([]);
    slow.drain();
    expect(slow.text().join("")).toBe(
      Buffer.concat([deltaEvents(edition("a"), edition("a", "b")), deltaEvents(edition("a", "b"), edition("b"))]).toString(),
    );
    slow.stop();
    for (let at = 0; at < 40; at++) channel.publish(edition("b", `c${at}`));
    slow.drain();
    const [whole, ...more] = slow.text();
    expect([whole?.startsWith("event: list\n"), whole?.includes("c39"), more]).toEqual([true, true, []]);
  });

  it("shows signs of life, and cuts off who takes nothing", async () => {
    const clock = new FakeClock();
    using channel = new Channel(edition("a"), clock);
    const [quick, slow, left] = [testSink(), testSink(), [] as string[]];
    channel.add(quick.sink, edition("a").mark, () => left.push("quick"));
    channel.add(slow.sink, undefined, () => left.push("slow"));
    slow.stop();
    await clock.advance(60_000);
    expect(quick.text()).toEqual([": alive\n\n", ": alive\n\n", ": alive\n\n", ": alive\n\n", ": alive\n\n"]);
    expect([left, channel.size, slow.text().length]).toEqual([["slow"], 1, 1]);
  });
});
