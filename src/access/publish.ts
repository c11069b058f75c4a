import { canonicalAddress } from "../base/address.ts";
import type { PushLife, Rewriting } from "../base/decision.ts";
import { isSluiceError, messageOf, SluiceError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { baseName, type StreamName, streamName } from "../base/stream-name.ts";
import type { Clock } from "../base/time.ts";
import type { AccessRequest, Admission } from "../sessions/access-request.ts";
import type { SessionConnection, Sessions } from "../sessions/session.ts";
import type { LiveOptions, StreamDirectory, StreamWriter } from "../streams/stream.ts";
import type { Triggers } from "../triggers/trigger.ts";
import { type Connections, detailsOf, type OpenConnection } from "./connections.ts";
import type { Inputs } from "./inputs.ts";
import type { LimitKeeper } from "./limits/limit-keeper.ts";
import { PendingPushes } from "./pending-pushes.ts";
import { Output } from "./told/output.ts";
import { type GateSettings, liveOptionsOf } from "./settings.ts";
import { keySource, parsePushSource, publicSource, samePassword } from "./source.ts";
import { type PushPass, PushPasses } from "./tokens/push-passes.ts";
import type { StreamKeys, TokenVerifier } from "./tokens/verifier.ts";
import { Trace } from "./trace.ts";
import { addressFits, type Lookup } from "./whitelist.ts";

export type PublishOptions = {
  readonly clock: Clock;
  readonly log: Log;
  readonly settings: GateSettings;
  readonly sessions: Sessions;
  readonly triggers: Triggers;
  readonly directory: StreamDirectory;
  readonly connections: Connections;
  readonly inputs: Inputs;
  readonly lookup: Lookup;
  readonly tokens: TokenVerifier | undefined;
  readonly streamKeys: StreamKeys | undefined;
  readonly limits: Pick<LimitKeeper, "admitPublisher"> | undefined;
  /** Those that have not begun; left out: nobody wants to know. */
  readonly pending: PendingPushes | undefined;
};

type Push = {
  readonly request: AccessRequest;
  readonly host: string;
  readonly asked: StreamName;
  readonly trace: Trace;
  readonly connection: OpenConnection;
};

/**
 * The publishers' door. Nothing of the stream exists before the last yes but STREAM_READY's, unlike in MistServer, which
 * starts the buffer before it asks STREAM_PUSH. What was pushed to may be a secret: no message and no log line repeats it.
 */
export class Publish {
  readonly #options: PublishOptions;
  /** Where running streams come from, when a handler said so. */
  readonly #sources = new Map<StreamName, string>();
  readonly #passes: PushPasses;
  readonly #listener: Disposable;

  constructor(options: PublishOptions) {
    this.#options = options;
    this.#passes = new PushPasses(options);
    this.#listener = options.directory.onEvent((event) => {
      if (event.kind === "closed") this.#sources.delete(event.stream.name);
    });
  }

  /** Rejects with "access.denied", "access.unknown", "access.taken", "access.full" or "access.ended"; the message is for the client. */
  async admit(request: AccessRequest, trace = new Trace(this.#options.clock)): Promise<Admission<StreamWriter>> {
    const asked = streamName(request.stream);
    try {
      const host = canonicalAddress(request.address);
      const connection = await this.#options.connections.open(request, "", asked, host, trace);
      return await this.#push({ request, host, asked, trace, connection });
    } catch (error) {
      throw withoutKey(error, request);
    }
  }

  /** Called once a second. */
  tick(): void {
    this.#passes.tick();
  }

  [Symbol.dispose](): void {
    this.#passes[Symbol.dispose]();
    this.#listener[Symbol.dispose]();
  }

  async #push(push: Push): Promise<Admission<StreamWriter>> {
    const { connection, request, host, asked, trace } = push;
    const shown = await this.#passes.find(request, host, trace);
    const { pass } = shown;
    const { name, url, life } = pass ? { name: pass.stream, url: request.url, life: {} } : await this.#name(push);
    using pending = (this.#options.pending ?? new PendingPushes(this.#options.log)).add(life.tags ?? []);
    this.#passes.demand(shown, name, asked, trace);
    connection.last = { stream: name, host, protocol: request.protocol, url };
    const source = pass ? this.#sourceWithPass(name, trace) : await this.#allowed(name, url, push);
    connection.stillThere();
    this.#options.limits?.admitPublisher(name);
    const writer = await this.#claim(name, source, push, life, pending.signal);
    let session: SessionConnection | undefined;
    try {
      connection.stillThere();
      const token = String(request.connection.id);
      session = await this.#options.sessions.join(
        {
          ...{ type: "input", stream: name, address: host, token, protocol: `INPUT:${request.protocol}`, url },
          ...(pass?.kind === "jwt" && { claims: pass.claims }),
        },
        () => Promise.resolve({ kind: "allow" }),
      );
      for (const tag of life.tags ?? []) this.#options.sessions.tag(session.sessionId, tag);
      pending.begun();
      return this.#admission(push, writer, session, token, pass);
    } catch (error) {
      session?.[Symbol.dispose]();
      await writer.close({ code: "CLEAN_REMOTE_CLOSE", text: "connection closed" });
      throw error;
    }
  }

  /** RTMP_PUSH_REWRITE and PUSH_REWRITE: the name under which the push goes on. */
  async #name({
    request,
    host,
    asked,
    trace,
  }: Push): Promise<{ readonly name: StreamName; readonly url: string; readonly life: PushLife }> {
    const { triggers } = this.#options;
    const details = detailsOf(request, asked);
    let { url } = request;
    let name = withoutQuery(request.stream);
    let life: PushLife = {};
    if (request.protocol === "RTMP" && triggers.wants("RTMP_PUSH_REWRITE")) {
      const answer = await triggers.fire("RTMP_PUSH_REWRITE", { url, host, ...details }, request.connection.signal, trace.told);
      const value = rewritten(answer);
      if (value !== undefined) {
        name = lastPart(value);
        if (isUrl(value)) url = value;
        life = lifeOf(answer);
      }
    }
    if (triggers.wants("PUSH_REWRITE")) {
      const answer = await triggers.fire("PUSH_REWRITE", { url, host, stream: name, ...details }, request.connection.signal, trace.told);
      const value = rewritten(answer);
      if (value !== undefined) {
        name = isUrl(value) ? lastPart(value) : value;
        life = lifeOf(answer);
      }
    }
    const final = streamName(name);
    if (final === "") throw new SluiceError("access.denied", "There is no stream name to push to.");
    return { name: final, url, life };
  }

  /** STREAM_LOAD, STREAM_SOURCE, password, STREAM_PUSH, address. Gives the source. */
  async #allowed(name: StreamName, url: string, { request, host, asked, trace }: Push): Promise<string> {
    const { triggers, lookup } = this.#options;
    const source = await this.#source(name, trace);
    const rule = parsePushSource(source);
    trace.withoutPassword = !rule?.password;
    if (!rule || rule.internal) throw new SluiceError("access.denied", "This stream takes no pushes.");
    if (rule.keysOnly) throw new SluiceError("access.denied", "This stream takes only pushes with a stream key or a token.");
    const known = rule.password !== "" && samePassword(request.password ?? "", rule.password);
    if (rule.password !== "" && !known && rule.from === "") throw new SluiceError("access.denied", "The password is wrong.");
    if (triggers.wants("STREAM_PUSH", name)) {
      const { protocol } = request;
      const verdict = await triggers.fire(
        "STREAM_PUSH",
        { stream: name, host, protocol, url, ...detailsOf(request, asked) },
        request.connection.signal,
        trace.told,
      );
      if (verdict.kind === "deny") throw new SluiceError("access.denied", verdict.reason);
    }
    if (!known && !(await addressFits(rule.from, host, lookup)))
      throw new SluiceError("access.denied", "This address may not push to this stream.");
    trace.add("source", "takes the push");
    return source;
  }

  /** With a pass nobody is asked, whatever the configured source is; only a running stream that is none of pushes stays what it is. */
  #sourceWithPass(name: StreamName, trace: Trace): string {
    const running = this.#runningSource(name);
    const rule = parsePushSource(running ?? keySource);
    trace.withoutPassword = !rule?.password;
    if (!rule || rule.internal) throw new SluiceError("access.denied", "This stream takes no pushes.");
    trace.add("source", "takes the push");
    return running ?? keySource;
  }

  /** The source of a stream that runs; undefined if it does not. */
  #runningSource(name: StreamName): string | undefined {
    const { inputs, settings } = this.#options;
    const stream = inputs.playing(name);
    return stream && (this.#sources.get(name) ?? settings.stream(baseName(name))?.source ?? settings.defaultSource);
  }

  async #source(name: StreamName, trace: Trace): Promise<string> {
    const running = this.#runningSource(name);
    if (running !== undefined) return running;
    const load = await this.#options.inputs.load(name, trace);
    if (!("refused" in load)) return load.source;
    if (load.refused === "load") throw new SluiceError("access.denied", "This stream may not be started now.");
    throw new SluiceError("access.unknown", "There is no stream of this name to push to.");
  }

  /** Claims the name; a new stream is announced with STREAM_READY, and nobody can watch it before that was answered. */
  async #claim(
    name: StreamName,
    source: string,
    { request, trace }: Push,
    { whenTaken }: PushLife,
    moot: AbortSignal,
  ): Promise<StreamWriter> {
    const { directory, settings, inputs, triggers } = this.#options;
    const config = settings.stream(baseName(name));
    const options = liveOptionsOf(config, publicSource(source));
    if (whenTaken === "backup") await this.#turn(name, request, trace, moot);
    const before = directory.get(name);
    const writer = publishAs(directory, name, options, whenTaken === "take-over");
    if (writer.stream === before) return writer;
    this.#sources.set(name, source);
    if (!triggers.wants("STREAM_READY", name)) return writer;
    const asking = triggers.fire("STREAM_READY", { stream: name, input: "Buffer" }, undefined, trace.told);
    void inputs.announce(
      name,
      asking.then((verdict) => (verdict.kind === "allow" ? inputs.playing(name) : undefined)),
    );
    const verdict = await asking;
    if (verdict.kind === "allow") return writer;
    await directory.end(name, { code: "TRIGGER", text: "STREAM_READY trigger returned false" });
    throw new SluiceError("access.denied", verdict.reason);
  }

  /** Waits until nobody else pushes to the stream; whoever waits is the backup of who does, unless `moot` says that it may not go on. */
  async #turn(name: StreamName, { connection }: AccessRequest, trace: Trace, moot: AbortSignal): Promise<void> {
    const { directory } = this.#options;
    await directory.vacant(name, AbortSignal.any([connection.signal, moot])).catch(() => {
      throw moot.aborted ? moot.reason : new SluiceError("access.ended", "The connection has closed.");
    });
    trace.add("backup", "its turn");
  }

  #admission(
    { asked, connection, host, request }: Push,
    writer: StreamWriter,
    session: SessionConnection,
    token: string,
    pass: PushPass | undefined,
  ): Admission<StreamWriter> {
    const running = pass && this.#passes.entered(session.sessionId, pass);
    const onEnded = (): void => void writer.close({ code: "CLEAN_CONTROLLER_REQ", text: messageOf(session.signal.reason) });
    session.signal.addEventListener("abort", onEnded, { once: true });
    const { clock, triggers, log } = this.#options;
    const { protocol, lasting = false } = request;
    const stream = writer.stream.name;
    const output = new Output({ clock, triggers, connection, stream, host, protocol, lasting });
    log.write("INFO", `pushed over ${protocol} from ${host}`, { stream });
    let over = false;
    const closer: Disposable = {
      [Symbol.dispose]: () => {
        if (!over) log.write("INFO", `no longer pushed over ${protocol} from ${host}: ${hideKey(output.reason.text, request)}`, { stream });
        over = true;
        connection.release(closer);
        running?.[Symbol.dispose]();
        output.close();
        session.signal.removeEventListener("abort", onEnded);
        session[Symbol.dispose]();
      },
    };
    connection.hold(closer);
    return {
      value: writer,
      askedName: asked,
      sessionId: session.sessionId,
      token,
      urlToken: undefined,
      cookie: undefined,
      redirected: false,
      count: (up, down) => {
        session.count(up, down);
        output.sent(up);
      },
      position: (ms) => session.position(ms),
      ends: (reason, bytes) => output.ends(reason, bytes),
      signal: AbortSignal.any([session.signal, writer.signal]),
      [Symbol.dispose]: closer[Symbol.dispose],
    };
  }
}

function publishAs(directory: StreamDirectory, name: StreamName, options: LiveOptions, takeOver: boolean): StreamWriter {
  try {
    return directory.publish(name, options, takeOver);
  } catch (error) {
    if (!isSluiceError(error, "access.taken")) throw error;
    throw new SluiceError("access.taken", "Another publisher already pushes to this stream; stop it first.", { cause: error });
  }
}

/** The new value, undefined to go on with the old one. Throws "access.denied". */
function rewritten(answer: Rewriting): string | undefined {
  if (answer.kind === "deny") throw new SluiceError("access.denied", answer.reason);
  if (answer.kind === "keep") return undefined;
  if (answer.to === "") throw new SluiceError("access.denied", "not allowed");
  return answer.to;
}

function lifeOf(answer: Rewriting): PushLife {
  return answer.kind === "rewrite" ? answer : {};
}

function isUrl(value: string): boolean {
  return /^[a-z][a-z0-9.-]*:\/\//i.test(value);
}

function withoutQuery(value: string): string {
  const query = value.indexOf("?");
  return query < 0 ? value : value.slice(0, query);
}

/** The stream name in a URL: what stands after the last slash, percent-decoded. */
function lastPart(url: string): string {
  const path = withoutQuery(url);
  const part = path.slice(path.lastIndexOf("/") + 1);
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The error without the key, should a handler have put that into its reason. */
function withoutKey(error: unknown, request: AccessRequest): unknown {
  if (!isSluiceError(error)) return error;
  const words = hideKey(error.message, request);
  return words === error.message ? error : new SluiceError(error.code, words);
}

function hideKey(text: string, { stream }: AccessRequest): string {
  const key = withoutQuery(stream);
  return key.length < 6 ? text : text.replaceAll(key, "(hidden)");
}
