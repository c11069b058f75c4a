import { openStore } from "../../src/store/store.ts";
import type { NamedPolicy } from "../../src/policies/active.ts";
import type { FallbackState } from "../../src/access/fallback/fallback-rule.ts";
import { createDecisions } from "../../src/access/decisions.ts";
import { mkdtempSync, rmSync } from "node:fs";
import { request as httpRequest, Agent } from "node:http";
import { tmpdir } from "node:os";
import { join as joinPath } from "node:path";
import type { Server } from "node:net";
import type { LogEntry } from "../../src/base/log.ts";
import { EventFeed } from "../../src/api/events/feed.ts";
import { ApiTokens } from "../../src/api/auth/api-tokens.ts";
import type { ApiParts, ListeningPort } from "../../src/api/parts.ts";
import { bandwidthOf } from "../../src/api/mist/settings/kept.ts";
import { createApi } from "../../src/api/server.ts";
import { createStreamTags } from "../../src/access/stream-tags.ts";
import { LimitKeeper } from "../../src/access/limits/limit-keeper.ts";
import { type ChangeStore, openConfiguration } from "../../src/config/configuration.ts";
import { readConfiguration } from "../../src/config/load.ts";
import { allow, type Verdict } from "../../src/base/decision.ts";
import { createTrustedProxies, clientAddress } from "../../src/host/peer-address.ts";
import { listen } from "../../src/host/listen.ts";
import { createWebSocketAcceptor } from "../../src/host/websocket-peer.ts";
import type { Protocol } from "../../src/protocols/protocol.ts";
import type { Identity, Sessions } from "../../src/sessions/session.ts";
import { createMetrics } from "../../src/metrics/metrics.ts";
import { createSessions } from "../../src/sessions/sessions.ts";
import type { ApiTokenRow, ApiTokenStore } from "../../src/store/api-tokens.ts";
import type { Stream, StreamDirectory, StreamState } from "../../src/streams/stream.ts";
import { createTriggers } from "../../src/triggers/bus.ts";
import { openJournal } from "../../src/triggers/journal/journal.ts";
import { createOutbox } from "../../src/triggers/delivery/outbox.ts";
import { FakeClock } from "./fake-clock.ts";
import { createMemoryLetters } from "./memory-letters.ts";

/** Stands in for what plays: the API only reads a few facts of it. */
export type PlayingStream = { state?: StreamState; lastMs?: number; unix?: number; tracks?: number; health?: Record<string, unknown> };

export type ApiOptions = { readonly config?: unknown; readonly streams?: Record<string, PlayingStream>; readonly store?: ChangeStore };

export type ApiAnswer = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  /** The JSON of the answer; empty if it has none. */
  readonly json: Record<string, unknown>;
};

export type ApiRequest = {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | null;
};

/** The API on a free port with real sessions, a real configuration in memory, and a clock that stands still. */
export async function startApi({ config = {}, streams = {}, store = memoryStore() }: ApiOptions = {}) {
  const clock = new FakeClock();
  const lines: LogEntry[] = [];
  const log: ApiParts["log"] = {
    write(kind, message, fields) {
      const entry = { unix: Math.floor(clock.now() / 1000), kind, message, stream: fields?.stream ?? "" };
      lines.push(entry);
      for (const run of onLine) run(entry);
    },
  };
  const onLine = new Set<(entry: LogEntry) => void>();
  const onEntry = (run: (entry: LogEntry) => void): Disposable => {
    onLine.add(run);
    return { [Symbol.dispose]: () => void onLine.delete(run) };
  };
  const loaded = readConfiguration(config, "sluice.config.json", fakeProtocols);
  const configuration = await openConfiguration({ ...loaded, file: undefined, overrides: {} }, store, log);
  const limits = new LimitKeeper({
    clock,
    log,
    rules: () => configuration.settings.limits,
    streamTags: (stream) => streamTags.tagsOf(stream),
    bitrate: () => 0,
    rates: () => sessions.rates(),
    endPublisher: () => undefined,
  });
  const sessions = createSessions({ clock, log, settings: () => configuration.sessions, places: limits });
  const folder = mkdtempSync(joinPath(tmpdir(), "sluice-api-"));
  const journal = openJournal({ directory: folder, clock, log });
  const letters = createMemoryLetters();
  const outbox = createOutbox({ store: letters, clock, log, limits: { attempts: 1, drainMs: 0 } });
  const triggers = createTriggers({
    log,
    clock,
    identity: { version: "0.1.0", instance: "a", pid: 1, serverId: () => "" },
    journal,
    outbox,
  });
  const listening: ListeningPort[] = [
    { connector: "HTTP", host: "127.0.0.1", port: 8080 },
    { connector: "RTMP", host: "127.0.0.1", port: 1935 },
    { connector: "FLV", host: "127.0.0.1", port: 8080 },
  ];
  const stopped: string[] = [];
  const policies: NamedPolicy[] = [];
  const tokenStore = await openStore(joinPath(folder, "tokens"), { now: () => clock.now() });
  const reloads: string[] = [];
  const proxies = createTrustedProxies(() => configuration.settings.trustedproxy);
  const directory = fakeDirectory(streams);
  const metrics = createMetrics({
    clock,
    sessions,
    directory,
    triggers,
    outbox,
    version: "0.1.0",
    serverId: () => "",
    bandwidthLimit: () => bandwidthOf(configuration.settings).limit,
    logLines: () => lines.length,
    limits,
    policyCounts: () => [{ policy: "pushTokens", result: "deny", count: 1 }],
  });
  const streamTags = createStreamTags({ clock, directory, configured: (base) => configuration.stream(base)?.tags ?? [] });
  const acceptWebSocket = createWebSocketAcceptor(clock);
  const decisions = createDecisions({ clock });
  const fallbacks: FallbackState[] = [];
  const moves: string[] = [];
  const programs: ApiParts["programs"] = {
    move: async (name, to) => void moves.push(`${name} to ${to}`),
    state: (name) => fallbacks.find(({ stream }) => stream === name),
  };
  const parts: ApiParts = {
    events: new EventFeed({ clock, directory, sessions, tagsOf: streamTags.tagsOf, log: { entries: () => lines, onEntry } }),
    acceptWebSocket: (request, socket, head) => acceptWebSocket(request, socket, head, {}),
    configuration,
    directory,
    metrics,
    sessions,
    triggers,
    journal,
    outbox,
    apiTokens: new ApiTokens({ store: memoryApiTokens(), clock, log }),
    tokenBook: tokenStore.tokens,
    policies: () => policies,
    tokens: { verify: async () => ({ kind: "none" }), streamOf: () => undefined, onChange: () => new DisposableStack() },
    decisions,
    limits,
    streamTags,
    programs,
    reloadStatus: () => ({ loads: 1, loadedAt: 0 }),
    reload: async (reason) => reloads.push(reason) > 0,
    log,
    logEntries: () => lines,
    protocols: fakeProtocols,
    listening: () => listening,
    identity: { instance: "abcdefghijklmnop", version: "0.1.0" },
    clock,
    clientAddress: (peer, headers) => clientAddress(peer, headers, proxies),
    peerAddress: (socket) => socket.remoteAddress ?? "",
    open: (server: Server, { address, port, option }) => listen(server, { address, port, option, log }),
    stop: () => void stopped.push("stopped"),
  };
  triggers.configure(configuration.settings.triggers);
  configuration.onChange((now) => triggers.configure(now.triggers));
  const listener = await createApi(parts).listen("127.0.0.1", 0);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  return {
    parts,
    decisions,
    policies,
    clock,
    sessions,
    triggers,
    journal,
    outbox,
    configuration,
    streams,
    lines,
    stopped,
    moves,
    fallbacks,
    reloads,
    port: listener.port,
    /** One request; all requests of one `agent` share a connection. */
    ask: (options: ApiRequest, by: Agent = agent) => ask(listener.port, options, by),
    /** A command in the usual form, answered minimally. */
    call: async (command: unknown): Promise<Record<string, unknown>> => {
      const answer = await ask(
        listener.port,
        { path: "/api2", headers: { "Content-Type": "application/json" }, body: JSON.stringify(command) },
        agent,
      );
      return answer.json;
    },
    [Symbol.asyncDispose]: async () => {
      agent.destroy();
      metrics[Symbol.dispose]();
      await listener[Symbol.asyncDispose]();
      await sessions[Symbol.asyncDispose]();
      await triggers[Symbol.asyncDispose]();
      await journal[Symbol.asyncDispose]();
      await tokenStore[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export type TestApi = Awaited<ReturnType<typeof startApi>>;

/** Joins a session and keeps it as long as the test wants. */
export function join(sessions: Sessions, identity: Partial<Identity> & { readonly stream: string }, verdict: Verdict = allow()) {
  const { type = "viewer", address = "203.0.113.7", token = "t", protocol = "HLS", url = "http://x/" } = identity;
  return sessions.join({ type, address, token, protocol, url, stream: identity.stream }, async () => verdict);
}

export function memoryApiTokens(): ApiTokenStore {
  const rows = new Map<string, ApiTokenRow>();
  return {
    read: async () => [...rows.values()],
    add: async (row) => void rows.set(row.id, row),
    remove: async (id) => rows.delete(id),
    used: async (id, lastUsedAt) => {
      const row = rows.get(id);
      if (row) rows.set(id, { ...row, lastUsedAt });
    },
  };
}

export function memoryStore(): ChangeStore & { readonly rows: Map<string, unknown> } {
  const rows = new Map<string, unknown>();
  return {
    rows,
    read: async () => new Map(rows),
    write: async (changes) => {
      for (const [key, value] of changes) rows.set(key, value);
    },
  };
}

function protocol(name: string, connector: string): Protocol {
  const watch =
    connector === "HLS"
      ? [{ type: "html5/application/vnd.apple.mpegurl", hrn: "HLS (TS)", scheme: "http" as const, path: "/hls/$/index.m3u8", priority: 9 }]
      : [];
  return {
    name,
    connector,
    description: `${connector} for tests`,
    codecs: { publish: [], play: ["h264", "aac"] },
    watch,
    parseOptions: () => ({}),
    serve: async () => new AsyncDisposableStack(),
  };
}

const fakeProtocols: readonly Protocol[] = [
  protocol("rtmp", "RTMP"),
  protocol("flv", "FLV"),
  protocol("hls", "HLS"),
  protocol("http", "HTTP"),
];

function fakeDirectory(streams: Record<string, PlayingStream>): StreamDirectory {
  const view = (name: string): Stream => {
    const { state = "ready", lastMs = 0, unix = 0, tracks = 2 } = streams[name] ?? {};
    return {
      name,
      kind: "live",
      state,
      tracks: Array.from({ length: tracks }, () => ({ kind: "data", id: 1, codec: "json", config: new Uint8Array(), codecString: "" })),
      unixOffset: unix * 1000,
      firstTime: 0,
      lastTime: lastMs * 1000,
      trackStats: () => undefined,
    } as unknown as Stream;
  };
  return {
    get: (name: string) => (Object.hasOwn(streams, name) ? view(name) : undefined),
    list: () => Object.keys(streams).map(view),
    health: (name: string) => streams[name]?.health,
    onEvent: () => ({ [Symbol.dispose]: () => {} }),
    end: async (name: string) => {
      const plays = Object.hasOwn(streams, name);
      delete streams[name];
      return plays;
    },
  } as unknown as StreamDirectory;
}

function ask(port: number, { method = "POST", path = "/api", headers = {}, body = null }: ApiRequest, agent: Agent): Promise<ApiAnswer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ port, host: "127.0.0.1", method, path, headers: { ...headers }, agent }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => (text += chunk));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json: jsonOf(text) }));
      response.on("error", reject);
    });
    request.on("error", reject);
    request.end(body ?? undefined);
  });
}

function jsonOf(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return {};
  }
}
