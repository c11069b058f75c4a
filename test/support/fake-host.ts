import { SluiceError } from "../../src/base/errors.ts";
import type { ExitReason } from "../../src/base/exit.ts";
import { streamName } from "../../src/base/stream-name.ts";
import type { HostOptions, RunningHost } from "../../src/host/host.ts";
import type { AccessRequest, Admission } from "../../src/protocols/protocol.ts";
import type { Stream, StreamWriter } from "../../src/streams/stream.ts";
import { loopbackHost } from "./loopback.ts";
import { MemoryStream } from "./memory-stream.ts";

/** What a protocol asked, and what became of it. */
export type Asked = {
  readonly kind: "publish" | "play";
  readonly request: AccessRequest;
  /** Bytes counted by the protocol. */
  up: number;
  down: number;
  /** The last media time, ms, and why it ended, as far as the protocol said. */
  position?: number;
  ended?: ExitReason;
  /** False for a refusal. */
  granted: boolean;
  disposed: boolean;
  /** Ends the session as `stop_sessions` does; without effect on a refused one. */
  readonly withdraw: (reason: string) => void;
};

export type FakeHostOptions = Partial<HostOptions> & {
  /** Decides instead of the gate: throws or rejects with a `SluiceError`, or lets it happen. Default: yes to all. */
  readonly decide?: (kind: "publish" | "play", request: AccessRequest) => void | Promise<void>;
};

/** The real host on loopback, with scripted decisions in place of the gate and streams that keep everything in place of the hub. */
export interface FakeHost extends AsyncDisposable {
  readonly host: RunningHost;
  /** Every question so far, in order. */
  readonly asked: readonly Asked[];
  readonly streams: ReadonlyMap<string, MemoryStream>;
  /** Messages of the log so far. */
  readonly logged: () => readonly string[];
  /** Puts a stream where players find it. */
  open(name: string): MemoryStream;
  /** Resolves with the first stream of this name that has a publisher, now or later. */
  published(name: string): Promise<MemoryStream>;
}

/** Names are sanitised as the gate does it; a name that nobody published is refused as offline. */
export function createFakeHost(options: FakeHostOptions = {}): FakeHost {
  const { decide = () => {}, ...hostOptions } = options;
  const asked: Asked[] = [];
  const streams = new Map<string, MemoryStream>();
  const awaited = new Map<string, PromiseWithResolvers<MemoryStream>>();

  const open = (name: string): MemoryStream => {
    const stream = new MemoryStream(name);
    streams.set(name, stream);
    return stream;
  };
  const publishedAt = (name: string): PromiseWithResolvers<MemoryStream> => {
    const entry = awaited.get(name) ?? Promise.withResolvers<MemoryStream>();
    awaited.set(name, entry);
    return entry;
  };
  const ask = async (kind: "publish" | "play", request: AccessRequest): Promise<{ entry: Asked; signal: AbortSignal }> => {
    const controller = new AbortController();
    const entry: Asked = {
      kind,
      request,
      up: 0,
      down: 0,
      granted: false,
      disposed: false,
      withdraw: (reason) => controller.abort(new SluiceError("access.ended", reason)),
    };
    asked.push(entry);
    await decide(kind, request);
    return { entry, signal: controller.signal };
  };

  const { host, lines } = loopbackHost({
    ...hostOptions,
    async publish(request): Promise<Admission<StreamWriter>> {
      const { entry, signal } = await ask("publish", request);
      const name = streamName(request.stream);
      const stream = open(name);
      publishedAt(name).resolve(stream);
      return admission(stream.writer, request, entry, signal);
    },
    async play(request): Promise<Admission<Stream>> {
      const { entry, signal } = await ask("play", request);
      const stream = streams.get(streamName(request.stream));
      if (!stream || stream.reason) throw new SluiceError("access.offline", `${streamName(request.stream)} is offline`);
      return admission(stream.stream, request, entry, signal);
    },
  });
  return {
    host,
    asked,
    streams,
    logged: () => lines().map((line) => line.message),
    open,
    published: (name) => publishedAt(name).promise,
    [Symbol.asyncDispose]: () => host[Symbol.asyncDispose](),
  };
}

function admission<T>(value: T, request: AccessRequest, entry: Asked, signal: AbortSignal): Admission<T> {
  entry.granted = true;
  return {
    value,
    askedName: streamName(request.stream),
    sessionId: "fake-session",
    token: request.query["tkn"] ?? "",
    urlToken: undefined,
    cookie: undefined,
    redirected: false,
    count: (up, down) => {
      entry.up += up;
      entry.down += down;
    },
    position: (ms) => void (entry.position = ms),
    ends: (reason) => void (entry.ended ??= reason),
    signal,
    [Symbol.dispose]: () => {
      entry.disposed = true;
    },
  };
}
