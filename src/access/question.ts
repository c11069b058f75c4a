import { type Allow, allow, type Deny, deny, type Verdict } from "../base/decision.ts";
import type { StreamName } from "../base/stream-name.ts";
import { type Clock, durationMs } from "../base/time.ts";
import type { Ask, Identity } from "../sessions/session.ts";
import type { Triggers } from "../triggers/trigger.ts";
import { detailsOf } from "./connections.ts";
import type { AskedWith, KeptRequests } from "./kept-request.ts";
import type { GateSettings } from "./settings.ts";
import type { AgentTags } from "./told/agent-tags.ts";
import type { SessionEnds } from "./told/session-ends.ts";
import { requiresToken, tokenRefusal } from "./tokens/required.ts";
import type { TokenUse, TokenVerdict, TokenVerifier } from "./tokens/verifier.ts";
import { Trace } from "./trace.ts";
import type { Visit } from "./visit.ts";
import type { Witness } from "./why/witness.ts";

/** What questions about viewers need; shared by all of them. */
export type QuestionParts = {
  readonly clock: Clock;
  readonly settings: GateSettings;
  readonly triggers: Triggers;
  readonly agentTags: AgentTags;
  readonly ends: SessionEnds;
  readonly witness: Witness;
  readonly tokens: TokenVerifier | undefined;
  readonly requests: KeptRequests;
};

/** MistServer remembers a refusal so long, or until the token's `nbf`. */
const refusalMs = 600_000;

/**
 * The question about one viewer, as long as its session lives: a JWT that holds is a yes, else USER_NEW is asked, with the final
 * stream and the client's own URL; the seventh line only at the first time.
 */
export class Question {
  readonly #parts: QuestionParts;
  #request: AskedWith;
  readonly #asked: StreamName;
  readonly #identity: Identity;
  /** Until the first answer: what is asked later is written down by itself. */
  #visit: Visit | undefined;
  /** The answer that the visit got; undefined when the visit has asked nothing. */
  answer: Verdict | undefined;

  constructor(parts: QuestionParts, visit: Visit, identity: Identity) {
    this.#parts = parts;
    this.#request = visit.request;
    this.#asked = visit.asked;
    this.#identity = identity;
    this.#visit = visit;
  }

  /** For the sessions, which keep it. */
  readonly ask: Ask = async (sessionId, first, known) => {
    const visit = this.#visit;
    if (!visit) return await this.#recheck(sessionId, known);
    if (first) this.#parts.agentTags.add(sessionId, this.#request.headers["user-agent"]);
    visit.sessionId = sessionId;
    const verdict = await this.#verdict(sessionId, first, known, visit.trace);
    visit.begins = first;
    visit.user = verdict.user ?? "";
    this.answer = verdict;
    return verdict;
  };

  /** The visit is over; from now on the session's own questions are meant, if there are any. */
  leave(): void {
    // Requests of who is in already ask nothing, and nobody keeps their question.
    if (this.#visit?.known !== true || this.answer) this.#request = this.#parts.requests.keep(this.#request);
    this.#visit = undefined;
    this.answer = undefined;
  }

  async #recheck(sessionId: string, known: Verdict | undefined): Promise<Verdict> {
    const { witness, clock } = this.#parts;
    const trace = new Trace(clock);
    const verdict = await this.#verdict(sessionId, false, known, trace);
    const { stream, address, protocol, token } = this.#identity;
    const failed = verdict.kind === "deny" && verdict.failed === true;
    const result = failed ? "allow" : verdict.kind;
    const rule = trace.rule(verdict.kind, verdict.kind === "deny" ? verdict.reason : "");
    witness.answered({
      kind: "recheck",
      result,
      reason: verdict.kind === "deny" && !failed ? verdict.reason : "",
      rule: failed ? `${rule}: the session goes on as long as its last yes holds` : rule,
      sessionId,
      address,
      protocol,
      asked: this.#asked,
      stream,
      user: verdict.user ?? "",
      token,
      secrets: [this.#request.stream],
      steps: trace.steps,
    });
    return verdict;
  }

  async #verdict(sessionId: string, first: boolean, known: Verdict | undefined, trace: Trace): Promise<Verdict> {
    const { triggers, ends } = this.#parts;
    const { stream } = this.#identity;
    const shown = await this.#token(trace);
    const strict = this.#refusedByToken(shown, trace);
    if (strict) return strict;
    const holds = shown?.kind === "valid";
    if (!holds && !triggers.wants("USER_NEW", stream)) {
      trace.add("USER_NEW", "no handler is for this stream");
      return allow();
    }
    if (first) await ends.beforeStart(sessionId, this.#identity);
    if (holds) return tokenYes(shown);
    if (known) {
      trace.yes(`an answer that holds for all with this ${known.scope ?? "token"}`);
      return known;
    }
    const { address, token, protocol, url } = this.#identity;
    const payload = { stream, host: address, token, protocol, url, sessionId, ...detailsOf(this.#request, this.#asked, !first) };
    const verdict = await triggers.fire("USER_NEW", first ? { ...payload, tokenIsJwt: "false" } : payload, undefined, trace.told);
    return verdict.kind === "deny" && shown?.kind === "invalid" ? this.#until(verdict, shown) : verdict;
  }

  /** What the viewer's JWT is worth; undefined when it has none. */
  async #token(trace: Trace): Promise<Exclude<TokenVerdict, { kind: "none" }> | undefined> {
    const { tokens } = this.#parts;
    const { token, madeToken, stream, address } = this.#identity;
    if (!tokens || madeToken || token === "") return undefined;
    const use: TokenUse = { permission: "output", stream, address };
    const verdict = await tokens.verify(token, use);
    if (verdict.kind === "none") return undefined;
    if (verdict.kind === "valid") {
      const { expiresAt } = verdict;
      trace.add("JWT", expiresAt === undefined ? "holds, without an end" : `holds until ${new Date(expiresAt).toISOString()}`);
      trace.yes("a JWT that holds");
    } else trace.add("JWT", `does not hold: ${verdict.reason}`);
    return verdict;
  }

  /** The no of a stream that nobody watches without a JWT. It is not remembered: looking again costs nothing. */
  #refusedByToken(shown: TokenVerdict | undefined, trace: Trace): Deny | undefined {
    const { settings } = this.#parts;
    if (shown?.kind === "valid") return undefined;
    if (!requiresToken(settings, this.#identity.stream)) return undefined;
    trace.add("requireToken", "the stream asks for a JWT that holds");
    trace.no("requireToken of the stream");
    const no = deny(tokenRefusal(shown ?? { kind: "none" }).message, { denyFor: 0 });
    return shown?.kind === "invalid" ? this.#until(no, shown) : no;
  }

  /** A no to a token that will hold later lasts until then at most. */
  #until(verdict: Deny, { notBefore }: Extract<TokenVerdict, { kind: "invalid" }>): Deny {
    if (notBefore === undefined || verdict.failed) return verdict;
    const left = Math.max(0, notBefore - this.#parts.clock.now());
    const denyFor = Math.min(left, durationMs(verdict.denyFor ?? refusalMs));
    return { ...verdict, denyFor, retryAfter: verdict.retryAfter ?? left };
  }
}

/** The yes of a JWT lasts as long as that. */
function tokenYes({ expiresAt }: Extract<TokenVerdict, { kind: "valid" }>): Allow {
  return expiresAt === undefined ? allow() : allow({ expiresAt });
}
