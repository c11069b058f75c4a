import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { FallbackRules } from "./access/fallback/fallback-rules.ts";
import { createDecisions } from "./access/decisions.ts";
import { createGate } from "./access/gate.ts";
import { PendingPushes } from "./access/pending-pushes.ts";
import { bitrateOf } from "./access/limits/bitrate.ts";
import { AddedLimits } from "./access/limits/added-limits.ts";
import { LimitKeeper } from "./access/limits/limit-keeper.ts";
import { createStreamKeys } from "./access/tokens/stream-keys.ts";
import { createTokenVerifier } from "./access/tokens/token-verifier.ts";
import { createStreamTags } from "./access/stream-tags.ts";
import { createVariableTargets } from "./access/variable-targets.ts";
import { openKeptSince } from "./access/kept-since.ts";
import { LiveList } from "./access/live-list.ts";
import { AccessLog } from "./access/told/access-log.ts";
import { createControl } from "./api/control.ts";
import { EventFeed } from "./api/events/feed.ts";
import { ApiTokens } from "./api/auth/api-tokens.ts";
import { bandwidthOf } from "./api/mist/settings/kept.ts";
import { createApi } from "./api/server.ts";
import { SluiceError } from "./base/errors.ts";
import type { ServerControl } from "./base/server-control.ts";
import { openConfiguration } from "./config/configuration.ts";
import type { Config } from "./config/define.ts";
import { type LoadedConfiguration, readConfiguration } from "./config/load.ts";
import { variableValue } from "./config/own-variables.ts";
import { createReloader } from "./config/reload/reload.ts";
import type { Latency, Settings } from "./config/settings.ts";
import type { ConfigSource } from "./config/reload/source.ts";
import { type Connectors, openConnectors } from "./connectors.ts";
import { makeSilence } from "./codecs/silence.ts";
import { createClock } from "./host/clock.ts";
import { startOperatorCode } from "./operator-code.ts";
import { createHost } from "./host/host.ts";
import { createLog } from "./host/log.ts";
import { createWebSocketAcceptor } from "./host/websocket-peer.ts";
import { clientAddress, createTrustedProxies } from "./host/peer-address.ts";
import type { Protocol, WatchAddress } from "./protocols/protocol.ts";
import { protocols } from "./protocols.ts";
import { createMetrics } from "./metrics/metrics.ts";
import { createSessions } from "./sessions/sessions.ts";
import { openStore } from "./store/store.ts";
import { createDirectory } from "./streams/directory.ts";
import { createTriggers } from "./triggers/bus.ts";
import { createOutbox } from "./triggers/delivery/outbox.ts";
import { openJournal } from "./triggers/journal/journal.ts";
import type { Triggers } from "./triggers/trigger.ts";

/** A running server. Dispose to end it without asking SYSTEM_STOP. */
export interface SluiceServer extends AsyncDisposable {
  /** `https` is 0 without HTTPS. */
  readonly ports: { readonly rtmp: number; readonly http: number; readonly https: number; readonly api: number };
  /** One sentence: ready, how to push, where to watch. */
  readonly readyLine: string;
  /** Registers a handler while the server runs; dispose to take it away. */
  readonly on: Triggers["on"];
  readonly control: ServerControl;
  /** Loads the configuration's file anew; false when there is none, or when it is wrong and the old one stays. */
  reload(reason: string): Promise<boolean>;
  /** Asks SYSTEM_STOP and ends in order; false when a handler said that it must go on. Then the log says it, with the `wayOut`. */
  stop(reason: string, wayOut?: string): Promise<boolean>;
  /** Resolves when everything has ended. */
  readonly stopped: Promise<void>;
}

export type ServerOptions = {
  /** Takes the lines of the log; standard error if left out. */
  readonly logLine?: (line: string) => void;
  /** Where the configuration came from, to load it again when its files change. */
  readonly source?: ConfigSource;
};

/** Milliseconds that packets are gathered before viewers are written to. */
const flushMs: Readonly<Record<Latency, number>> = { low: 0, normal: 100, high: 350 };

const version = (JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as { version: string }).version;

/** Starts a server inside a program: `createServer({ streams, triggers })`. Rejects with "config.invalid" or "listen.failed". */
export function createServer(config: Config = {}, options: ServerOptions = {}): Promise<SluiceServer> {
  return startServer({ ...readConfiguration(config, "the configuration"), file: undefined, overrides: {} }, options);
}

/** Starts a server with a configuration that was read already. What was opened is closed again when it fails. */
export async function startServer(loaded: LoadedConfiguration, options: ServerOptions = {}): Promise<SluiceServer> {
  await using opened = new AsyncDisposableStack();
  const clock = createClock();
  const write = options.logLine ?? ((line: string): void => void process.stderr.write(`${line}\n`));
  const log = createLog({ level: loaded.settings.logLevel, write, clock });
  let logLines = 0;
  opened.use(log.onEntry(() => void logLines++));
  log.write("INFO", whereFrom(loaded));
  for (const warning of loaded.warnings) log.write("WARN", warning);

  const store = opened.use(await openStore(loaded.settings.store ?? loaded.settings.data, { log }));
  const configuration = await openConfiguration(loaded, store.configChanges, log);
  const { settings } = configuration;
  const instance = randomBytes(12).toString("base64url");

  const isPublic = (name: string): boolean => configuration.stream(name) !== undefined || directory.get(name) !== undefined;
  const journal = opened.use(
    openJournal({
      directory: join(settings.data, "journal"),
      clock,
      log,
      setting: settings.journal,
      isPublic,
    }),
  );
  const directory = createDirectory({ clock, log, flushMs: () => flushMs[configuration.settings.latency], silence: makeSilence });
  const streamTags = opened.use(createStreamTags({ clock, directory, configured: (base) => configuration.stream(base)?.tags ?? [] }));
  const addedLimits = new AddedLimits(() => configuration.settings.limits);
  const limits = opened.use(
    new LimitKeeper({
      clock,
      log,
      rules: () => addedLimits.rules(),
      streamTags: streamTags.tagsOf,
      bitrate: (stream) => bitrateOf(directory.get(stream)),
      rates: () => sessions.rates(),
      endPublisher: (stream, text) => void directory.end(stream, { code: "CLEAN_CONTROLLER_REQ", text }),
    }),
  );
  const sessions = createSessions({ clock, log, settings: () => configuration.sessions, places: limits });
  streamTags.onChange(() => limits.recount());
  const fallbackRules = new FallbackRules(configuration, streamTags.tagsOf);
  const pending = new PendingPushes(log);
  const control = createControl({ directory, sessions, fallbackRules, pending });
  const outbox = createOutbox({ store: store.letters, clock, log });
  const triggers = opened.use(
    createTriggers({
      outbox,
      log,
      clock,
      identity: { version, instance, pid: process.pid, serverId: () => configuration.settings.serverid },
      streamTags: streamTags.tagsOf,
      control: () => control,
      journal,
    }),
  );
  const keptSince = opened.use(
    await openKeptSince({
      clock,
      log,
      store: store.liveStreams,
      resumes: (base) => configuration.stream(base)?.resume === true,
    }),
  );
  const live = opened.use(
    new LiveList({
      clock,
      log,
      directory,
      sessions,
      tagsOf: streamTags.tagsOf,
      setting: () => configuration.settings.liveList,
      isHidden: (base) => configuration.stream(base)?.hidden === true,
      entries: () => configuration.settings.listing,
      begin: (stream) => keptSince.begin(stream),
    }),
  );
  const code = opened.use(
    await startOperatorCode(loaded, {
      configuration,
      triggers,
      log,
      policies: {
        server: control,
        tokens: store.tokens,
        limits: addedLimits,
        liveList: live,
        isConfigured: (name) => configuration.stream(name) !== undefined,
        clock,
        log,
      },
    }),
  );
  const variableTargets = opened.use(
    createVariableTargets({ clock, log, found: (name, value) => configuration.found(name, variableValue(value)) }),
  );
  variableTargets.configure(configuration.variables());
  configuration.onChange((now, before) => {
    if (now.kept !== before.kept) variableTargets.configure(configuration.variables());
    if (now.journal !== before.journal) journal.configure(now.journal);
    if (now.streams !== before.streams) limits.recount();
    if (now.streams !== before.streams || now.listing !== before.listing || now.liveList !== before.liveList) live.changed();
  });

  const tokens = opened.use(createTokenVerifier({ clock, log, jwks: settings.jwks }));
  const streamKeys = createStreamKeys(settings.streamkeys);
  configuration.onChange((now, before) => {
    if (JSON.stringify(now.jwks) !== JSON.stringify(before.jwks)) tokens.configure(now.jwks);
    if (now.streamkeys !== before.streamkeys) streamKeys.configure(now.streamkeys);
  });

  const openInput = (source: string) => protocols.map((protocol) => protocol.pull?.(source)).find((input) => input !== undefined);
  const decisions = createDecisions({ clock, isPublic });
  const gate = createGate({
    clock,
    log,
    settings: configuration,
    directory,
    sessions,
    triggers,
    openInput,
    journal: store.openSessions,
    outbox,
    tokens,
    streamKeys,
    fallbackRules,
    limits,
    pending,
    decisions,
  });
  opened.defer(() => gate.close());
  opened.use(new AccessLog({ clock, log, sessions, setting: () => configuration.settings.accesslog }));
  opened.use(sessions);
  const events = opened.use(
    new EventFeed({ clock, directory, sessions, decisions, limits, fallbacks: gate.programs, log, tagsOf: streamTags.tagsOf }),
  );
  await outbox.start();
  await gate.recover();

  const ports = { rtmp: 0, http: 0, https: 0, api: 0 };
  let connectors: Connectors | undefined;
  const proxies = createTrustedProxies(() => configuration.settings.trustedproxy);
  const host = opened.use(
    createHost({
      listenAddress: settings.httpHost,
      httpPort: settings.httpPort,
      trustedProxies: () => configuration.settings.trustedproxy,
      proxyProtocol: () => configuration.settings.proxyProtocol,
      clock,
      log,
      publish: gate.publish,
      play: gate.play,
      renew: gate.renew,
      live,
      watchAddresses: () => (connectors ? watchAddresses(connectors) : []),
    }),
  );
  opened.use(directory);

  const serving = opened.use(await openConnectors({ host, protocols, configuration, triggers, log }));
  connectors = serving;
  ports.rtmp = serving.rtmpPort;
  ports.http = serving.httpPort;
  ports.https = serving.httpsPort;

  const stopping = Promise.withResolvers<void>();
  const reloader = opened.use(
    createReloader({
      loaded,
      source: options.source,
      clock,
      log,
      async apply(next) {
        const hidden = await code.reload(next);
        serving.refreshCertificate();
        return hidden;
      },
    }),
  );
  const metrics = opened.use(
    createMetrics({
      clock,
      sessions,
      directory,
      triggers,
      outbox,
      version,
      serverId: () => configuration.settings.serverid,
      bandwidthLimit: () => bandwidthOf(configuration.settings).limit,
      logLines: () => logLines,
      limits,
      policyCounts: code.policyCounts,
    }),
  );
  const acceptWebSocket = createWebSocketAcceptor(clock);
  const api = createApi({
    tokenBook: store.tokens,
    policies: code.policies,
    policiesSettled: code.policiesSettled,
    metrics,
    configuration,
    directory,
    sessions,
    triggers,
    journal,
    outbox,
    decisions,
    apiTokens: new ApiTokens({ store: store.apiTokens, clock, log }),
    tokens,
    limits,
    programs: gate.programs,
    streamTags,
    reloadStatus: reloader.status,
    reload: reloader.reload,
    log,
    logEntries: log.entries,
    events,
    acceptWebSocket: (request, socket, head) => acceptWebSocket(request, socket, head, {}),
    protocols,
    listening: () => serving.open(),
    identity: { instance, version },
    clock,
    clientAddress: (peer, headers) => clientAddress(peer, headers, proxies),
    peerAddress: host.peerAddress,
    open: (server, where) => host.open(server, { name: "API", ...where }),
    stop: () => void stop("shutdown by API"),
  });
  const apiListener = opened.use(await api.listen(settings.apiHost, settings.apiPort));
  ports.api = apiListener.port;

  const started = await triggers.fire("SYSTEM_START", { version });
  if (started.kind === "deny") throw new SluiceError("access.denied", `a handler of SYSTEM_START said no: ${started.reason}`);
  serving.announce();

  const everything = opened.move();
  let ending: Promise<void> | undefined;
  const end = (): Promise<void> => {
    ending ??= everything.disposeAsync().then(stopping.resolve, stopping.reject);
    return ending;
  };
  async function stop(reason: string, wayOut = ""): Promise<boolean> {
    const verdict = await triggers.fire("SYSTEM_STOP", { reason });
    if (verdict.kind === "deny") {
      log.write("WARN", `The server goes on: a handler of SYSTEM_STOP said no (${verdict.reason})${wayOut && `; ${wayOut}`}`);
      return false;
    }
    log.write("INFO", `The server ends: ${reason}`);
    await end();
    return true;
  }
  return {
    ports,
    readyLine: readyLine(settings, ports),
    on: (name, handler, handlerOptions) => triggers.on(name, handler, handlerOptions),
    control,
    reload: reloader.reload,
    stop,
    stopped: stopping.promise,
    [Symbol.asyncDispose]: end,
  };
}

function watchAddresses(connectors: Connectors): (WatchAddress & { codecs: Protocol["codecs"]["play"] })[] {
  const { rtmpPort } = connectors;
  return connectors
    .protocols()
    .flatMap(({ watch, codecs }) =>
      watch.map((address) => ({ ...address, ...(address.scheme === "rtmp" && { port: rtmpPort }), codecs: codecs.play })),
    );
}

/** One line: the files that are used. What stands in a database's address is not said. */
function whereFrom({ path, settings }: LoadedConfiguration): string {
  const configuration = path === undefined ? "no configuration file" : `the configuration is ${path}`;
  const kept = settings.store === undefined ? "" : "; a PostgreSQL database keeps what must survive";
  return `${configuration}, the data folder ${resolve(settings.data)}${kept}`;
}

function readyLine(settings: Settings, ports: SluiceServer["ports"]): string {
  const host = ["0.0.0.0", "::"].includes(settings.host) ? "localhost" : settings.host;
  const name = Object.keys(settings.streams)[0] ?? "NAME";
  return `Sluice ${version} is ready. Push to rtmp://${host}:${ports.rtmp}/live/${name}, watch http://${host}:${ports.http}/${name}.html, API http://${host}:${ports.api}/api`;
}
