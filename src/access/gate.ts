import { lookup as lookupAddress } from "node:dns/promises";
import type { Log } from "../base/log.ts";
import { baseName } from "../base/stream-name.ts";
import type { Clock } from "../base/time.ts";
import type { AccessRequest, Admission, Renewed } from "../sessions/access-request.ts";
import type { Sessions } from "../sessions/session.ts";
import type { Stream, StreamDirectory, StreamWriter } from "../streams/stream.ts";
import type { Outbox } from "../triggers/delivery/outbox.ts";
import type { Triggers } from "../triggers/trigger.ts";
import { AgentTags } from "./told/agent-tags.ts";
import { Connections } from "./connections.ts";
import { createDecisions, type DecisionBook } from "./decisions.ts";
import { FallbackRules } from "./fallback/fallback-rules.ts";
import { Programs } from "./fallback/programs.ts";
import { Inputs, type OpenInput } from "./inputs.ts";
import { KeptRequests } from "./kept-request.ts";
import type { LimitKeeper } from "./limits/limit-keeper.ts";
import { Play } from "./play.ts";
import type { PendingPushes } from "./pending-pushes.ts";
import { Publish } from "./publish.ts";
import { Resolver } from "./resolver.ts";
import { Routes } from "./routes.ts";
import { SessionEnds } from "./told/session-ends.ts";
import type { SessionJournal } from "./told/session-journal.ts";
import { type GateSettings, liveOptionsOf } from "./settings.ts";
import { StreamTriggers } from "./told/stream-triggers.ts";
import type { StreamKeys, TokenVerifier } from "./tokens/verifier.ts";
import { Trace } from "./trace.ts";
import type { Lookup } from "./whitelist.ts";
import { type Seen, Witness } from "./why/witness.ts";

export type { GateSettings, StreamSettings } from "./settings.ts";

export type GateOptions = {
  readonly clock: Clock;
  readonly log: Log;
  readonly settings: GateSettings;
  readonly directory: StreamDirectory;
  readonly sessions: Sessions;
  readonly triggers: Triggers;
  readonly openInput: OpenInput;
  /** Where open sessions are kept; left out: their ends are lost when the server is killed. */
  readonly journal?: SessionJournal;
  /** Where notifications that must arrive wait: a session's end goes out before its successor is asked about. */
  readonly outbox?: Pick<Outbox, "pending" | "settled">;
  /** Resolves host names in `push://HOST`; the system's resolver if left out. */
  readonly lookup?: Lookup;
  /** Checks JWTs of viewers and publishers; left out: no text is one. */
  readonly tokens?: TokenVerifier;
  /** Left out: there are none. */
  readonly streamKeys?: StreamKeys;
  /** Holds publishers to the limits of what may be pushed, and explains those of viewers; left out: there are none. */
  readonly limits?: Pick<LimitKeeper, "admitPublisher" | "of">;
  /** Pushes that were given a name and have not begun; left out: nobody wants to know. */
  readonly pending?: PendingPushes;
  /** Where it is written down who was let in and refused, and why; left out: nobody will ask. */
  readonly decisions?: DecisionBook;
  /** What viewers are shown while their stream is offline; left out: what the configuration of each stream says. */
  readonly fallbackRules?: Pick<FallbackRules, "of">;
};

/** The only way in, for publishers and viewers alike. Protocols hand over plain data and get an admission or an error. */
export interface Gate {
  /** Rejects with a `SluiceError` "access.*" whose message the client may see. */
  publish(request: AccessRequest): Promise<Admission<StreamWriter>>;
  /** Rejects with a `SluiceError` "access.*" whose message the client may see. */
  play(request: AccessRequest): Promise<Admission<Stream>>;
  /**
   * Brings a fresh token to a viewer's running session. The old token comes as cookie or as `was`, the new one as `tkn` or bearer.
   * Rejects with "access.denied" when the new one does not hold (the session goes on), with "access.unknown" when there is no session of
   * the old one.
   */
  renew(request: AccessRequest): Promise<Renewed>;
  /** What viewers of streams that are offline are shown. */
  readonly programs: Programs;
  /** Tells the ends of sessions that an earlier run has left; to be awaited before anybody is let in. */
  recover(): Promise<void>;
  /** Stops its timer and waits for the notifications on their way. Close sessions and streams before, so that theirs are among them. */
  close(): Promise<void>;
}

/** Puts the gate together. It owns none of what it is given. */
export function createGate(options: GateOptions): Gate {
  const { clock, log, settings, directory, sessions, triggers, openInput, lookup = systemLookup, tokens, streamKeys } = options;
  const connections = new Connections(triggers, log);
  const inputs = new Inputs({ clock, log, settings, directory, triggers, openInput });
  const routes = new Routes(sessions);
  const requests = new KeptRequests();
  const agentTags = new AgentTags(clock, sessions);
  const rules = options.fallbackRules ?? new FallbackRules(settings, () => []);
  const programs = new Programs({
    ...{ clock, log, directory, openInput },
    ruleOf: (stream) => rules.of(stream),
    find: async (name) => {
      const stream = await inputs.find(name, new Trace(clock));
      return stream && { stream, use: inputs.use(stream) };
    },
    liveOptions: (stream) => liveOptionsOf(settings.stream(baseName(stream)), "fallback"),
  });
  const resolver = new Resolver({ clock, settings, triggers, inputs, programs });
  const ends = new SessionEnds({ clock, log, sessions, triggers, journal: options.journal, outbox: options.outbox });
  const told = new StreamTriggers({ log, directory, sessions, triggers, ends });
  const { decisions = createDecisions({ clock }) } = options;
  const witness = new Witness(decisions, log, sessions);
  const play = new Play({
    ...{ clock, settings, sessions, triggers, connections, inputs, programs, resolver, routes, requests, agentTags, ends, witness },
    tokens: options.tokens,
    limits: options.limits,
  });
  const publish = new Publish({
    ...{ clock, log, settings, sessions, triggers, directory, connections, inputs, lookup, tokens, streamKeys },
    limits: options.limits,
    pending: options.pending,
  });
  const ticker = clock.every(1000, () => {
    inputs.tick();
    agentTags.tick();
    ends.tick();
    publish.tick();
  });
  const witnessed = async (request: AccessRequest, trace: Trace): Promise<Admission<StreamWriter>> => {
    // What was pushed to may be the publisher's token.
    const seen: Seen = { kind: "publish", request, trace, token: request.stream.split("?", 1)[0] ?? "" };
    try {
      const admission = await publish.admit(request, trace);
      const { value, sessionId } = admission;
      witness.allowed({ ...seen, stream: value.stream.name, sessionId });
      return admission;
    } catch (error) {
      throw witness.refused(seen, error);
    }
  };
  return {
    publish: (request) => witnessed(request, new Trace(clock)),
    play: (request) => play.admit(request),
    renew: (request) => play.renew(request),
    programs,
    recover: () => ends.makeUp(),
    async close() {
      ticker[Symbol.dispose]();
      for (const part of [programs, inputs, routes, publish, told, ends, witness]) part[Symbol.dispose]();
      await connections.drained();
      await told.drained();
    },
  };
}

async function systemLookup(host: string): Promise<readonly string[]> {
  return (await lookupAddress(host, { all: true })).map(({ address }) => address);
}
