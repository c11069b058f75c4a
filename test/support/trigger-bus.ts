import type { LogKind } from "../../src/base/log.ts";
import { createTriggers, type TriggerBus, type TriggerOptions } from "../../src/triggers/bus.ts";
import { FakeClock } from "./fake-clock.ts";

/** A bus on a clock that stands still, and what it logged. */
export type BusScene = AsyncDisposable & {
  readonly bus: TriggerBus;
  readonly clock: FakeClock;
  readonly lines: readonly string[];
};

export function busScene(options: Partial<TriggerOptions> = {}): BusScene {
  const clock = new FakeClock();
  const lines: string[] = [];
  const bus = createTriggers({
    log: { write: (kind: LogKind, message: string) => void lines.push(`${kind} ${message}`) },
    clock,
    identity: { version: "1.2.3", instance: "abcdefghijklmnop", pid: 4711, serverId: () => "test server" },
    ...options,
  });
  return { bus, clock, lines, [Symbol.asyncDispose]: () => bus[Symbol.asyncDispose]() };
}

/** A complete USER_NEW. */
export const viewer = {
  stream: "live",
  host: "127.0.0.1",
  token: "t1",
  protocol: "FLV",
  url: "http://127.0.0.1:8080/live.flv?tkn=t1",
  sessionId: "ab".repeat(32),
  tokenIsJwt: "false",
  asked: "live",
  recheck: false,
  query: { tkn: "t1" },
  headers: {},
  cookies: {},
} as const;

/** A complete PUSH_REWRITE. */
export const push = {
  url: "rtmp://127.0.0.1:1935/live/key1",
  host: "127.0.0.1",
  stream: "key1",
  asked: "key1",
  recheck: false,
  query: {},
  headers: {},
  cookies: {},
} as const;
