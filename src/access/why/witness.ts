import { canonicalAddress } from "../../base/address.ts";
import { isSluiceError, messageOf, SluiceError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { streamName } from "../../base/stream-name.ts";
import type { AccessRequest } from "../../sessions/access-request.ts";
import type { SessionEnd, Sessions } from "../../sessions/session.ts";
import type { DecisionBook, DecisionFacts } from "../decisions.ts";
import { stepWords, type Trace } from "../trace.ts";

/** What sessions end with that nobody has ended. */
const noDecision: readonly string[] = ["The session was idle.", "The server is shutting down."];

/** What is known of a client's request when it is decided. */
export type Seen = {
  readonly kind: DecisionFacts["kind"];
  readonly request: Pick<AccessRequest, "address" | "protocol" | "stream" | "password">;
  readonly trace: Trace;
  /** Sanitised; left out: that of the request. */
  readonly asked?: string;
  readonly token?: string;
  readonly sessionId?: string;
  readonly stream?: string;
  readonly user?: string;
  /** What decided, if the trace does not know. */
  readonly rule?: string;
};

/** Writes down what the two doors decide, and numbers what the refused are told. */
export class Witness implements Disposable {
  readonly #book: DecisionBook;
  readonly #log: Log;
  readonly #listener: Disposable;

  constructor(book: DecisionBook, log: Log, sessions: Pick<Sessions, "onEnd">) {
    this.#book = book;
    this.#log = log;
    this.#listener = sessions.onEnd((end, why) => this.#ended(end, why));
  }

  [Symbol.dispose](): void {
    this.#listener[Symbol.dispose]();
  }

  /** Somebody was let in, or stays. */
  allowed(seen: Seen): void {
    this.#book.add(factsOf(seen, "allow", ""));
  }

  /** Somebody was refused. Gives the error that the client is to be told; an error that is no decision comes back as it is. */
  refused(seen: Seen, error: unknown): unknown {
    const { kind, sessionId, rule, request } = seen;
    const kept = sessionId && rule === keptNo ? this.#book.again(sessionId) : undefined;
    const { id, reason, steps } = kept ?? this.#book.add(factsOf(seen, "deny", messageOf(error)));
    const fields = { protocol: request.protocol, address: canonicalAddress(request.address) };
    // What is kept has no secrets in it; what a handler has said may have. What was told before is not told again.
    const words = kept || steps.length === 0 ? "" : ` [${stepWords(steps)}]`;
    // A push is somebody's work; a viewer's refusal is everyday.
    if (kind === "publish") this.#log.write("WARN", `A push was refused (decision ${id}): ${reason}`, fields);
    if (kind !== "publish" || words !== "") {
      const who = kind === "publish" ? "push" : kind === "renew" ? "renewal" : "viewer";
      this.#log.write("MEDIUM", `A ${who} was refused (decision ${id}): ${reason}${words}`, fields);
    }
    return isSluiceError(error) ? numbered(error, id) : error;
  }

  /** A recheck or a renewal was answered without anybody waiting at the door. */
  answered(facts: DecisionFacts): void {
    this.#book.add(facts);
  }

  /** Who was ended by a command, by a limit, or by a no to somebody else; the no of its own recheck stands there already. */
  #ended(end: SessionEnd, why: SluiceError): void {
    if (end.type !== "viewer" || noDecision.includes(why.message)) return;
    const { id, host, protocol, stream, user, token, seconds } = end;
    const last = this.#book.lastNo(id);
    if (last?.kind === "recheck" && last.reason === why.message) return;
    this.#book.add({
      kind: "end",
      result: "deny",
      reason: why.message,
      rule:
        why.code === "access.ended"
          ? "ended by a command"
          : why.code === "access.full"
            ? "ended by a limit"
            : "a no that is for this session, too",
      sessionId: id,
      address: host,
      protocol,
      asked: stream,
      stream,
      user,
      token,
      steps: [{ step: "end", ms: 0, text: `after ${seconds} s` }],
    });
  }
}

/** The rule of a refusal that was decided before. */
export const keptNo = "a no that is remembered";

/** The same refusal with the decision's number. */
export function numbered(error: SluiceError, decisionId: string): SluiceError {
  const { retryAfterMs, watchedMs } = error;
  return new SluiceError(error.code, error.message, {
    cause: error,
    decisionId,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(watchedMs !== undefined && { watchedMs }),
  });
}

function factsOf(seen: Seen, result: DecisionFacts["result"], reason: string): DecisionFacts {
  const { kind, request, trace, token = "", sessionId = "", stream = "", user = "", rule } = seen;
  return {
    kind,
    result,
    reason,
    rule: rule ?? trace.rule(result, reason),
    sessionId,
    address: canonicalAddress(request.address),
    protocol: request.protocol,
    asked: seen.asked ?? streamName(request.stream),
    stream,
    user,
    token,
    secrets: [request.stream, ...(request.password === undefined || trace.withoutPassword ? [] : [request.password])],
    steps: trace.steps,
  };
}
