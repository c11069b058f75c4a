import { isSluiceError, messageOf, SluiceError } from "../base/errors.ts";
import { streamName } from "../base/stream-name.ts";
import type { AccessRequest, Admission, Renewed } from "../sessions/access-request.ts";
import type { Identity, SessionConnection, Sessions, SessionType, Standing } from "../sessions/session.ts";
import { generateToken, readToken, tokenCookie, tokenPlace, urlToken } from "../sessions/token.ts";
import type { Stream } from "../streams/stream.ts";
import type { Connections, OpenConnection } from "./connections.ts";
import type { Programs } from "./fallback/programs.ts";
import type { Inputs } from "./inputs.ts";
import type { LimitState } from "./limits/limit.ts";
import type { LimitKeeper } from "./limits/limit-keeper.ts";
import { fallbackOf, limitOf } from "./limits/refusal.ts";
import { Question, type QuestionParts } from "./question.ts";
import { noOldToken, Renewals } from "./renewals.ts";
import type { Resolver, Target } from "./resolver.ts";
import { Route, type Routes } from "./routes.ts";
import { Output } from "./told/output.ts";
import { ViewerIdentities } from "./viewer-identity.ts";
import { Visit } from "./visit.ts";
import { keptNo } from "./why/witness.ts";

export type PlayOptions = QuestionParts & {
  readonly sessions: Sessions;
  readonly connections: Connections;
  readonly inputs: Inputs;
  readonly programs: Programs;
  readonly resolver: Resolver;
  readonly routes: Routes;
  /** Declared limits, as far as they explain; left out: there are none. */
  readonly limits: Pick<LimitKeeper, "of"> | undefined;
};

/** The viewers' door: CONN_OPEN, the stream, the session with its question, CONN_PLAY. Nothing is sent before the last yes. */
export class Play {
  readonly #options: PlayOptions;
  readonly #renewals: Renewals;
  readonly #identities: ViewerIdentities;

  constructor(options: PlayOptions) {
    this.#options = options;
    const { clock, sessions, settings, tokens } = options;
    this.#renewals = new Renewals({ clock, sessions, tknMode: () => settings.sessions.tknMode });
    this.#identities = new ViewerIdentities(() => settings.sessions, tokens);
  }

  /**
   * Rejects with "access.denied", "access.full", "access.offline" or "access.ended"; the message is for the client and names no
   * stream, and the error has the decision's number.
   */
  async admit(request: AccessRequest): Promise<Admission<Stream>> {
    const { clock, tokens, witness } = this.#options;
    const visit = new Visit(request, clock, tokens);
    try {
      const admission = await this.#admit(visit);
      if (visit.begins) witness.allowed(visit.seen("play"));
      return admission;
    } catch (error) {
      throw witness.refused(visit.seen("play"), error);
    }
  }

  /**
   * Brings a fresh token to the viewer's running session, which goes on whatever the answer is. The old token comes by cookie or
   * as `was`, the new one as `tkn` or bearer. Rejects with "access.denied", and with "access.unknown" when there is no such session.
   */
  async renew(request: AccessRequest): Promise<Renewed> {
    const { clock, tokens, witness } = this.#options;
    const visit = new Visit(request, clock, tokens);
    try {
      return await this.#renewed(visit);
    } catch (error) {
      throw witness.refused(visit.seen("renew"), error);
    }
  }

  async #admit(visit: Visit): Promise<Admission<Stream>> {
    const { routes, resolver, connections, settings } = this.#options;
    const { request, asked, host } = visit;
    if (asked === "") throw new SluiceError("access.offline", "The address has no stream name.");
    const connection = await connections.open(request, asked, asked, host, visit);
    const brought = visit.nameToken ?? readToken(request, settings.sessions.tknMode);
    visit.token = brought || this.#newToken(request, connection);
    visit.madeToken = brought === "";
    visit.key = routes.key(asked, host, visit.token, this.#identities.mark(request));
    const route = routes.find(visit.key, (stream) => this.#plays(stream) && !this.#leaves(request, stream));
    if (route) return await this.#enterOrElse(visit, connection, route, route);
    const search = routes.search(visit.key, () => resolver.resolve(asked, host, request, visit.trace));
    try {
      return await this.#enterOrElse(visit, connection, await search.target, undefined);
    } finally {
      search.done();
    }
  }

  /** The stream itself, or what is shown in its place. */
  #plays(stream: Stream): boolean {
    const { inputs, programs } = this.#options;
    return programs.has(stream) || inputs.playing(stream.name) === stream;
  }

  /** Who stays on what is shown in a stream's place gets the stream itself when it asks for it, or opens it anew. */
  #leaves({ query, lasting = false }: AccessRequest, stream: Stream): boolean {
    if (!lasting && query["tolive"] === undefined) return false;
    const standIn = this.#options.programs.standIn(stream);
    return standIn?.switch === "offer" && standIn.liveAgain;
  }

  /** Keeps a recording open, and counts who watches a stream whose viewers are kept when it goes offline. */
  #use(stream: Stream): Disposable | undefined {
    const uses = [this.#options.inputs.use(stream), this.#options.programs.use(stream)].filter((use) => use !== undefined);
    return uses.length < 2 ? uses[0] : { [Symbol.dispose]: () => uses.forEach((use) => use[Symbol.dispose]()) };
  }

  #newToken(request: AccessRequest, connection: OpenConnection): string {
    const handedOn = request.carriesToken && this.#options.settings.sessions.tknMode & (tokenPlace.writeUrl | tokenPlace.writeCookie);
    return handedOn ? generateToken() : connection.token;
  }

  /** A limit may send who comes to another stream, once: what it is refused there is its answer. */
  async #enterOrElse(visit: Visit, connection: OpenConnection, target: Target, route: Route | undefined): Promise<Admission<Stream>> {
    try {
      return await this.#enter(visit, connection, target, route);
    } catch (error) {
      const name = fallbackOf(error);
      if (name === undefined) throw error;
      const stream = await this.#options.resolver.instead(streamName(name), visit.trace);
      visit.trace.add("fallback", stream ? "another stream, as the limit says" : "what the limit names does not play");
      if (!stream || stream === target.stream) throw error;
      return await this.#enter(visit, connection, { stream, redirected: true }, undefined);
    }
  }

  async #enter(visit: Visit, connection: OpenConnection, target: Target, route: Route | undefined): Promise<Admission<Stream>> {
    const { request, host, asked } = visit;
    const { stream } = target;
    visit.stream = stream.name;
    const use = this.#use(stream);
    let session: SessionConnection | undefined;
    try {
      const type = this.#typeOf(request);
      const known = route?.identity(request.protocol);
      visit.known = type !== undefined && known?.type === type;
      const identity = type && (known?.type === type ? known : await this.#identities.of(visit, stream, type));
      if (identity) session = await this.#join(visit, identity, route !== undefined);
      connection.stillThere();
      if (!request.infoOnly) {
        await connection.play(stream.name, host, asked, request, session?.sessionId ?? "", visit);
        connection.stillThere();
        connection.last = { stream: stream.name, host, protocol: request.protocol, url: request.url };
      }
      if (!this.#plays(stream)) throw new SluiceError("access.offline", "This stream has just ended.");
      if (session && identity?.type === "viewer") this.#remember(visit, target, route, identity, session);
      return this.#admission(visit, connection, target, session, use);
    } catch (error) {
      session?.[Symbol.dispose]();
      use?.[Symbol.dispose]();
      throw error;
    }
  }

  /** Joins the session of the identity. `known`: the viewer has been let in before, and most likely is in it. */
  async #join(visit: Visit, identity: Identity, known: boolean): Promise<SessionConnection> {
    const { sessions } = this.#options;
    const question = new Question(this.#options, visit, identity);
    let standing: Standing | undefined;
    try {
      if (!known) {
        standing = this.#look(visit, identity);
        const living = this.#older(visit, identity, standing);
        if (living && (await this.#renewOnTheWay(visit, identity, living, question))) standing = living;
      }
      const session = await sessions.join(identity, question.ask);
      visit.sessionId = session.sessionId;
      if (standing?.state === "new" || standing?.state === "granted") visit.begins = true;
      if (visit.begins) this.#noteLimits(visit, identity);
      return session;
    } catch (error) {
      standing ??= this.#look(visit, identity);
      visit.rule = ruleOf(error, question, standing);
      if (question.answer?.kind === "allow") this.#noteLimits(visit, identity);
      throw error;
    } finally {
      question.leave();
    }
  }

  /** Notes the counters of declared limits. */
  #noteLimits(visit: Visit, identity: Identity): void {
    for (const state of this.#options.limits?.of({ identity, user: visit.user }) ?? []) visit.trace.add("limit", limitWords(state));
  }

  /** Notes what the identity meets. */
  #look(visit: Visit, identity: Identity): Standing {
    const standing = this.#options.sessions.standing(identity);
    visit.sessionId = standing.id;
    visit.trace.add("session", standingWords(standing));
    return standing;
  }

  /** A player's next request may bring a new token for the session that it is in. */
  #older(visit: Visit, identity: Identity, { state }: Standing): Standing | undefined {
    if (identity.type !== "viewer" || visit.madeToken || (state !== "new" && state !== "granted")) return undefined;
    const older = this.#renewals.olderTokens(visit.request, identity.token);
    return older.length === 0 ? undefined : this.#renewals.living(identity, older);
  }

  /**
   * That session is asked about with the new token, and goes on. Rejects when the answer is no. False when the session has ended
   * meanwhile, or when the token is another user's, who has a session of his own: people share browsers.
   */
  async #renewOnTheWay(visit: Visit, identity: Identity, living: Standing, question: Question): Promise<boolean> {
    visit.trace.add("renewal", "a new token beside that of a session that lives");
    visit.sessionId = living.id;
    try {
      await this.#renewals.renew(living.id, identity, question.ask);
    } catch (error) {
      if (question.answer?.kind === "deny") throw error;
      visit.trace.add("renewal", `begins a session of its own: ${messageOf(error)}`);
      return false;
    }
    this.#options.witness.allowed(visit.seen("renew"));
    return true;
  }

  async #renewed(visit: Visit): Promise<Renewed> {
    const { routes, resolver, connections, settings } = this.#options;
    const { request, asked, host } = visit;
    if (asked === "") throw new SluiceError("access.offline", "The address has no stream name.");
    await connections.open(request, asked, asked, host, visit);
    const token = visit.nameToken ?? readToken({ ...request, cookies: {} }, settings.sessions.tknMode | tokenPlace.readQuery);
    if (token === "") throw new SluiceError("input.invalid", "There is no new token; send it as tkn, or as Authorization: Bearer.");
    visit.token = token;
    for (const old of this.#renewals.olderTokens(request, "")) {
      const key = routes.key(asked, host, old, this.#identities.mark(request));
      const route = routes.find(key, (stream) => this.#plays(stream));
      const target = route ?? (await resolver.resolve(asked, host, request, visit.trace));
      visit.token = old;
      const held = route?.newest ?? (await this.#identities.of(visit, target.stream, "viewer"));
      visit.token = token;
      const living = this.#renewals.living(held, [old]);
      if (!living) continue;
      const fresh = await this.#identities.of(visit, target.stream, "viewer");
      return await this.#renewAs(visit, { ...fresh, protocol: held.protocol }, living, target);
    }
    throw noOldToken();
  }

  async #renewAs(visit: Visit, identity: Identity, living: Standing, target: Target): Promise<Renewed> {
    const { routes, witness } = this.#options;
    visit.stream = identity.stream;
    visit.sessionId = living.id;
    const question = new Question(this.#options, visit, identity);
    try {
      await this.#renewals.renew(living.id, identity, question.ask);
      const expiresAt = this.#renewals.expiry(question.answer);
      const key = routes.key(visit.asked, visit.host, identity.token, this.#identities.mark(visit.request));
      routes.keep(key, living.id, new Route(target, identity));
      witness.allowed(visit.seen("renew"));
      const cookie = tokenCookie(identity.token, this.#options.settings.sessions.tknMode, isSecure(visit.request));
      return { sessionId: living.id, ...(expiresAt !== undefined && { expiresAt }), ...(cookie !== undefined && { cookie }) };
    } finally {
      question.leave();
    }
  }

  #remember(visit: Visit, target: Target, route: Route | undefined, identity: Identity, session: SessionConnection): void {
    if (session.signal.aborted) throw session.signal.reason;
    const kept = route ?? new Route(target);
    kept.keep(identity);
    if (!route) this.#options.routes.keep(visit.key, session.sessionId, kept);
  }

  /** What kind of session the request belongs to; undefined for none. */
  #typeOf({ protocol, infoOnly }: AccessRequest): SessionType | undefined {
    if (protocol.startsWith("INPUT:")) return "input";
    if (protocol.startsWith("OUTPUT:")) return "output";
    if (!infoOnly) return "viewer";
    switch (this.#options.settings.sessions.sessionStreamInfoMode) {
      case 2:
        return "output";
      case 3:
        return undefined;
      case 4:
        return "unspecified";
      default:
        return "viewer";
    }
  }

  #admission(
    visit: Visit,
    connection: OpenConnection,
    target: Target,
    session: SessionConnection | undefined,
    use: Disposable | undefined,
  ): Admission<Stream> {
    const { request, token, asked, host } = visit;
    const { tknMode } = this.#options.settings.sessions;
    const { clock, triggers, programs } = this.#options;
    const { protocol, lasting = false } = request;
    const output = new Output({ clock, triggers, connection, stream: target.stream.name, host, protocol, lasting });
    const closer: Disposable = {
      [Symbol.dispose]: () => {
        connection.release(closer);
        output.close();
        session?.[Symbol.dispose]();
        use?.[Symbol.dispose]();
      },
    };
    connection.hold(closer);
    return {
      value: target.stream,
      askedName: asked,
      sessionId: session?.sessionId ?? "",
      token,
      urlToken: request.carriesToken ? urlToken(token, tknMode) : undefined,
      cookie: request.carriesToken ? tokenCookie(token, tknMode, isSecure(request)) : undefined,
      get redirected() {
        return target.redirected || programs.showsOther(target.stream);
      },
      standIn: () => programs.standIn(target.stream),
      onStandIn: (run) => programs.onChange((state) => state.stream === target.stream.name && run()),
      count: (up, down) => {
        session?.count(up, down);
        output.sent(up);
      },
      position: (ms) => {
        session?.position(ms);
        output.position(ms);
      },
      ends: (reason, bytes) => output.ends(reason, bytes),
      get signal() {
        return session?.signal ?? connection.signal;
      },
      [Symbol.dispose]: closer[Symbol.dispose],
    };
  }
}

/** `two-per-user: 2 of 2 sessions, reached`. */
function limitWords({ name, rule, measure, used, most, closed }: LimitState): string {
  const amount = measure === "sessions" ? `${used} of ${most} sessions` : `${mbits(used)} of ${mbits(most)} Mbit/s ${measure}`;
  return `${name} (${rule.by}): ${amount}${closed ? ", reached" : ""}`;
}

function mbits(bits: number): number {
  return Math.round(bits / 1e4) / 100;
}

/** What decided about a viewer that was refused by its session; undefined: the trace knows. */
function ruleOf(error: unknown, { answer }: Question, standing: Standing): string | undefined {
  const limit = limitOf(error);
  if (limit !== undefined) return `limit ${limit}`;
  if (answer?.kind === "allow") return isSluiceError(error, "access.ended") ? undefined : "the limits of the yes to USER_NEW";
  if (answer) return undefined;
  if (standing.state === "refused") return keptNo;
  if (standing.state === "barred") return `a no that is for all with this ${standing.scope ?? "token"}`;
  return standing.state === "checking" ? "the answer to another request of this session" : undefined;
}

function standingWords({ state, until, scope }: Standing): string {
  const end = until === undefined ? "" : ` until ${new Date(until).toISOString()}`;
  switch (state) {
    case "living":
      return `joins one that lives${end}`;
    case "checking":
      return "waits for the answer to another request of it";
    case "refused":
      return `its no is remembered${end}`;
    case "barred":
      return `a no that is for all with this ${scope ?? "token"} holds${end}`;
    case "granted":
      return `is new; a yes that is for all with this ${scope ?? "token"} holds${end}`;
    case "new":
      return "is new";
  }
}

/** True when the client's own connection is over TLS, as far as is known. */
function isSecure({ url }: AccessRequest): boolean {
  return /^(?:https|wss):/i.test(url);
}
