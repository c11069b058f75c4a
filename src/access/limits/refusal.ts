import { type ErrorDetails, SluiceError } from "../../base/errors.ts";
import type { StreamName } from "../../base/stream-name.ts";
import { type Duration, durationMs } from "../../base/time.ts";
import type { Gauge } from "./gauge.ts";

/** What a refused client is told to wait when the rule does not say: a place is free 15 seconds after its viewer has gone, rates are those of 5 seconds. */
const waitMs = { sessions: 15_000, egress: 5_000, ingest: 5_000 } as const;

const mark = Symbol("the limit that was reached");

type Mark = { readonly limit: string; readonly fallback: StreamName | undefined };

/** The error for who comes when a limit is reached. `details`: what is meant instead of the rule's time to wait. */
export function refusal(gauge: Gauge, reason: string, details: ErrorDetails = {}): SluiceError {
  const { retryAfter } = gauge.rule;
  const retryAfterMs = retryAfter === undefined ? waitMs[gauge.measure] : durationMs(retryAfter as Duration);
  const error = new SluiceError("access.full", reason, { retryAfterMs, ...details });
  return Object.assign(error, { [mark]: { limit: gauge.name, fallback: gauge.fallback } satisfies Mark });
}

/** The declared limit that made this error; undefined if none did. */
export function limitOf(error: unknown): string | undefined {
  return markOf(error)?.limit;
}

/**
 * The stream that a viewer is to get because a limit is reached; undefined: it is refused. Viewers of that stream are not counted
 * by the same limit. Follow it once: what other limits say about it counts.
 */
export function fallbackOf(error: unknown): StreamName | undefined {
  return markOf(error)?.fallback;
}

function markOf(error: unknown): Mark | undefined {
  return error instanceof SluiceError ? (error as { [mark]?: Mark })[mark] : undefined;
}

/** What who comes is told. No stream is named: its name may be hidden behind a token. */
export function fullWords(gauge: Gauge): string {
  const { rule, name } = gauge;
  if (rule.reason !== undefined) return rule.reason;
  if (gauge.measure === "egress") return `No bandwidth is left ${whose(gauge)} for another viewer; try again later (limit ${name})`;
  if (gauge.measure === "ingest") return `${rate(gauge.most)} at most are taken ${whose(gauge)}; push less (limit ${name})`;
  const advice = rule.by === "stream" || rule.by === "server" ? "try again later" : "close another one first";
  return `${viewers(gauge.most)} at most ${whose(gauge)}; ${advice} (limit ${name})`;
}

/** What a viewer is told that has to go for a newer one. */
export function endedWords(gauge: Gauge): string {
  const { rule, name } = gauge;
  const most = gauge.measure === "sessions" ? viewers(gauge.most) : `${rate(gauge.most)} to viewers`;
  return rule.reason ?? `${most} at most ${whose(gauge)}; a newer one has taken this place (limit ${name})`;
}

function whose({ rule: { by, streams, prefix } }: Gauge): string {
  switch (by) {
    case "user":
      return "for this account";
    case "token":
      return "for this token";
    case "address":
      return prefix ? "from this network" : "from this address";
    case "stream":
      return "on this stream";
    case "server":
      return streams ? "on these streams" : "on this server";
  }
}

function viewers(most: number): string {
  return most === 1 ? "1 viewer" : `${most} viewers`;
}

function rate(bits: number): string {
  return bits < 1e6 ? `${Math.round(bits / 1e3)} kbit/s` : `${Number((bits / 1e6).toFixed(1))} Mbit/s`;
}
