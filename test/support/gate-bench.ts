import { createDecisions, type DecisionBook } from "../../src/access/decisions.ts";
import { createGate, type Gate, type GateSettings, type StreamSettings } from "../../src/access/gate.ts";
import { PendingPushes } from "../../src/access/pending-pushes.ts";
import { createStreamKeys } from "../../src/access/tokens/stream-keys.ts";
import { createTokenVerifier } from "../../src/access/tokens/token-verifier.ts";
import { bitrateOf } from "../../src/access/limits/bitrate.ts";
import { LimitKeeper } from "../../src/access/limits/limit-keeper.ts";
import type { LimitRule } from "../../src/access/limits/limit.ts";
import { baseName } from "../../src/base/stream-name.ts";
import type { SessionJournal } from "../../src/access/told/session-journal.ts";
import type { OpenInput } from "../../src/access/inputs.ts";
import type { AccessRequest } from "../../src/sessions/access-request.ts";
import { defaultSessionSettings, type Sessions } from "../../src/sessions/session.ts";
import { createSessions } from "../../src/sessions/sessions.ts";
import { createDirectory } from "../../src/streams/directory.ts";
import type { StreamDirectory, StreamWriter, VodSource } from "../../src/streams/stream.ts";
import { createTriggers, type TriggerBus } from "../../src/triggers/bus.ts";
import type { Outbox } from "../../src/triggers/delivery/outbox.ts";
import { type TriggerName, triggers as table } from "../../src/triggers/table.ts";
import type { Answer, Handler } from "../../src/triggers/trigger.ts";
import { payloadText } from "../../src/triggers/wire.ts";
import { FakeClock } from "./fake-clock.ts";

/** What is kept on disk, for tests of that. */
export type Kept = { readonly journal?: SessionJournal; readonly outbox?: (clock: FakeClock) => Outbox };

/** The gate with the real hub, sessions and trigger bus; only time and files are played. */
export class GateBench {
  readonly clock = new FakeClock();
  readonly streams: Record<string, StreamSettings> = { live: { source: "push://" }, vod: { source: "/media/vod.mp4" } };
  readonly logged: string[] = [];
  readonly directory: StreamDirectory;
  readonly limits: LimitKeeper;
  /** The declared limits: tests may put others here. */
  rules: Readonly<Record<string, LimitRule>> = {};
  readonly sessions: Sessions;
  readonly triggers: TriggerBus;
  /** Without keys at first: `configure` gives some. */
  readonly tokens;
  readonly streamKeys = createStreamKeys({});
  readonly decisions: DecisionBook;
  readonly pending: PendingPushes;
  readonly gate: Gate;
  readonly outbox: Outbox | undefined;
  /** Every trigger that somebody listened to, as MistServer's text: `NAME|line|line`. */
  readonly fired: string[] = [];
  readonly opened: string[] = [];
  readonly hosts: Record<string, readonly string[]> = {};
  /** Read anew at each decision: tests may change it. */
  readonly settings: { -readonly [K in keyof GateSettings]: GateSettings[K] } = {
    stream: (base) => this.streams[base],
    defaultSource: undefined,
    defaultStream: "",
    sessions: defaultSessionSettings,
  };
  openFile: (source: string) => Promise<VodSource> = async () => emptyFile();
  #connections = 0;

  constructor(kept: Kept = {}) {
    const { clock } = this;
    const log = { write: (kind: string, message: string) => void this.logged.push(`${kind} ${message}`) };
    this.directory = createDirectory({ clock, log, flushMs: () => 0 });
    this.limits = new LimitKeeper({
      clock,
      log,
      rules: () => this.rules,
      streamTags: (stream) => this.streams[baseName(stream)]?.tags ?? [],
      bitrate: (stream) => bitrateOf(this.directory.get(stream)),
      rates: () => this.sessions.rates(),
      endPublisher: (stream, text) => void this.directory.end(stream, { code: "CLEAN_CONTROLLER_REQ", text }),
    });
    this.sessions = createSessions({ clock, log, settings: () => this.settings.sessions, places: this.limits });
    const identity = { version: "test", instance: "", pid: 1, serverId: () => "" };
    this.tokens = createTokenVerifier({ clock, log, jwks: [] });
    const outbox = kept.outbox?.(clock);
    this.outbox = outbox;
    this.triggers = createTriggers({ log, clock, identity, ...(outbox && { outbox }) });
    const openInput: OpenInput = (source) => {
      if (!source.startsWith("/")) return undefined;
      return {
        kind: "vod",
        name: "MP4",
        open: () => {
          this.opened.push(source);
          return this.openFile(source);
        },
      };
    };
    const lookup = async (host: string): Promise<readonly string[]> => this.hosts[host] ?? Promise.reject(new Error("no such host"));
    const isPublic = (name: string): boolean => this.streams[name] !== undefined || this.directory.get(name) !== undefined;
    this.decisions = createDecisions({ clock, isPublic });
    this.pending = new PendingPushes(log);
    this.gate = createGate({
      pending: this.pending,
      clock,
      decisions: this.decisions,
      log,
      settings: this.settings,
      directory: this.directory,
      sessions: this.sessions,
      limits: this.limits,
      triggers: this.triggers,
      openInput,
      lookup,
      tokens: this.tokens,
      streamKeys: this.streamKeys,
      ...(kept.journal && { journal: kept.journal }),
      ...(outbox && { outbox }),
    });
  }

  /** Listens and notes each call; `answer` may be a value or a function. */
  on<K extends TriggerName>(name: K, answer: Handler<K> | Answer<K>): void {
    const handler = (typeof answer === "function" ? answer : () => answer) as Handler<K>;
    this.triggers.on(name, (payload, context) => {
      this.fired.push([name, ...payloadText(name, payload).split("\n")].join("|"));
      return handler(payload, context);
    });
  }

  /** Listens to every trigger and lets everything happen. */
  watchAll(): void {
    for (const name of Object.keys(table) as TriggerName[]) {
      const { answer } = table[name];
      const value = answer === "verdict" ? true : answer === "rewrite" ? { kind: "keep" } : undefined;
      this.on(name, value as Answer<typeof name>);
    }
  }

  /** What was fired of this name. */
  of(name: TriggerName): readonly string[] {
    return this.fired.filter((line) => line.startsWith(`${name}|`));
  }

  names(): readonly string[] {
    return this.fired.map((line) => line.split("|")[0] ?? "");
  }

  connection(): { readonly id: number; readonly signal: AbortSignal; close(): void } {
    const controller = new AbortController();
    return { id: ++this.#connections, signal: controller.signal, close: () => controller.abort() };
  }

  /** A viewer's request, over HTTP if nothing else is said. */
  view(stream: string, part: Partial<AccessRequest> = {}): AccessRequest {
    const token = part.query?.tkn ? `?tkn=${part.query.tkn}` : "";
    return {
      protocol: "FLV",
      stream,
      url: `http://127.0.0.1:8080/${stream}.flv${token}`,
      address: "127.0.0.1",
      query: {},
      headers: {},
      cookies: {},
      connection: this.connection(),
      carriesToken: true,
      ...part,
    };
  }

  push(stream: string, part: Partial<AccessRequest> = {}): AccessRequest {
    return this.view(stream, {
      protocol: "RTMP",
      url: `rtmp://127.0.0.1:1935/live/${stream}`,
      carriesToken: false,
      password: "live",
      ...part,
    });
  }

  /** A publisher of this stream, past the gate. */
  live(name = "live"): StreamWriter {
    return this.directory.publish(name, { bufferMs: 50_000, segmentMs: 1_900, resume: false, source: "push://" });
  }

  async close(): Promise<void> {
    await this.sessions[Symbol.asyncDispose]();
    await this.directory[Symbol.asyncDispose]();
    await this.gate.close();
    await this.triggers[Symbol.asyncDispose]();
    this.tokens[Symbol.dispose]();
  }
}

/** A recorded input without tracks; `closed` counts how often it was closed. */
export function emptyFile(): VodSource & { closed: number } {
  return {
    input: "MP4",
    tracks: [],
    duration: 0,
    closed: 0,
    keyframes: async () => [],
    async *read() {},
    async [Symbol.asyncDispose]() {
      this.closed++;
    },
  };
}
