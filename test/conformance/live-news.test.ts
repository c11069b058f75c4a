import { WebSocket } from "ws";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type EventReader, readEvents, type SseEvent } from "../support/event-reader.ts";
import { startEncoder } from "../support/encoder.ts";
import { publishSample } from "../support/rtmp-publisher.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";
import { get, view } from "../support/viewer.ts";

type Listed = { name: string; since: string; tracks: { kind: string }[]; urls: { type: string; url: string }[]; viewers?: number };

const config = {
  streams: {
    live: { source: "push://", tags: ["sports"] },
    radio: { source: "push://", tags: ["music"] },
    private: { source: "push://", hidden: true },
    tagged: { source: "push://", tags: ["hidden"] },
  },
  liveList: { viewers: true, readers: 500 },
  triggers: {} as Record<string, unknown>,
};

/** Everything that tells live, as a running server does it: nobody polls, nobody misses anything. */
describe("news of a running server", () => {
  let sluice: Sluice;
  beforeAll(async () => {
    sluice = await startSluice({ config });
  }, 30_000);
  afterAll(() => sluice?.[Symbol.asyncDispose]());

  const api = (path: string): string => `http://127.0.0.1:${sluice.ports.api}${path}`;
  const listed = async (query = ""): Promise<Listed[]> =>
    ((await (await fetch(sluice.http(`live.json${query}`))).json()) as { streams: Listed[] }).streams;
  const named = async (query = ""): Promise<string> => (await listed(query)).map(({ name }) => name).join(" ");
  const isLive = (name: string): Promise<void> =>
    expect
      .poll(
        async () =>
          ((await sluice.api({ active_streams: ["status"] })) as { active_streams?: Record<string, string[]> }).active_streams?.[name],
        {
          timeout: 20_000,
        },
      )
      .toEqual(["Online"]);

  it("/live.json lists a pushed stream from the moment in which it plays until it ends, with what opens it", async () => {
    using list = await readEvents(sluice.http("live.json"));
    await list.until(({ event }) => event === "list");
    expect(list.of("list")).toEqual([{ streams: [] }]);
    const begun = Date.now();
    await using encoder = startEncoder(sluice.rtmp("live/live+one"));
    await list.until(({ event }) => event === "added");
    const [entry] = await listed();
    expect(list.of("added")[0]).toMatchObject({
      name: "live+one",
      tracks: [{ kind: "video", codec: "h264", width: 320 }, { codec: "aac" }],
    });
    const since = Date.parse(entry?.since ?? "");
    expect([since > begun, since <= Date.now()]).toEqual([true, true]);

    const flv = entry?.urls.find(({ type }) => type === "flash/7")?.url ?? "";
    const hls = entry?.urls.find(({ type }) => type === "html5/application/vnd.apple.mpegurl")?.url ?? "";
    using viewer = await view(sluice.http(flv));
    await viewer.atLeast(5000);
    expect((await get(sluice.http(hls))).text).toContain("#EXTM3U");
    await list.until(({ event }, { viewers }) => event === "changed" && viewers === 2);
    const etag = (await fetch(sluice.http("live.json"))).headers.get("etag") ?? "";
    expect(etag).toBe(`"${list.lastId()}"`);
    expect((await fetch(sluice.http("live.json"), { headers: { "If-None-Match": etag } })).status).toBe(304);
    expect([await named("?tag=sports"), await named("?tag=music"), await named("?prefix=live%2B"), await named("?prefix=x")]).toEqual([
      "live+one",
      "",
      "live+one",
      "",
    ]);
    await encoder.stop();
    await list.until(({ event }, { name }) => event === "removed" && name === "live+one");
    expect(await listed()).toEqual([]);
  });

  it("/live.json shows no hidden stream, and looking begins no session", async () => {
    const before = (await sluice.api({ clients: {} })) as { clients: { data: unknown[] | null } };
    const publishers = await Promise.all(["private", "tagged", "radio"].map((name) => publishSample(sluice.ports.rtmp, name)));
    for (const name of ["private", "tagged", "radio"]) await isLive(name);
    const response = await fetch(sluice.http("live.json"), { headers: { Origin: "https://site.example" } });
    expect([response.headers.get("access-control-allow-origin"), response.headers.get("set-cookie")]).toEqual(["*", null]);
    const text = await response.text();
    expect([text.includes("radio"), text.includes("private"), text.includes("tagged")]).toEqual([true, false, false]);
    const after = (await sluice.api({ clients: {} })) as { clients: { fields: string[]; data: unknown[][] } };
    const kinds = after.clients.data.map((row) => String(row[after.clients.fields.indexOf("protocol")]));
    expect(kinds.filter((kind) => kind === "HTTP")).toEqual([]);
    expect(before.clients.data?.length ?? 0).toBeLessThanOrEqual(after.clients.data.length);
    for (const { socket } of publishers) socket.destroy();
  });

  it("/live.json is followed by 500 readers who all hear the same, and by no more than the setting allows", async () => {
    const readers: EventReader[] = [];
    try {
      for (let at = 0; at < 500; at += 50) {
        readers.push(...(await Promise.all(Array.from({ length: 50 }, () => readEvents(sluice.http("live.json"))))));
      }
      expect(readers.filter(({ status }) => status === 200)).toHaveLength(500);
      const more = await fetch(sluice.http("live.json?stream"));
      expect([more.status, Number(more.headers.get("retry-after")) > 0, (await fetch(sluice.http("live.json"))).status]).toEqual([
        503,
        true,
        200,
      ]);
      const publisher = await publishSample(sluice.ports.rtmp, "radio");
      await Promise.all(readers.map((reader) => reader.until(({ event, data }) => event === "added" && data.includes('"radio"'))));
      publisher.socket.destroy();
      await Promise.all(readers.map((reader) => reader.until(({ event }, { name }) => event === "removed" && name === "radio")));
      const heard = ({ events }: EventReader): string =>
        events
          .slice(events.findIndex(({ event }) => event === "added"))
          .map(({ event, data }) => `${event} ${data}`)
          .join("\n");
      const [first] = readers;
      expect(new Set(readers.map(heard)).size).toBe(1);
      expect(first && heard(first)).toMatch(/^added .*\n(changed .*\n)*removed /);
    } finally {
      for (const reader of readers) reader[Symbol.dispose]();
    }
  });

  it("/api/v1/events loses nothing and repeats nothing when the connection is cut again and again", async () => {
    const url = api("/api/v1/events?kinds=stream,session");
    using whole = await readEvents(url);
    await whole.until(({ event }) => event === "snapshot");
    const pieces: SseEvent[] = [];
    let piece = await readEvents(url, { "Last-Event-ID": whole.lastId() });
    let cuts = 0;
    const cut = async (): Promise<void> => {
      pieces.push(...piece.events);
      const id = piece.lastId();
      piece[Symbol.dispose]();
      cuts++;
      // What happens now is heard by the one and missed by the other.
      await get(sluice.http(`json_radio.js?tkn=between-${cuts}`));
      piece = await readEvents(url, { "Last-Event-ID": id });
    };
    const publisher = await publishSample(sluice.ports.rtmp, "radio");
    await isLive("radio");
    for (let at = 0; at < 5; at++) {
      const response = await get(sluice.http(`json_radio.js?tkn=viewer-${at}`));
      expect(response.status).toBe(200);
      await cut();
    }
    const { clients } = (await sluice.api({ clients: {} })) as { clients: { fields: string[]; data: unknown[][] } };
    const ids = clients.data.map((row) => row[clients.fields.indexOf("sessid")]);
    await sluice.api({ stop_sessid: ids });
    publisher.socket.destroy();
    const over = ({ event }: SseEvent, { type, stream }: Record<string, unknown>): boolean =>
      event === "stream" && type === "closed" && (stream as { name: string }).name === "radio";
    await Promise.all([whole.until(over), piece.until(over)]);
    pieces.push(...piece.events);
    piece[Symbol.dispose]();

    const told = (events: readonly SseEvent[]): string[] =>
      events.filter(({ event }) => event !== "snapshot").map(({ id, event, data }) => `${id} ${event} ${data}`);
    const last = pieces.at(-1)?.id;
    const all = told(whole.events.slice(0, whole.events.findIndex(({ id }) => id === last) + 1));
    expect(cuts).toBe(5);
    expect(told(pieces)).toEqual(all);
    expect(all.filter((line) => line.includes('"type":"begun"')).length).toBeGreaterThanOrEqual(10);
    const numbers = all.map((line) => Number(/-(\d+) /.exec(line)?.[1]));
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
    expect(all.join()).not.toMatch(/viewer-\d|between-\d/);
  });

  it("an id of a run before gets a fresh snapshot", async () => {
    await using second = await startSluice({ config: { streams: { live: "push://" } } });
    using before = await readEvents(api("/api/v1/events"));
    await before.until(({ event }) => event === "snapshot");
    using after = await readEvents(`http://127.0.0.1:${second.ports.api}/api/v1/events`, { "Last-Event-ID": before.lastId() });
    const snapshot = await after.until(({ event }) => event === "snapshot");
    expect(Object.keys(JSON.parse(snapshot.data) as object)).toEqual(["streams", "sessions", "decisions", "limits", "fallbacks", "log"]);
  });

  it("/api/v1/events tells of each decision and of limits that are reached, and shows no token", async () => {
    const limits = { "one-place": { by: "stream", sessions: 1, reason: "the hall is full" } };
    await using other = await startSluice({ config: { streams: { live: "push://" }, limits } });
    using events = await readEvents(`http://127.0.0.1:${other.ports.api}/api/v1/events?kinds=decision,limit`);
    await events.until(({ event }) => event === "snapshot");
    const publisher = await publishSample(other.ports.rtmp, "live");
    await expect.poll(async () => (await get(other.http("json_live.js?tkn=first-viewer"))).text, { timeout: 20_000 }).toContain("H264");
    using first = await view(other.http("live.flv?tkn=first-viewer"));
    await first.atLeast(1000);
    expect((await get(other.http("live.flv?tkn=second-viewer"))).status).toBe(503);
    const denied = JSON.parse((await events.until((_, { decision }) => (decision as { result?: string })?.result === "deny")).data) as {
      decision: Record<string, unknown>;
    };
    expect(denied.decision).toMatchObject({ kind: "play", stream: "live", address: "127.0.0.1", reason: "the hall is full" });
    expect(denied.decision["tokenHash"]).toMatch(/^[0-9a-f]{16}$/);
    await events.until(({ event }, { type }) => event === "limit" && type === "closed");
    expect(events.of("limit")[0]).toMatchObject({ limit: { name: "one-place", key: "live", used: 1, most: 1, closed: true } });
    await other.api({ stop_sessions: "live" });
    await events.until(({ event }, { type }) => event === "limit" && type === "open");
    expect(JSON.stringify(events.events)).not.toMatch(/first-viewer|second-viewer/);
    publisher.socket.destroy();
  });

  it("/ws tells a client that was written for MistServer of streams, sessions' ends and the log", async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${sluice.ports.api}/ws?streams=1&accs=0&logs=0`);
    const frames: [string, unknown][] = [];
    socket.on("message", (data) => void frames.push(JSON.parse(String(data)) as [string, unknown]));
    const heard = (kind: string, fits: (item: unknown[]) => boolean) =>
      expect.poll(() => frames.some(([name, item]) => name === kind && fits(item as unknown[])), { timeout: 20_000 }).toBe(true);
    await heard("auth", () => true);
    expect(frames[0]).toEqual(["auth", true]);
    const publisher = await publishSample(sluice.ports.rtmp, "live");
    await heard("stream", ([name, status, , inputs, , tags]) => name === "live" && status === 4 && inputs === 1 && tags === "[sports]");
    using viewer = await view(sluice.http("live.flv?tkn=ws-viewer"));
    await viewer.atLeast(1000);
    await heard("stream", ([name, , viewers]) => name === "live" && viewers === 1);
    const { clients } = (await sluice.api({ clients: { protocols: ["FLV"] } })) as { clients: { fields: string[]; data: unknown[][] } };
    const id = clients.data[0]?.[clients.fields.indexOf("sessid")];
    await sluice.api({ stop_sessid: id });
    await heard("access", ([, session, name, connector, host]) => `${session} ${name} ${connector} ${host}` === `${id} live FLV 127.0.0.1`);
    publisher.socket.destroy();
    await heard("stream", ([name, status]) => name === "live" && status === 0);
    await heard("log", (line) => line.length === 7 && line[5] === "sluice");
    expect(JSON.stringify(frames)).not.toContain("ws-viewer");
    socket.close();
  });

  it("/ws takes no web page of another site for a local program", async () => {
    const first = (origin: string): Promise<string> =>
      new Promise((resolve, reject) => {
        const socket = new WebSocket(`ws://127.0.0.1:${sluice.ports.api}/ws?logs=10`, { headers: { Origin: origin } });
        socket.once("error", reject);
        socket.once("message", (data) => {
          socket.close();
          resolve(String(data));
        });
      });
    expect([await first("https://elsewhere.example"), await first(api("").replace(/\/$/, ""))]).toEqual([
      '["auth",false]',
      '["auth",true]',
    ]);
  });

  it("json_NAME.js over a WebSocket says when the stream comes and goes", async () => {
    const socket = new WebSocket(sluice.http("json_live.js").replace("http:", "ws:"));
    const infos: Record<string, unknown>[] = [];
    socket.on("message", (data) => void infos.push(JSON.parse(String(data)) as Record<string, unknown>));
    const heard = (what: Record<string, unknown>) => expect.poll(() => infos.at(-1), { timeout: 20_000 }).toMatchObject(what);
    await heard({ error: "Stream is offline" });
    const publisher = await publishSample(sluice.ports.rtmp, "live");
    await heard({ type: "live", source: expect.arrayContaining([expect.objectContaining({ type: "flash/7" })]) });
    publisher.socket.destroy();
    await heard({ error: "Stream is offline" });
    socket.close();
  });
});

describe("a server whose list is switched off", () => {
  it("has no /live.json", async () => {
    await using sluice = await startSluice({ config: { streams: { live: "push://" }, liveList: false } });
    expect((await fetch(sluice.http("live.json"))).status).toBe(404);
  });
});
