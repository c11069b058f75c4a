import { createHash } from "node:crypto";
import { isSluiceError, messageOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Clock } from "../base/time.ts";
import { checkFailed } from "../triggers/answer.ts";
import type { TriggerBus } from "../triggers/bus.ts";
import { type Payload, type TriggerDefinition, type TriggerName, triggers } from "../triggers/table.ts";
import { type AnswerText, answerText, failedText, type Outcome } from "./answer.ts";
import { Attempts } from "./attempts.ts";
import { bodyOf, type Call, readCall, triggerOf } from "./call.ts";
import type { SecretCheck } from "./secret.ts";

/** Gets what was decided, before the MistServer is told. Gives why it cannot be held to, if so: then the answer is no. */
export type Decided = <K extends TriggerName>(name: K, payload: Payload<K>, outcome: Outcome) => string | undefined;

export type AnswererOptions = {
  readonly bus: Pick<TriggerBus, "fire" | "handlers">;
  readonly clock: Clock;
  readonly log: Log;
  readonly maxBytes: number;
  /** Left out: everybody may call. */
  readonly secret?: SecretCheck | undefined;
  readonly decided: Decided;
};

/** Complaints of one kind are written once in this time. */
const quietMs = 60_000;

/** Answers calls of a MistServer from a bus of handlers. Never rejects, and never answers a failure in a way that is read as yes. */
export function createAnswerer({ bus, clock, log, maxBytes, secret, decided }: AnswererOptions): (request: Request) => Promise<Response> {
  const attempts = new Attempts<AnswerText>(clock);
  const told = new Map<string, number>();
  const complain = (kind: string, words: string): void => {
    const now = clock.monotonic();
    if (now - (told.get(kind) ?? Number.NEGATIVE_INFINITY) < quietMs) return;
    told.set(kind, now);
    log.write("WARN", words);
  };
  const failed = (name: TriggerName | undefined, words: string): AnswerText => {
    complain(`${name} ${words}`.replace(/\d+/g, "#").slice(0, 200), `${name ?? "a call"}: ${words}`);
    return failedText(name, words);
  };

  const ask = async (call: Call): Promise<AnswerText> => {
    const { name, payload } = call;
    if (!bus.handlers().some((handler) => handler.trigger === name))
      return failed(name, `${name} is configured at the MistServer and has no handler here`);
    const outcome = (await bus.fire(name, payload)) as Outcome;
    const why = misfit(outcome) ?? decided(name, payload, outcome);
    if (why === undefined) return answerText(name, payload, outcome);
    complain(`${name} ${why}`, `${name}: the answer of its handler is refused: ${why}`);
    return answerText(name, payload, (triggers[name] as TriggerDefinition).access ? { ...checkFailed, reason: why } : undefined);
  };

  const textFor = async (request: Request): Promise<AnswerText> => {
    let name: TriggerName | undefined;
    try {
      name = triggerOf(request.headers);
      if (secret && !secret(request))
        return failed(name, "the call does not show the secret of this receiver (?key=..., the last part of the path, or a header)");
      const call = readCall(name, await bodyOf(request, maxBytes), request.headers);
      const key = call.uuid && `${call.uuid} ${name} ${createHash("sha256").update(call.body).digest("base64")}`;
      return await (key ? attempts.once(key, () => ask(call)) : ask(call));
    } catch (error) {
      return failed(name, isSluiceError(error) ? error.message : `the call could not be answered: ${messageOf(error)}`);
    }
  };

  return async (request) => {
    if (request.method !== "POST")
      return new Response("This address answers the triggers of a MistServer, which come as POST.\n", {
        status: 405,
        headers: { Allow: "POST", "Content-Type": "text/plain" },
      });
    const { body, headers } = await textFor(request);
    const bytes = new TextEncoder().encode(body);
    return new Response(bytes, {
      headers: {
        ...headers,
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": String(bytes.length),
        "Cache-Control": "no-store",
      },
    });
  };
}

/** A MistServer takes a value as it is, with its line breaks. */
function misfit(outcome: Outcome): string | undefined {
  // oxlint-disable-next-line no-control-regex -- control characters are what this finds
  const broken = outcome?.kind === "rewrite" && /[\u0000-\u001f\u007f]/.test(outcome.to);
  return broken ? "the value holds control characters" : undefined;
}
