import { describe, expect, it } from "vitest";
import { join, startApi } from "../../../test/support/api-server.ts";
import { readEvents } from "../../../test/support/event-reader.ts";
import { FakeClock, settle } from "../../../test/support/fake-clock.ts";
import { createTestHub, liveOptions } from "../../../test/support/hub.ts";
import { audioTrack, videoTrack } from "../../../test/support/tiny-format.ts";
import type { DecisionRecord } from "../../access/decisions.ts";
import type { FallbackState } from "../../access/fallback/fallback-rule.ts";
import type { LimitState } from "../../access/limits/limit.ts";
import { allow } from "../../base/decision.ts";
import type { LogEntry } from "../../base/log.ts";
import { createSessions } from "../../sessions/sessions.ts";
import { defaultSessionSettings } from "../../sessions/session.ts";
import { eventStream } from "./event-stream.ts";
import { EventFeed, type FeedSources } from "./feed.ts";
import { eventKindNames } from "./kinds.ts";
import { EventRings } from "./rings.ts";

const everything = { kinds: eventKindNames, stream: undefined };

/** A feed over a real hub and real sessions whose clock stands still. */
function feedScene(most?: number, more: Partial<FeedSources> = {}) {
  const hub = createTestHub();
  const { clock, directory } = hub;
  const sessions = createSessions({ clock, log: { write: () => {} }, settings: () => defaultSessionSettings });
  const lines: ((entry: LogEntry) => void)[] = [];
  const log = {
    entries: () => [],
    onEntry: (run: (entry: LogEntry) => void) => {
      lines.push(run);
      return { [Symbol.dispose]: () => {} };
    },
  };
  const sources = { clock, directory, sessions, tagsOf: (name: string) => [`tag-of-${name}`], log, ...more };
  const feed = new EventFeed(sources, most === undefined ? undefined : () => most);
  const line = (message: string, stream = ""): void => {
    for (const run of lines) run({ unix: 1, kind: "INFO", message, stream });
  };
  return { feed, clock, directory, sessions, line };
}

/** Reads an answer by hand: one piece at a time. */
function handReader(stream: ReadableStream<Uint8Array>) {
  const reader = stream.getReader();
  const piece = async (): Promise<string | undefined> => {
    const { value, done } = await reader.read();
    return done ? undefined : new TextDecoder().decode(value);
  };
  const until = async (part: string): Promise<string> => {
    let text = "";
    for (let next = await piece(); next !== undefined; next = await piece()) {
      text += next;
      if (text.includes(part)) return text;
    }
    return text;
  };
  return { piece, until, cancel: () => reader.cancel() };
}

const data = (text: string): Record<string, unknown>[] =>
  [...text.matchAll(/^data: (.*)$/gm)].map(([, json = ""]) => JSON.parse(json) as Record<string, unknown>);
const ids = (text: string): number[] => [...text.matchAll(/^id: \w+-(\d+)$/gm)].map(([, digits]) => Number(digits));

describe("the rings", () => {
  it("number all kinds together, keep each by itself, and say what was lost", () => {
    const rings = new EventRings((kind) => (kind === "session" ? 3 : 10));
    rings.push("stream", "opened", 0, "a");
    for (let at = 0; at < 5; at++) rings.push("session", "begun", 0, `s${at}`);
    rings.push("stream", "state", 0, "b");
    const subjects = (position: number, kinds: readonly ("stream" | "session")[], most = 100) => {
      const { events, upTo, lost } = rings.after(position, kinds, most);
      return [events.map(({ subject }) => subject).join(" "), upTo, lost];
    };
    expect(subjects(0, ["stream"])).toEqual(["a b", 7, false]);
    expect(subjects(0, ["stream", "session"])).toEqual(["", 0, true]);
    expect(subjects(2, ["session"])).toEqual(["", 2, true]);
    expect(subjects(3, ["session", "stream"])).toEqual(["s2 s3 s4 b", 7, false]);
    expect(subjects(3, ["session", "stream"], 2)).toEqual(["s2 s3", 5, false]);
    expect(subjects(5, ["session", "stream"], 2)).toEqual(["s4 b", 7, false]);
    expect(subjects(7, ["session", "stream"])).toEqual(["", 7, false]);
    expect(rings.newest("session", 2).map(({ subject }) => subject)).toEqual(["s3", "s4"]);
  });
});

describe("the feed", () => {
  it("makes no text before somebody reads, and then one for all", async () => {
    const { feed, sessions, clock } = feedScene();
    await join(sessions, { stream: "live", token: "secret-1" });
    const [begun] = feed.newest("session", 1);
    expect([begun?.type, begun?.text]).toEqual(["begun", undefined]);
    const [one, other] = [0, 0].map((position) => handReader(eventStream(feed, everything, position)));
    const text = await one?.until("begun");
    expect(begun?.text).toBe(text);
    expect(await other?.until("begun")).toBe(text);
    expect(text).not.toContain("secret-1");
    await Promise.all([one?.cancel(), other?.cancel()]);
    await clock.advance(5000);
  });

  it("tells a stream's life, who pushes and watches, and a session's, with totals at its end", async () => {
    const { feed, clock, directory, sessions } = feedScene();
    const reader = handReader(eventStream(feed, everything, undefined));
    expect(data(await reader.until("\n\n"))[0]).toEqual({ streams: [], sessions: [], decisions: [], limits: [], fallbacks: [], log: [] });
    const writer = directory.publish("live", liveOptions);
    writer.describe([videoTrack({ id: 1 }), audioTrack({ id: 2, language: "de" })]);
    const viewer = await join(sessions, { stream: "live", address: "203.0.113.9" }, allow({ user: "ann", tags: ["gold"] }));
    viewer.count(1000, 10);
    sessions.tag(viewer.sessionId, "loud");
    const counting = reader.until('"viewers":1');
    await clock.advance(1020);
    const begun = data(await counting);
    const about = { name: "live", kind: "live", tags: ["tag-of-live"] };
    expect(begun[0]).toMatchObject({ type: "opened", at: clock.now() - 1020, stream: { ...about, state: "waiting", tracks: [] } });
    expect(begun[1]).toMatchObject({
      type: "tracks",
      stream: { tracks: [{ kind: "video", codec: "h264", width: 640 }, { language: "de" }] },
    });
    expect(JSON.stringify(begun[1])).not.toContain("config");
    const person = {
      id: viewer.sessionId,
      type: "viewer",
      stream: "live",
      host: "203.0.113.9",
      protocol: "HLS",
      user: "ann",
      tags: ["gold", "loud"],
    };
    expect(begun[2]).toMatchObject({ type: "begun", session: person });
    expect(begun.filter(({ type }) => type === "changed").at(-1)).toMatchObject({ session: person });
    expect(begun.at(-1)).toMatchObject({ type: "viewers", stream: { name: "live", viewers: 1, inputs: 0, outputs: 0 } });

    const ending = reader.until('"reason":"enough"');
    sessions.stop(({ id }) => id === viewer.sessionId, "no more");
    await writer.close({ code: "CLEAN_EOF", text: "enough" });
    await clock.advance(1000);
    const ended = data(await ending);
    const totals = { state: "ended", up: 1000, down: 10, streams: [["live", 2]], hosts: [["203.0.113.9", 2]] };
    expect(ended[0]).toMatchObject({ type: "ended", session: { ...person, ...totals }, reason: "no more" });
    expect(ended.at(-1)).toMatchObject({ type: "closed", stream: { ...about, state: "offline" }, reason: "enough" });
    await reader.cancel();
  });

  it("tells what viewers are shown while their stream is offline", async () => {
    const tellers: ((state: FallbackState) => void)[] = [];
    const slate: FallbackState = { stream: "live", shows: "slate", offlineSince: 5, liveAgain: false, switch: "offer" };
    const { feed } = feedScene(undefined, {
      fallbacks: {
        states: () => [slate],
        onChange: (run) => {
          tellers.push(run);
          return { [Symbol.dispose]: () => {} };
        },
      },
    });
    const reader = handReader(eventStream(feed, { kinds: ["fallback"], stream: "live" }, undefined));
    expect(data(await reader.until("\n\n"))[0]).toEqual({ fallbacks: [slate] });
    for (const tell of tellers) {
      tell({ ...slate, stream: "other" });
      tell({ ...slate, liveAgain: true, offlineSince: undefined });
    }
    const [event] = data(await reader.until("changed"));
    expect(event).toEqual({
      type: "changed",
      at: feed.clock.now(),
      fallback: { stream: "live", shows: "slate", liveAgain: true, switch: "offer" },
    });
    await reader.cancel();
  });

  it("goes on behind the last id without gap or repetition, wherever it was cut", async () => {
    const { feed, line } = feedScene();
    for (let at = 1; at <= 1000; at++) line(`line ${at}`);
    let position = 0;
    const got: string[] = [];
    while (got.length < 1000) {
      const reader = handReader(eventStream(feed, { kinds: ["log"], stream: undefined }, position));
      const text = (await reader.piece()) ?? "";
      await reader.cancel();
      // Cut in the middle of what came: whole events before it count.
      const whole = text.slice(0, text.lastIndexOf("\n\n", Math.floor(text.length / 3) + 300) + 2);
      got.push(...data(whole).map(({ log }) => (log as LogEntry).message));
      position = feed.numberOf(/.*^id: (\S+)$/ms.exec(whole)?.[1] ?? "") ?? Number.NaN;
    }
    expect(got).toEqual(Array.from({ length: 1000 }, (_, at) => `line ${at + 1}`));
  });

  it("knows its own ids only", () => {
    const [{ feed, line }, { feed: other }] = [feedScene(), feedScene()];
    line("one");
    expect(feed.numberOf(feed.idOf(1))).toBe(1);
    for (const id of [
      "",
      "1",
      "x-1",
      other.idOf(0),
      feed.idOf(2),
      `${feed.idOf(1)}-1`,
      feed.idOf(1).replace("-1", "--1"),
      feed.idOf(1).replace("-1", "-1e0"),
    ])
      expect([id, feed.numberOf(id)]).toEqual([id, undefined]);
  });

  it("cuts off who has fallen behind what is kept, with a word about it", async () => {
    const { feed, line } = feedScene(50);
    const reader = handReader(eventStream(feed, { kinds: ["log"], stream: undefined }, 0));
    line("first");
    expect(await reader.piece()).toContain("first");
    for (let at = 0; at < 51; at++) line(`line ${at}`);
    expect(await reader.piece()).toMatch(/^: too slow[^\n]*Last-Event-ID\n\n$/);
    expect(await reader.piece()).toBeUndefined();
    const again = handReader(eventStream(feed, { kinds: ["log"], stream: undefined }, feed.last - 50));
    expect(data((await again.piece()) ?? "")).toHaveLength(50);
    await again.cancel();
  });

  it("shows a sign of life with the newest id, so that a quiet reader does not fall behind", async () => {
    const { feed, line, clock } = feedScene();
    const reader = handReader(eventStream(feed, { kinds: ["stream"], stream: undefined }, 0));
    for (let at = 0; at < 7; at++) line("not for this reader");
    const next = reader.piece();
    await settle();
    await clock.advance(15_100);
    const text = (await next) ?? "";
    expect([text.startsWith(": "), ids(text), data(text)]).toEqual([true, [7], []]);
    await reader.cancel();
  });

  it("tells only of the stream that was asked for, or of all below a base name", async () => {
    const { feed, sessions, line } = feedScene();
    await join(sessions, { stream: "live+one", token: "a" });
    await join(sessions, { stream: "lively", token: "b" });
    line("about one", "live+one");
    line("about nothing");
    const shown = async (stream: string): Promise<unknown[]> => {
      const reader = handReader(eventStream(feed, { kinds: ["session", "log"], stream }, 0));
      const items = data((await reader.piece()) ?? "");
      await reader.cancel();
      return items.map(({ type, session, log }) => [
        type,
        (session as { stream: string } | undefined)?.stream ?? (log as LogEntry).message,
      ]);
    };
    const one = [
      ["begun", "live+one"],
      ["line", "about one"],
    ];
    expect([await shown("live+one"), await shown("live+"), await shown("lively")]).toEqual([one, one, [["begun", "lively"]]]);
  });

  it("carries decisions and limits, and has them in the snapshot", async () => {
    const decision = { id: "D1", stream: "live", reason: "no" } as DecisionRecord;
    const limit = { name: "two", key: "ann", closed: true } as LimitState;
    let decide: (record: DecisionRecord) => void = () => {};
    let close: (state: LimitState) => void = () => {};
    const nothing = { [Symbol.dispose]: () => {} };
    const { feed } = feedScene(undefined, {
      decisions: { find: () => [{ ...decision, id: "D2" }, decision], onDecision: (run) => ((decide = run), nothing) },
      limits: { states: () => [limit], onChange: (run) => ((close = run), nothing) },
    });
    decide(decision);
    close(limit);
    close({ ...limit, closed: false });
    const reader = handReader(eventStream(feed, everything, 0));
    expect(data((await reader.piece()) ?? "")).toMatchObject([
      { type: "made", decision },
      { type: "closed", limit },
      { type: "open", limit: { closed: false } },
    ]);
    const fresh = handReader(eventStream(feed, everything, undefined));
    expect(data(await fresh.until("\n\n"))[0]).toMatchObject({ decisions: [decision, { id: "D2" }], limits: [limit] });
    await Promise.all([reader.cancel(), fresh.cancel()]);
  });

  it("keeps no timer and no listener when the last reader has gone", async () => {
    const clock = new FakeClock();
    let timers = 0;
    const every = clock.every.bind(clock);
    clock.every = (ms, run) => {
      timers++;
      const timer = every(ms, run);
      return { [Symbol.dispose]: () => (timers--, timer[Symbol.dispose]()) };
    };
    const { feed } = feedScene(undefined, { clock });
    const aborter = new AbortController();
    const overs: string[] = [];
    const one = handReader(eventStream(feed, everything, 0, { over: () => overs.push("one") }));
    const other = handReader(eventStream(feed, everything, 0, { over: () => overs.push("other"), signal: aborter.signal }));
    expect(timers).toBe(1);
    const waiting = other.piece();
    await one.cancel();
    aborter.abort();
    expect([await waiting, overs, timers]).toEqual([undefined, ["one", "other"], 0]);
  });
});

describe("GET /api/v1/events", () => {
  it("answers with a snapshot, then each change, and continues by header or parameter", async () => {
    await using api = await startApi({ streams: { live: {} } });
    const url = `http://127.0.0.1:${api.port}/api/v1/events?kinds=session,stream`;
    using first = await readEvents(url);
    expect([first.status, first.headers["content-type"], first.headers["cache-control"]]).toEqual([200, "text/event-stream", "no-store"]);
    await first.until(({ event }) => event === "snapshot");
    expect(first.of("snapshot")[0]).toMatchObject({ streams: [{ name: "live", state: "ready" }], sessions: [] });
    await join(api.sessions, { stream: "live", token: "secret-token" });
    await api.clock.advance(100);
    await first.until((_, { type }) => type === "begun");
    const id = first.lastId();
    first[Symbol.dispose]();
    await join(api.sessions, { stream: "live", token: "b" });
    await join(api.sessions, { stream: "live", token: "c" });
    for (const again of [() => readEvents(url, { "Last-Event-ID": id }), () => readEvents(`${url}&lastEventId=${id}`)]) {
      using second = await again();
      await second.until(() => second.of("session").filter(({ type }) => type === "begun").length === 2);
      expect(second.of("snapshot")).toEqual([]);
    }
    using stranger = await readEvents(url, { "Last-Event-ID": "feed00000000-3" });
    await stranger.until(({ event }) => event === "snapshot");
    expect(stranger.of("snapshot")[0]?.["sessions"]).toHaveLength(3);
    expect(JSON.stringify([first.events, stranger.events])).not.toContain("secret-token");
  });

  it("says what is wrong with a question, and asks who comes from elsewhere for an account", async () => {
    await using api = await startApi();
    const ask = (path: string, headers = {}) => api.ask({ method: "GET", path: `/api/v1/events${path}`, headers });
    const unknown = await ask("?kinds=stream,nonsense");
    expect([unknown.status, unknown.json["detail"]]).toEqual([
      400,
      'kinds has "nonsense"; it must be some of stream, session, decision, limit, fallback, log, with commas between them',
    ]);
    expect((await ask("?kind=stream")).status).toBe(400);
    expect((await ask("", { Origin: "https://elsewhere.example" })).status).toBe(401);
    expect((await ask("", { "X-Forwarded-For": "203.0.113.1" })).status).toBe(401);
  });

  it("keeps the log from a token that may only read", async () => {
    await using api = await startApi();
    const { text } = await api.parts.apiTokens.create({ name: "reader", scope: "read" });
    const headers = { Authorization: `Bearer ${text}` };
    using reader = await readEvents(`http://127.0.0.1:${api.port}/api/v1/events`, headers);
    await reader.until(({ event }) => event === "snapshot");
    expect(Object.keys(reader.of("snapshot")[0] ?? {})).toEqual(["streams", "sessions", "decisions", "limits", "fallbacks"]);
    const refused = await api.ask({ method: "GET", path: "/api/v1/events?kinds=log", headers });
    expect([refused.status, refused.json["detail"]]).toEqual([403, 'kinds=log needs the scope "operate"; "reader" has "read"']);
  });

  it("cuts off a reader that takes nothing, keeps only what the socket holds, and goes on for the others", async () => {
    await using api = await startApi();
    const url = `http://127.0.0.1:${api.port}/api/v1/events?kinds=log`;
    using slow = await readEvents(url);
    using quick = await readEvents(url);
    await Promise.all([slow.until(({ event }) => event === "snapshot"), quick.until(({ event }) => event === "snapshot")]);
    slow.pause();
    const filler = "x".repeat(50_000);
    for (let round = 0; round < 60; round++) {
      for (let at = 0; at < 20; at++) api.parts.log.write("INFO", `${round} ${at} ${filler}`);
      await api.clock.advance(20);
      await quick.until((_, { type, log }) => type === "line" && (log as LogEntry).message.startsWith(`${round} 19 `));
    }
    slow.resume();
    await slow.closed;
    expect(slow.comments.at(-1)).toContain("come back with Last-Event-ID");
    expect(slow.events.length).toBeLessThan(1201);
    expect(quick.events).toHaveLength(1201);
  }, 30_000);
});
