import { SluiceError } from "../base/errors.ts";
import { baseName, type StreamName, streamName } from "../base/stream-name.ts";
import type { Clock } from "../base/time.ts";
import type { AccessRequest } from "../sessions/access-request.ts";
import type { Stream } from "../streams/stream.ts";
import type { Triggers } from "../triggers/trigger.ts";
import { detailsOf } from "./connections.ts";
import type { Programs } from "./fallback/programs.ts";
import type { Inputs } from "./inputs.ts";
import type { GateSettings } from "./settings.ts";
import type { Trace } from "./trace.ts";
import { expandVariables } from "./variables.ts";

/** The stream that a request leads to. `redirected`: it stands in for one that is offline. */
export type Target = { readonly stream: Stream; readonly redirected: boolean };

export type ResolverOptions = {
  readonly clock: Clock;
  readonly settings: GateSettings;
  readonly triggers: Triggers;
  readonly inputs: Inputs;
  readonly programs: Programs;
};

/** What a handler says when it says nothing more than no. */
const bareReason = "not allowed";

const offline = (words = "This stream is offline."): SluiceError => new SluiceError("access.offline", words);

/**
 * Finds what a viewer gets for a name: PLAY_REWRITE, then the stream itself or its input, then `fallback_stream` from
 * one to the next, then DEFAULT_STREAM or `defaultStream`, once. A name that comes up twice ends the search.
 * No message names a stream: the name may be a token, or hidden behind one.
 */
export class Resolver {
  readonly #options: ResolverOptions;

  constructor(options: ResolverOptions) {
    this.#options = options;
  }

  /** Rejects with "access.denied" or "access.offline". `asked` is sanitised. */
  async resolve(asked: StreamName, host: string, request: AccessRequest, trace: Trace): Promise<Target> {
    const { settings, clock } = this.#options;
    const wanted = await this.#rewritten(asked, host, request, trace);
    const seen = new Set<StreamName>();
    const first = await this.#chain(wanted, seen, trace);
    if (typeof first !== "string") return { stream: first, redirected: first.name !== wanted };
    trace.add("stream", "is offline");
    const value = await this.#fallback(first, asked, host, request, trace);
    const source = settings.stream(baseName(first))?.source;
    const next = streamName(expandVariables(value, { stream: first, now: clock.now(), ...(source !== undefined && { source }) }));
    if (next === "" || next === first) throw offline();
    if (seen.has(next)) throw offline("This stream is offline, and so is what should be shown instead.");
    const second = await this.#chain(next, seen, trace);
    trace.add("default stream", typeof second === "string" ? "is offline, too" : "plays");
    if (typeof second === "string") throw offline("This stream is offline, and so is what should be shown instead.");
    return { stream: second, redirected: true };
  }

  /** What plays under the name that a limit has sent somebody to, or under one of its fallbacks. */
  async instead(name: StreamName, trace: Trace): Promise<Stream | undefined> {
    const found = await this.#chain(name, new Set(), trace);
    return typeof found === "string" ? undefined : found;
  }

  async #rewritten(asked: StreamName, host: string, request: AccessRequest, trace: Trace): Promise<StreamName> {
    const { triggers } = this.#options;
    if (!triggers.wants("PLAY_REWRITE", asked)) return asked;
    const { protocol, url } = request;
    const answer = await triggers.fire(
      "PLAY_REWRITE",
      { stream: asked, host, protocol, url, ...detailsOf(request, asked) },
      undefined,
      trace.told,
    );
    if (answer.kind === "keep") return asked;
    if (answer.kind === "deny") throw new SluiceError("access.denied", answer.reason);
    const name = streamName(answer.to);
    if (name === "") throw new SluiceError("access.denied", bareReason);
    return name;
  }

  /** The first stream that plays, from `name` along the configured fallbacks; or the last name, when none does. */
  async #chain(name: StreamName, seen: Set<StreamName>, trace: Trace): Promise<Stream | StreamName> {
    const { settings, inputs, programs, clock } = this.#options;
    for (let current = name; ; ) {
      seen.add(current);
      const stream = programs.shown(current) ?? (await inputs.find(current, trace)) ?? (await programs.open(current));
      if (stream && programs.has(stream))
        trace.add("fallback", programs.showsOther(stream) ? "shown instead of the offline stream" : "the stream, which is back");
      if (stream) return stream;
      const config = settings.stream(baseName(current));
      if (!config?.fallback_stream) return current;
      const next = streamName(expandVariables(config.fallback_stream, { stream: current, now: clock.now(), source: config.source }));
      trace.add("fallback_stream", seen.has(next) ? "leads back to where it began" : "another stream");
      if (next === "" || seen.has(next)) return current;
      current = next;
    }
  }

  async #fallback(name: StreamName, asked: StreamName, host: string, request: AccessRequest, trace: Trace): Promise<string> {
    const { triggers, settings } = this.#options;
    const { defaultStream } = settings;
    if (!triggers.wants("DEFAULT_STREAM", name)) return defaultStream;
    const { protocol, url } = request;
    const payload = { defaultStream, stream: name, host, protocol, url, ...detailsOf(request, asked) };
    const answer = await triggers.fire("DEFAULT_STREAM", payload, undefined, trace.told);
    if (answer.kind === "rewrite") return answer.to;
    if (answer.kind === "keep") return defaultStream;
    if (answer.reason === "" || answer.reason === bareReason) throw offline();
    throw new SluiceError("access.denied", answer.reason);
  }
}
