import { canonicalAddress } from "../base/address.ts";
import { allow } from "../base/decision.ts";
import { messageOf, SluiceError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { type StreamName, streamName } from "../base/stream-name.ts";
import type { Clock } from "../base/time.ts";
import type { AccessRequest, Admission } from "../sessions/access-request.ts";
import type { Ask, Identity, SessionConnection, Sessions, SessionType } from "../sessions/session.ts";
import { generateToken, readToken, tokenCookie, tokenPlace, urlToken } from "../sessions/token.ts";
import type { Stream } from "../streams/stream.ts";
import type { Triggers } from "../triggers/trigger.ts";
import type { AgentTags } from "./told/agent-tags.ts";
import { type Connections, detailsOf, type OpenConnection } from "./connections.ts";
import type { Inputs } from "./inputs.ts";
import { Output } from "./told/output.ts";
import type { Resolver, Target } from "./resolver.ts";
import type { Route, Routes } from "./routes.ts";
import type { SessionEnds } from "./told/session-ends.ts";
import type { GateSettings } from "./settings.ts";
import { Trace } from "./trace.ts";

export type PlayOptions = {
  readonly clock: Clock;
  readonly log: Log;
  readonly settings: GateSettings;
  readonly sessions: Sessions;
  readonly triggers: Triggers;
  readonly connections: Connections;
  readonly inputs: Inputs;
  readonly resolver: Resolver;
  readonly routes: Routes;
  readonly agentTags: AgentTags;
  readonly ends: SessionEnds;
};

/** One viewer's request on its way through the gate. */
type Visit = {
  readonly request: AccessRequest;
  readonly asked: StreamName;
  readonly host: string;
  readonly trace: Trace;
  readonly connection: OpenConnection;
  readonly token: string;
  /** True when the client brought none. */
  readonly madeToken: boolean;
  readonly key: string;
};

/** The viewers' door: CONN_OPEN, the stream, the session with its USER_NEW, CONN_PLAY. Nothing is sent before the last yes. */
export class Play {
  readonly #options: PlayOptions;

  constructor(options: PlayOptions) {
    this.#options = options;
  }

  /** Rejects with "access.denied", "access.offline" or "access.ended"; the message is for the client and names no stream. */
  async admit(request: AccessRequest): Promise<Admission<Stream>> {
    const { clock, log, routes, connections } = this.#options;
    const trace = new Trace(clock);
    try {
      const asked = streamName(request.stream);
      if (asked === "") throw new SluiceError("access.offline", "The address has no stream name.");
      const host = canonicalAddress(request.address);
      const connection = await connections.open(request, asked, asked, host);
      const brought = readToken(request, this.#options.settings.sessions.tknMode);
      const token = brought || this.#newToken(request, connection);
      const key = routes.key(asked, host, token);
      return await this.#visit({ request, asked, host, trace, connection, token, madeToken: brought === "", key });
    } catch (error) {
      log.write("MEDIUM", `A viewer was refused: ${messageOf(error)} [${trace}]`, { protocol: request.protocol });
      throw error;
    }
  }

  #newToken(request: AccessRequest, connection: OpenConnection): string {
    const handedOn = request.carriesToken && this.#options.settings.sessions.tknMode & (tokenPlace.writeUrl | tokenPlace.writeCookie);
    return handedOn ? generateToken() : connection.token;
  }

  async #visit(visit: Visit): Promise<Admission<Stream>> {
    const { routes, inputs, resolver } = this.#options;
    const { key, asked, host, request, trace } = visit;
    const route = routes.find(key, (stream) => inputs.playing(stream.name) === stream);
    if (route) return this.#enter(visit, route, route);
    const search = routes.search(key, () => resolver.resolve(asked, host, request, trace));
    try {
      return await this.#enter(visit, await search.target, undefined);
    } finally {
      search.done();
    }
  }

  async #enter(visit: Visit, target: Target, route: Route | undefined): Promise<Admission<Stream>> {
    const { request, connection, host, asked } = visit;
    const { stream } = target;
    const use = this.#options.inputs.use(stream);
    let session: SessionConnection | undefined;
    try {
      const type = this.#typeOf(request);
      const identity = type && identityOf(visit, stream, type, route);
      if (identity) session = await this.#options.sessions.join(identity, this.#askOf(visit, identity));
      visit.trace.add("session", session ? "let in" : "none");
      connection.stillThere();
      if (!request.infoOnly) {
        await connection.play(stream.name, host, asked, request, session?.sessionId ?? "");
        connection.stillThere();
        connection.last = { stream: stream.name, host, protocol: request.protocol, url: request.url };
      }
      if (this.#options.inputs.playing(stream.name) !== stream) throw new SluiceError("access.offline", "This stream has just ended.");
      if (session && identity?.type === "viewer") this.#remember(visit, target, route, identity, session);
      return this.#admission(visit, target, session, use);
    } catch (error) {
      session?.[Symbol.dispose]();
      use?.[Symbol.dispose]();
      throw error;
    }
  }

  #remember(visit: Visit, target: Target, route: Route | undefined, identity: Identity, session: SessionConnection): void {
    if (session.signal.aborted) throw session.signal.reason;
    const kept = route ?? { ...target, identities: new Map() };
    kept.identities.set(identity.protocol, identity);
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

  /** USER_NEW with the final stream and the client's own URL; the seventh line only at the first time. */
  #askOf({ request, asked, host }: Visit, identity: Identity): Ask {
    const { triggers, agentTags, ends } = this.#options;
    const { stream, token, protocol, url } = identity;
    return async (sessionId, first, known) => {
      if (first) agentTags.add(sessionId, request.headers["user-agent"]);
      if (!triggers.wants("USER_NEW", stream)) return allow();
      if (first) await ends.beforeStart(sessionId, identity);
      const payload = { stream, host, token, protocol, url, sessionId, ...detailsOf(request, asked, !first) };
      return known ?? triggers.fire("USER_NEW", first ? { ...payload, tokenIsJwt: "false" } : payload);
    };
  }

  #admission(visit: Visit, target: Target, session: SessionConnection | undefined, use: Disposable | undefined): Admission<Stream> {
    const { request, token, asked, connection, host } = visit;
    const { tknMode } = this.#options.settings.sessions;
    const { clock, triggers } = this.#options;
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
      cookie: request.carriesToken ? tokenCookie(token, tknMode) : undefined,
      redirected: target.redirected,
      count: (up, down) => {
        session?.count(up, down);
        output.sent(up);
      },
      position: (ms) => {
        session?.position(ms);
        output.position(ms);
      },
      ends: (reason, bytes) => output.ends(reason, bytes),
      signal: session?.signal ?? connection.signal,
      [Symbol.dispose]: closer[Symbol.dispose],
    };
  }
}

/** The identity that the route has for this protocol, or a new one. */
function identityOf({ request, host, token, madeToken }: Visit, stream: Stream, type: SessionType, route: Route | undefined): Identity {
  const { protocol, url } = request;
  const known = route?.identities.get(protocol);
  return known?.type === type ? known : { type, stream: stream.name, address: host, token, madeToken, protocol, url };
}
