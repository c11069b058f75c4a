import { messageOf } from "./base/errors.ts";
import type { Log } from "./base/log.ts";
import type { Configuration } from "./config/configuration.ts";
import { connectorEntries } from "./config/connector-entries.ts";
import type { ConnectorEntry, Settings } from "./config/settings.ts";
import type { HttpsListener, RunningHost } from "./host/host.ts";
import type { Listener, Protocol } from "./protocols/protocol.ts";
import type { Triggers } from "./triggers/trigger.ts";

export type ConnectorOptions = {
  readonly host: RunningHost;
  readonly protocols: readonly Protocol[];
  readonly configuration: Configuration;
  readonly triggers: Triggers;
  readonly log: Log;
};

/** A port that is open, and whose it is; protocols without a port of their own live on HTTP's. */
export type OpenPort = { readonly connector: string; readonly host: string; readonly port: number };

/** What is served: one for each entry of `config.protocols`. Disposing ends all of it, connections included, and tells nobody. */
export interface Connectors extends AsyncDisposable {
  readonly rtmpPort: number;
  readonly httpPort: number;
  /** 0 without HTTPS. */
  readonly httpsPort: number;
  /** Looks whether the files of the certificate have changed. */
  refreshCertificate(): void;
  protocols(): readonly Protocol[];
  open(): readonly OpenPort[];
  /** Fires OUTPUT_START for each port, one after the other, and follows the configuration from now on. Nobody waits for it. */
  announce(): void;
}

type Serving = {
  readonly protocol: Protocol;
  readonly entry: ConnectorEntry;
  readonly what: AsyncDisposable;
  readonly port: number | undefined;
};

/**
 * Serves what is configured, and what will be: a connector that is added listens at once, one that is taken away takes no
 * more connections while those that are open go on. HTTPS comes, goes and moves in the same way. The HTTP port itself stays as it was until the next start.
 * Rejects with "listen.failed" or "config.invalid".
 */
export async function openConnectors(options: ConnectorOptions): Promise<Connectors> {
  const connectors = new Registry(options);
  try {
    await connectors.begin();
  } catch (error) {
    await connectors[Symbol.asyncDispose]();
    throw error;
  }
  return connectors;
}

class Registry implements Connectors {
  readonly #options: ConnectorOptions;
  readonly #closing: AsyncDisposable[] = [];
  #serving: readonly Serving[] = [];
  #http: Listener | undefined;
  #https: HttpsListener | undefined;
  #following: Disposable | undefined;
  #changes: Promise<void> = Promise.resolve();

  constructor(options: ConnectorOptions) {
    this.#options = options;
  }

  get rtmpPort(): number {
    return this.#serving.find(({ port }) => port !== undefined)?.port ?? 0;
  }
  get httpPort(): number {
    return this.#http?.port ?? 0;
  }
  get httpsPort(): number {
    return this.#https?.port ?? 0;
  }

  refreshCertificate(): void {
    const { https } = this.#options.configuration.settings;
    if (https) this.#https?.refresh(https);
  }

  protocols(): readonly Protocol[] {
    const served = new Set(this.#serving.map(({ protocol }) => protocol));
    return this.#options.protocols.filter((protocol) => served.has(protocol));
  }

  open(): readonly OpenPort[] {
    const { settings } = this.#options.configuration;
    const own = this.#serving.map(({ protocol: { connector }, port }) =>
      port === undefined ? { connector, host: settings.httpHost, port: this.httpPort } : { connector, host: settings.rtmpHost, port },
    );
    return this.#https ? [...own, { connector: "HTTPS", host: httpsHost(settings), port: this.#https.port }] : own;
  }

  async begin(): Promise<void> {
    const { protocols, configuration, host } = this.#options;
    const { settings } = configuration;
    const entries = connectorEntries(settings, protocols);
    // The port that flags or settings name is that of the last entry, which MistServer's shape made the setting of.
    const main = entries.findLast((entry) => entry.connector === "RTMP");
    for (const { protocol, entry } of this.#wanted(entries))
      await this.#start(protocol, entry, optionsOf(protocol, entry, settings, entry === main));
    this.#http = await host.listenHttp();
    await this.#listenHttps(settings);
  }

  announce(): void {
    const { configuration, protocols } = this.#options;
    const all = connectorEntries(configuration.settings, protocols);
    const http = all.filter(({ connector }) => connector === "HTTP").slice(0, 1);
    const https = this.#https ? all.filter(({ connector }) => connector === "HTTPS").slice(-1) : [];
    const own = this.#serving.filter(({ port }) => port !== undefined).map(({ entry }) => entry);
    for (const entry of [...http, ...https, ...own]) this.#changes = this.#changes.then(() => this.#tell("OUTPUT_START", entry));
    this.#following = configuration.onChange((now, before) => {
      const [entries, old] = [connectorEntries(now, protocols), connectorEntries(before, protocols)];
      if (JSON.stringify(entries) !== JSON.stringify(old)) this.#changes = this.#changes.then(() => this.#follow(entries, now));
      if (JSON.stringify(now.https) !== JSON.stringify(before.https))
        this.#changes = this.#changes.then(() => this.#followHttps(now, before));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#following?.[Symbol.dispose]();
    await this.#changes;
    await this.#http?.[Symbol.asyncDispose]();
    await this.#https?.[Symbol.asyncDispose]();
    for (const { what } of this.#serving.toReversed()) await what[Symbol.asyncDispose]();
    for (const what of this.#closing) await what[Symbol.asyncDispose]();
  }

  /** What the entries ask for, in the order of the registry: routes are tried in it. Equal entries are one, and a route is served once. */
  #wanted(entries: readonly ConnectorEntry[]): readonly { readonly protocol: Protocol; readonly entry: ConnectorEntry }[] {
    return this.#options.protocols
      .filter(({ serve }) => serve !== undefined)
      .flatMap((protocol) => {
        const own = entries.filter(({ connector }) => connector === protocol.connector).map((entry) => ({ protocol, entry }));
        return hasPort(protocol)
          ? own.filter((one, at) => own.findIndex((other) => sameEntry(other.entry, one.entry)) === at)
          : own.slice(0, 1);
      });
  }

  async #start(protocol: Protocol, entry: ConnectorEntry, options: unknown): Promise<Serving | undefined> {
    const what = await protocol.serve?.(this.#options.host, protocol.parseOptions(options));
    if (!what) return undefined;
    const serving = { protocol, entry, what, port: "port" in what ? Number(what.port) : undefined };
    this.#serving = [...this.#serving, serving];
    return serving;
  }

  async #follow(entries: readonly ConnectorEntry[], settings: Settings): Promise<void> {
    const { log } = this.#options;
    const wanted = this.#wanted(entries);
    const serves = (one: Serving, { protocol, entry }: (typeof wanted)[number]): boolean =>
      one.protocol === protocol && (one.port === undefined || sameEntry(one.entry, entry));
    for (const one of this.#serving.filter((serving) => !wanted.some((want) => serves(serving, want)))) await this.#stop(one);
    for (const want of wanted) {
      if (this.#serving.some((serving) => serves(serving, want))) continue;
      try {
        const serving = await this.#start(want.protocol, want.entry, optionsOf(want.protocol, want.entry, settings, false));
        if (serving?.port !== undefined) await this.#tell("OUTPUT_START", want.entry);
      } catch (error) {
        log.write("ERROR", `The connector ${want.entry.connector} could not be started: ${messageOf(error)}`);
      }
    }
  }

  async #listenHttps(settings: Settings): Promise<void> {
    const { https } = settings;
    if (https) this.#https = await this.#options.host.listenHttps({ ...https, host: httpsHost(settings) });
  }

  /** Another certificate needs no other port; another port is opened when the old one takes nobody any more. */
  async #followHttps(now: Settings, before: Settings): Promise<void> {
    const { protocols, log } = this.#options;
    const entryOf = (settings: Settings): ConnectorEntry =>
      connectorEntries(settings, protocols).findLast(({ connector }) => connector === "HTTPS") ?? { connector: "HTTPS" };
    const moved = now.https?.port !== before.https?.port || now.https?.host !== before.https?.host;
    if (!moved && this.#https && now.https) return this.#https.refresh(now.https);
    if (this.#https) {
      this.#https.stopListening();
      this.#closing.push(this.#https);
      this.#https = undefined;
      await this.#tell("OUTPUT_STOP", entryOf(before));
    }
    try {
      await this.#listenHttps(now);
      if (now.https) await this.#tell("OUTPUT_START", entryOf(now));
    } catch (error) {
      log.write("ERROR", `HTTPS could not be started: ${messageOf(error)}`);
    }
  }

  async #stop(serving: Serving): Promise<void> {
    const { what, entry, port } = serving;
    this.#serving = this.#serving.filter((other) => other !== serving);
    if (port === undefined) return what[Symbol.asyncDispose]();
    (what as Listener).stopListening();
    this.#closing.push(what);
    await this.#tell("OUTPUT_STOP", entry);
  }

  /** Nothing waits for an answer but the order: one start or stop is told after the other. */
  async #tell(name: "OUTPUT_START" | "OUTPUT_STOP", config: ConnectorEntry): Promise<void> {
    const { triggers } = this.#options;
    if (triggers.wants(name)) await triggers.fire(name, { config });
  }
}

function httpsHost({ https, httpHost }: Settings): string {
  return https?.host ?? httpHost;
}

function hasPort({ name }: Protocol): boolean {
  return name === "rtmp";
}

function optionsOf(protocol: Protocol, { interface: host, port }: ConnectorEntry, settings: Settings, main: boolean): unknown {
  const given = settings.protocols[protocol.name];
  if (!hasPort(protocol)) return given;
  if (main) return { port: settings.rtmpPort, host: settings.rtmpHost, ...(given as object | undefined) };
  return { port: Number(port ?? 1935), host: typeof host === "string" && host !== "" ? host : settings.rtmpHost };
}

function sameEntry(left: ConnectorEntry, right: ConnectorEntry): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}
