import { SluiceError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { type StreamName, streamName } from "../../base/stream-name.ts";
import type { Clock } from "../../base/time.ts";
import type { AccessRequest } from "../../sessions/access-request.ts";
import type { Sessions } from "../../sessions/session.ts";
import { readToken, tokenPlace } from "../../sessions/token.ts";
import type { GateSettings } from "../settings.ts";
import type { Trace } from "../trace.ts";
import { requiresToken, tokenRefusal } from "./required.ts";
import type { StreamKeys, TokenUse, TokenVerdict, TokenVerifier } from "./verifier.ts";

/** What lets a push go past the questions. */
export type PushPass =
  | { readonly kind: "key"; readonly stream: StreamName; readonly key: string }
  | {
      readonly kind: "jwt";
      readonly stream: StreamName;
      readonly token: string;
      /** As of the moment when it was let in. */
      readonly use: TokenUse;
      readonly claims: Readonly<Record<string, unknown>>;
      readonly expiresAt: number | undefined;
    };

/** What a publisher has shown. `verdict`: on its token, if it is no pass. */
export type Shown = {
  readonly pass: PushPass | undefined;
  readonly verdict: TokenVerdict;
  /** The token stands in the place of the stream's name, and means this stream. */
  readonly named: StreamName | undefined;
};

export type PushPassesOptions = {
  readonly clock: Clock;
  readonly log: Log;
  readonly settings: GateSettings;
  readonly sessions: Pick<Sessions, "stop">;
  readonly tokens: TokenVerifier | undefined;
  readonly streamKeys: StreamKeys | undefined;
};

type Running = { readonly sessionId: string; readonly pass: PushPass };

/**
 * Stream keys and JWTs of publishers. Who came with a pass is ended when the key, or the JWK that the token was signed with, is taken
 * away. A token's `exp` is for coming in; who is in stays, unless the stream requires a token.
 */
export class PushPasses implements Disposable {
  readonly #options: PushPassesOptions;
  readonly #running = new Set<Running>();
  readonly #listeners: readonly (Disposable | undefined)[];

  constructor(options: PushPassesOptions) {
    this.#options = options;
    const lookAtAll = (): void => {
      for (const push of this.#running) void this.#look(push);
    };
    this.#listeners = [options.tokens?.onChange(lookAtAll), options.streamKeys?.onChange(lookAtAll)];
  }

  /** Looks at the name (a stream key, then a JWT), then at `jwt` and `tkn` of the URL and the bearer token, which have to be for the asked stream. */
  async find(request: AccessRequest, address: string, trace: Trace): Promise<Shown> {
    const { tokens, streamKeys, clock } = this.#options;
    const raw = withoutQuery(request.stream);
    const stream = streamKeys?.streamOf(raw);
    if (stream !== undefined) {
      trace.add("stream key", "known");
      trace.yes("a stream key");
      return { pass: { kind: "key", stream, key: raw }, verdict: { kind: "none" }, named: undefined };
    }
    const sub = tokens?.streamOf(raw);
    const named = sub === undefined ? undefined : streamName(sub);
    const token = named === undefined ? readToken(request, tokenPlace.readQuery) : raw;
    if (!tokens || token === "") return { pass: undefined, verdict: { kind: "none" }, named };
    const use: TokenUse = { permission: "input", stream: named ?? streamName(raw), address, at: clock.now() };
    const verdict = await tokens.verify(token, use);
    if (verdict.kind === "none") return { pass: undefined, verdict, named };
    if (verdict.kind === "invalid") {
      trace.add("JWT", `does not hold: ${verdict.reason}`);
      return { pass: undefined, verdict, named };
    }
    const { claims, expiresAt } = verdict;
    trace.add("JWT", typeof claims["sub"] === "string" ? `holds, for ${JSON.stringify(claims["sub"].slice(0, 100))}` : "holds");
    trace.yes("a JWT that holds");
    return { pass: { kind: "jwt", stream: use.stream, token, use, claims, expiresAt }, verdict, named };
  }

  /** Refuses a push without a pass where one is required. `name` is the final one; throws "access.denied". */
  demand({ pass, verdict, named }: Shown, name: StreamName, asked: StreamName, trace: Trace): void {
    if (pass) return;
    // A token that does not hold and that no handler has made a name of must not become one: it would be shown as the stream's.
    const bare = verdict.kind === "invalid" && named !== undefined && name === asked;
    if (!bare && !requiresToken(this.#options.settings, name)) return;
    trace.no(bare ? "a JWT that does not hold" : "requireToken of the stream");
    throw tokenRefusal(verdict);
  }

  /** The push runs. Dispose when it has ended. Throws "access.denied" when its stream key was taken away in the meantime. */
  entered(sessionId: string, pass: PushPass): Disposable {
    if (!this.#keyHolds(pass)) throw new SluiceError("access.denied", "The stream key was taken away.");
    const push = { sessionId, pass };
    this.#running.add(push);
    if (pass.kind === "jwt") void this.#look(push);
    return { [Symbol.dispose]: () => void this.#running.delete(push) };
  }

  /** Ends those whose token has run out where one is required. Called once a second. */
  tick(): void {
    const now = this.#options.clock.now();
    for (const push of this.#running) {
      const { pass } = push;
      if (pass.kind !== "jwt" || pass.expiresAt === undefined || now < pass.expiresAt) continue;
      if (requiresToken(this.#options.settings, pass.stream)) this.#end(push, "The token has expired.");
    }
  }

  [Symbol.dispose](): void {
    for (const listener of this.#listeners) listener?.[Symbol.dispose]();
    this.#running.clear();
  }

  /** Ends a push whose pass does not hold any more. */
  async #look(push: Running): Promise<void> {
    const { pass } = push;
    if (pass.kind === "key") {
      if (!this.#keyHolds(pass)) this.#end(push, "The stream key was taken away.");
      return;
    }
    const verdict = await this.#options.tokens?.verify(pass.token, pass.use);
    if (verdict?.kind !== "valid") this.#end(push, "The key of the token was taken away.");
  }

  #keyHolds(pass: PushPass): boolean {
    return pass.kind !== "key" || this.#options.streamKeys?.streamOf(pass.key) === pass.stream;
  }

  #end(push: Running, reason: string): void {
    if (!this.#running.delete(push)) return;
    this.#options.log.write("INFO", `A push was ended: ${reason}`, { stream: push.pass.stream });
    this.#options.sessions.stop(({ id }) => id === push.sessionId, reason);
  }
}

function withoutQuery(value: string): string {
  const query = value.indexOf("?");
  return query < 0 ? value : value.slice(0, query);
}
