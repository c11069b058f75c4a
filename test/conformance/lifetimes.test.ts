import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { keep } from "../../src/base/decision.ts";
import { createServer, type SluiceServer } from "../../src/server.ts";
import { type TriggerName, triggers } from "../../src/triggers/table.ts";
import type { Answer } from "../../src/triggers/trigger.ts";
import { sampleMedia } from "../support/media.ts";
import type { RtmpClient } from "../support/rtmp-client.ts";
import { openPublisher, publishSample } from "../support/rtmp-publisher.ts";
import { type HttpViewer, view } from "../support/viewer.ts";

type Called = { readonly name: TriggerName; readonly about: string; readonly word: string };

/** One way in which something ends: what is there before, and what is done. Each plays on a stream of its own. */
type Cause = {
  readonly cause: string;
  readonly stream: string;
  readonly before?: (stream: string) => Promise<void>;
  readonly provoke: (stream: string) => Promise<unknown>;
};

/** `| cause | what closes | triggers |`: docs/design/lifetimes.md is the expectation. */
function documented(): ReadonlyMap<string, readonly string[]> {
  const page = readFileSync(new URL("../../docs/design/lifetimes.md", import.meta.url), "utf8");
  const rows = page.split("\n").filter((line) => line.startsWith("| ") && !line.startsWith("| what happens"));
  return new Map(
    rows.map((row) => {
      const [, cause = "", , told = ""] = row
        .split(" | ")
        .map((cell) => cell.replace(/^\| /, "").trim())
        .toSpliced(0, 0, "");
      return [cause, [...told.matchAll(/`([A-Z_]+)`(?: (EMPTY))?/g)].map(([, name, state]) => (state ? `${name} ${state}` : `${name}`))];
    }),
  );
}

describe("who dies when", () => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-lifetimes-"));
  const calls: Called[] = [];
  const waiting = new Set<() => void>();
  const publishers = new Map<string, RtmpClient>();
  const viewers = new Map<string, HttpViewer>();
  const open: (AsyncDisposable | Disposable)[] = [];
  const said: Partial<Record<TriggerName, (stream: string) => boolean>> = {
    STREAM_READY: (stream) => stream !== "unready",
    USER_NEW: (stream) =>
      !(stream === "denied" && calls.some(({ name, about }) => name === "USER_NEW" && about === stream && seen.has(stream))),
    LIVE_BANDWIDTH: (stream) => !seen.has(stream) || stream !== "heavy",
  };
  /** Streams whose end has been provoked, with the number of calls before it. */
  const seen = new Map<string, number>();
  let server: SluiceServer;

  const http = (path: string): string => `http://127.0.0.1:${server.ports.http}/${path}`;
  const called = (name: TriggerName, about: string, word = ""): Promise<void> =>
    new Promise((resolve) => {
      const look = (): void => {
        if (!calls.some((call) => call.name === name && call.about === about && call.word.includes(word))) return;
        waiting.delete(look);
        resolve();
      };
      waiting.add(look);
      look();
    });
  const api = (command: object): Promise<Response> =>
    fetch(`http://127.0.0.1:${server.ports.api}/api2`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(command),
    });

  async function publish(stream: string): Promise<void> {
    const client = await publishSample(server.ports.rtmp, stream);
    publishers.set(stream, client);
    open.push(client);
    await called("STREAM_BUFFER", stream, "FULL");
  }
  async function watch(stream: string): Promise<void> {
    const viewer = await view(http(`${stream}.flv`), { Connection: "close" });
    viewers.set(stream, viewer);
    open.push(viewer);
    await viewer.atLeast(500);
  }
  const both = async (stream: string): Promise<void> => {
    await publish(stream);
    await watch(stream);
  };
  const session = (stream: string): string => server.control.viewers(stream)[0]?.sessionId ?? "";
  const leave = async (stream: string): Promise<void> => void publishers.get(stream)?.socket.end();

  const causes: readonly Cause[] = [
    {
      cause: "a viewer over FLV or RTMP closes its socket",
      stream: "closing",
      before: both,
      provoke: async (stream) => viewers.get(stream)?.[Symbol.dispose](),
    },
    {
      cause: "a viewer over HLS asks no more",
      stream: "hls",
      before: publish,
      provoke: async (stream) => (await view(http(`hls/${stream}/index.m3u8`), { Connection: "close" })).closed,
    },
    { cause: "a publisher closes its socket", stream: "left", before: publish, provoke: leave },
    { cause: "a publisher leaves while somebody watches", stream: "watched", before: both, provoke: leave },
    { cause: "a publisher of a stream with `resume` leaves", stream: "resumed", before: publish, provoke: leave },
    {
      cause: "a publisher sends bad bytes",
      stream: "broken",
      before: publish,
      provoke: async (stream) =>
        publishers.get(stream)?.send({ type: 3, payload: new Uint8Array(0) }, { type: 9, payload: Uint8Array.of(0x17, 0, 0, 0, 0, 1) }),
    },
    {
      cause: "a publisher is silent for 2 s, another one comes",
      stream: "silent",
      before: publish,
      provoke: async (stream) => {
        await new Promise((resolve) => setTimeout(resolve, 2_100)); // the rule is about real time
        await publish(stream);
      },
    },
    {
      cause: "`stop_sessid` of a viewer",
      stream: "stopped",
      before: both,
      provoke: async (stream) => server.control.stopSessions([session(stream)]),
    },
    { cause: "`stop_sessions` of a stream", stream: "swept", before: both, provoke: (stream) => api({ stop_sessions: stream }) },
    { cause: "`nuke_stream`", stream: "nuked", before: publish, provoke: (stream) => api({ nuke_stream: stream }) },
    {
      cause: "`invalidate_sessions`, the answer is no",
      stream: "denied",
      before: both,
      provoke: (stream) => server.control.invalidateSessions(stream),
    },
    {
      cause: "`invalidate_sessions`, the answer is yes",
      stream: "allowed",
      before: both,
      provoke: (stream) => server.control.invalidateSessions(stream),
    },
    { cause: "`LIVE_BANDWIDTH` says no", stream: "heavy", before: publish, provoke: async (stream) => publishers.get(stream)?.closed },
    {
      cause: "`STREAM_READY` says no to a push",
      stream: "unready",
      provoke: (stream) => openPublisher(server.ports.rtmp, stream).catch(() => undefined),
    },
    {
      cause: "a recording has been played to its end",
      stream: "film",
      provoke: async (stream) => (await view(http(`${stream}.flv`), { Connection: "close" })).closed,
    },
    {
      cause: "a recording cannot be opened",
      stream: "missing",
      provoke: async (stream) => (await view(http(`${stream}.flv`), { Connection: "close" })).closed,
    },
  ];

  /** What was called about a stream since its end was provoked, in order. */
  function told(stream: string): string[] {
    return calls
      .slice(seen.get(stream))
      .filter(
        ({ name, about, word }) => about === stream && !(name === "LIVE_BANDWIDTH" && stream !== "heavy") && !/DRY|RECOVER/.test(word),
      )
      .map(({ name, word }) => (word === "EMPTY" ? `${name} ${word}` : name));
  }

  beforeAll(async () => {
    const film = await sampleMedia({ video: "h264", audio: "aac", seconds: 2, container: "mp4" });
    server = await createServer(
      {
        ...{ host: "127.0.0.1", rtmpPort: 0, httpPort: 0, apiPort: 0, data: join(folder, "data") },
        streams: {
          ending: { source: "push://" },
          ...Object.fromEntries(causes.map(({ stream }) => [stream, { source: "push://" }])),
          resumed: { source: "push://", resume: true },
          film: { source: film, inputtimeout: 1 },
          missing: { source: join(folder, "missing.mp4") },
        },
      },
      { logLine: () => {} },
    );
    for (const name of Object.keys(triggers) as TriggerName[]) {
      server.on(name, (payload) => {
        const { stream, streams, state } = payload as { stream?: string; streams?: string; state?: string };
        const about = stream ?? streams ?? "";
        const yes = said[name]?.(about) ?? true;
        calls.push({ name, about, word: state ?? "" });
        for (const look of waiting) look();
        return (triggers[name].answer === "verdict" ? yes : triggers[name].answer === "rewrite" ? keep() : undefined) as Answer<
          typeof name
        >;
      });
    }
    await Promise.all(causes.map(({ before, stream }) => before?.(stream)));
    await Promise.all(
      causes.map(async ({ stream, provoke }) => {
        seen.set(stream, calls.length);
        await provoke(stream);
      }),
    );
    // Sessions and streams end when nothing has happened for 15 seconds.
    await new Promise((resolve) => setTimeout(resolve, 19_000));
  }, 60_000);
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
    for (const one of open) await (Symbol.asyncDispose in one ? one[Symbol.asyncDispose]() : one[Symbol.dispose]());
    rmSync(folder, { recursive: true, force: true });
  });

  it.each(causes)("$cause", ({ cause, stream }) => {
    expect(told(stream)).toEqual(documented().get(cause));
  });

  it("each cause of the page is provoked here", () => {
    const ours = [...causes.map(({ cause }) => cause), expect.stringMatching(/^SIGTERM/)];
    expect([...documented().keys()]).toEqual(ours);
  });

  it("SIGTERM, SIGINT, `shutdown`: everything", async () => {
    const cause = [...documented().keys()].find((words) => words.startsWith("SIGTERM"));
    await both("ending");
    seen.set("ending", calls.length);
    said.SYSTEM_STOP = () => false;
    expect(await server.stop("a test")).toBe(false);
    delete said.SYSTEM_STOP;
    expect(await server.stop("a test")).toBe(true);
    const names = calls.slice(seen.get("ending")).filter(({ name, about }) => name === "SYSTEM_STOP" || about === "ending");
    const words = names.map(({ name, word }) => (word === "EMPTY" ? `${name} ${word}` : name)).filter((name) => name !== "LIVE_BANDWIDTH");
    // Asked twice here: the first answer was no.
    expect(words).toEqual(["SYSTEM_STOP", ...(documented().get(cause ?? "") ?? [])]);
  });
});
