import type { Rewriting, Verdict } from "../base/decision.ts";
import { tableFailure } from "../triggers/answer.ts";
import { type Payload, type TriggerDefinition, type TriggerName, triggers } from "../triggers/table.ts";

/** What firing a trigger came to; undefined: it was only told. */
export type Outcome = Verdict | Rewriting | undefined;

/**
 * Words of `X-Mist-Trigger-Action` as the FrameWorks fork takes them. Stock MistServers do not look at that header, and the fork
 * takes a word that it does not have for a failure, which may be a yes: so it is said only where it is known.
 */
const takesDeny: ReadonlySet<TriggerName> = new Set([
  "PUSH_REWRITE",
  "PLAY_REWRITE",
  "USER_NEW",
  "PUSH_OUT_START",
  "CONN_OPEN",
  "CONN_PLAY",
  "STREAM_LOAD",
  "STREAM_READY",
  "STREAM_UNLOAD",
  "SYSTEM_START",
  "SYSTEM_STOP",
]);

/** The field whose value goes on when a handler keeps it. STREAM_SOURCE has none: nothing means the configured source. */
const keptField: Readonly<Partial<Record<TriggerName, string>>> = {
  RTMP_PUSH_REWRITE: "url",
  PUSH_REWRITE: "stream",
  PLAY_REWRITE: "stream",
  PUSH_OUT_START: "target",
  DEFAULT_STREAM: "defaultStream",
};

const mostReason = 500;

/** An answer as a MistServer reads it: always status 200, as it takes every other one for a failure, and a failure for a yes. */
export type AnswerText = { readonly body: string; readonly headers: Readonly<Record<string, string>> };

/** Puts a decision into MistServer's words. */
export function answerText<K extends TriggerName>(name: K, payload: Payload<K>, outcome: Outcome): AnswerText {
  const { answer }: TriggerDefinition = triggers[name];
  if (outcome?.kind === "deny") return noText(name, outcome.reason);
  if (answer === "verdict") return { body: outcome?.kind === "allow" ? "true" : "false", headers: {} };
  if (answer === "notify" || outcome === undefined) return { body: "", headers: {} };
  return { body: outcome.kind === "rewrite" ? outcome.to : keptValue(name, payload), headers: {} };
}

/**
 * What is answered when there is nothing to ask, because the call cannot be read or may not be made: no, where somebody would be let
 * in; for the server's own life what the table says. Undefined for a trigger that is not known: an empty answer, which is a no
 * or no value everywhere.
 */
export function failedText(name: TriggerName | undefined, words: string): AnswerText {
  const headers = { "X-Sluice-Error": headerText(words) };
  if (name === undefined) return { body: "", headers };
  const definition: TriggerDefinition = triggers[name];
  const holds = definition.access ? undefined : tableFailure(name);
  if (definition.answer === "verdict" && holds?.kind === "allow") return { body: "true", headers };
  if (definition.answer === "notify" || name === "STREAM_SOURCE") return { body: "", headers };
  const no = noText(name, words);
  return { body: no.body, headers: { ...no.headers, ...headers } };
}

function noText(name: TriggerName, reason: string): AnswerText {
  const said = { "X-Mist-Trigger-Reason": headerText(reason) };
  // A stock MistServer finds nothing that opens such a source, so the stream is offline there, too.
  if (name === "STREAM_SOURCE") return { body: `offline:${headerText(reason)}`, headers: { ...said, "X-Mist-Trigger-Action": "offline" } };
  const typed: Readonly<Record<string, string>> = takesDeny.has(name) ? { ...said, "X-Mist-Trigger-Action": "deny" } : said;
  return { body: triggers[name].answer === "verdict" ? "false" : "", headers: typed };
}

/** The value that was there before the question; empty when there is none. */
function keptValue<K extends TriggerName>(name: K, payload: Payload<K>): string {
  const field = keptField[name];
  const value = field === undefined ? undefined : (payload as Readonly<Record<string, unknown>>)[field];
  return typeof value === "string" ? value : "";
}

/** Printable ASCII; all else is percent-encoded. */
function headerText(text: string): string {
  return text
    .slice(0, mostReason)
    .toWellFormed()
    .replace(/[^\u0020-\u007e]/gu, encodeURIComponent)
    .trim();
}
