import { messageOf } from "../base/errors.ts";
import type { ExitReason } from "../base/exit.ts";
import type { Log } from "../base/log.ts";
import { baseName, type StreamName } from "../base/stream-name.ts";
import type { Clock } from "../base/time.ts";
import type { Stream, StreamDirectory, VodSource } from "../streams/stream.ts";
import type { Triggers } from "../triggers/trigger.ts";
import type { GateSettings } from "./settings.ts";
import { inputAbort } from "./told/input-abort.ts";
import { parsePushSource } from "./source.ts";
import { Trace } from "./trace.ts";
import { climbs, expandVariables } from "./variables.ts";

/** Opens a recorded input by its source; undefined when no protocol knows such a source. */
export type OpenInput = (source: string) => { readonly kind: "vod"; readonly name: string; open(): Promise<VodSource> } | undefined;

/** Seconds that an unused input stays open when the stream does not say. */
const defaultTimeout = 30;

/** A stream that is to play all the time is tried again this often. */
const retryMs = 5_000;

type Loaded = { readonly stream: Stream; readonly input: string; users: number; idleSince: number; asking: boolean };

export type InputsOptions = {
  readonly clock: Clock;
  readonly log: Log;
  readonly settings: GateSettings;
  readonly directory: StreamDirectory;
  readonly triggers: Triggers;
  readonly openInput: OpenInput;
};

/** Finds streams that play, starts recorded ones when somebody wants them and ends them when nobody does any more. */
export class Inputs implements Disposable {
  readonly #options: InputsOptions;
  readonly #starting = new Map<StreamName, Promise<Stream | undefined>>();
  readonly #loaded = new Map<StreamName, Loaded>();
  /** When a stream that is always on was last tried to start, monotonic ms. */
  readonly #tried = new Map<StreamName, number>();
  readonly #listener: Disposable;

  constructor(options: InputsOptions) {
    this.#options = options;
    this.#listener = options.directory.onEvent((event) => {
      if (event.kind === "closed" && this.#loaded.get(event.stream.name)?.stream === event.stream) this.#loaded.delete(event.stream.name);
    });
  }

  /** The stream of this name if it plays, whatever it waits for. */
  playing(name: StreamName): Stream | undefined {
    const stream = this.#options.directory.get(name);
    return stream && stream.state !== "offline" && stream.state !== "shutdown" ? stream : undefined;
  }

  /** The stream of this name; it is started if it can be. Several who ask at the same time share one start. */
  find(name: StreamName, trace: Trace): Stream | undefined | Promise<Stream | undefined> {
    return this.#starting.get(name) ?? this.playing(name) ?? this.announce(name, this.#start(name, trace));
  }

  /** Until `start` has resolved, nobody gets the stream of this name. */
  announce(name: StreamName, start: Promise<Stream | undefined>): Promise<Stream | undefined> {
    const known = start.finally(() => {
      if (this.#starting.get(name) === known) this.#starting.delete(name);
    });
    known.catch(() => undefined);
    this.#starting.set(name, known);
    return known;
  }

  /** STREAM_LOAD, then the source: STREAM_SOURCE's, the configured one, or that of unconfigured names. Undefined: none, or a no. */
  async load(name: StreamName, trace: Trace): Promise<{ readonly source: string } | { readonly refused: "load" | "unknown" }> {
    const { triggers, settings, clock } = this.#options;
    if (triggers.wants("STREAM_LOAD", name)) {
      const verdict = await triggers.fire("STREAM_LOAD", { stream: name }, undefined, trace.told);
      if (verdict.kind === "deny") return { refused: "load" };
    }
    const configured = settings.stream(baseName(name))?.source ?? settings.defaultSource;
    let source = configured;
    if (triggers.wants("STREAM_SOURCE", name)) {
      const answer = await triggers.fire("STREAM_SOURCE", { stream: name }, undefined, trace.told);
      if (answer.kind === "deny") return { refused: "load" };
      if (answer.kind === "rewrite" && answer.to !== "") source = answer.to;
    }
    if (source === undefined) return { refused: "unknown" };
    const expanded = expandVariables(source, { stream: name, now: clock.now() });
    return expanded !== source && climbs(name) ? { refused: "unknown" } : { source: expanded };
  }

  /** Keeps a recorded stream open until disposed; does nothing for live streams. */
  use(stream: Stream): Disposable | undefined {
    const loaded = this.#loaded.get(stream.name);
    if (loaded?.stream !== stream) return undefined;
    loaded.users++;
    let used = true;
    return {
      [Symbol.dispose]: () => {
        if (!used) return;
        used = false;
        loaded.users--;
        loaded.idleSince = this.#options.clock.monotonic();
      },
    };
  }

  /** Starts what is to play all the time, and ends inputs that nobody has used for `inputtimeout`, unless STREAM_UNLOAD says no. Called once a second. */
  tick(): void {
    const now = this.#options.clock.monotonic();
    this.#keepOn(now);
    for (const [name, loaded] of this.#loaded) {
      const config = this.#options.settings.stream(baseName(name));
      if (config?.always_on || loaded.users > 0 || loaded.asking) continue;
      if (now - loaded.idleSince >= (config?.inputtimeout ?? defaultTimeout) * 1000) void this.#unload(name, loaded);
    }
  }

  [Symbol.dispose](): void {
    this.#listener[Symbol.dispose]();
  }

  /** As in MistServer, STREAM_LOAD and STREAM_SOURCE are not asked: the configured source is meant. */
  #keepOn(now: number): void {
    const { settings, clock } = this.#options;
    for (const name of settings.alwaysOn?.() ?? []) {
      const source = settings.stream(name)?.source;
      const tried = this.#tried.get(name) ?? Number.NEGATIVE_INFINITY;
      if (source === undefined || parsePushSource(source) || now - tried < retryMs) continue;
      if (this.#starting.has(name) || this.playing(name)) continue;
      this.#tried.set(name, now);
      const given = { source: expandVariables(source, { stream: name, now: clock.now() }) };
      void this.announce(name, this.#start(name, new Trace(clock), given));
    }
  }

  async #start(name: StreamName, trace: Trace, given?: { readonly source: string }): Promise<Stream | undefined> {
    const { openInput, directory, triggers, log, clock } = this.#options;
    const load = given ?? (await this.load(name, trace));
    if ("refused" in load) {
      trace.add("source", load.refused === "load" ? "refused" : "none");
      return undefined;
    }
    if (parsePushSource(load.source)) {
      trace.add("source", "waits for a publisher");
      return this.playing(name);
    }
    const input = openInput(load.source);
    if (!input) {
      log.write("WARN", `No input can open the source "${load.source}"; it takes push:// and files`, { stream: name });
      trace.add("source", "of no known kind");
      return undefined;
    }
    let source: VodSource;
    try {
      source = await input.open();
    } catch (error) {
      log.write("WARN", `The source could not be opened: ${messageOf(error)}`, { stream: name });
      trace.add("source", "could not be opened");
      this.#aborted(name, load.source, input.name, { code: "READ_START_FAILURE", text: messageOf(error) });
      return undefined;
    }
    if (triggers.wants("STREAM_READY", name)) {
      const verdict = await triggers.fire("STREAM_READY", { stream: name, input: source.input }, undefined, trace.told);
      if (verdict.kind === "deny") {
        await source[Symbol.asyncDispose]();
        const text = "STREAM_READY trigger returned false";
        const unload = { stream: name, input: source.input, reason: `cancelable${text}` };
        if (triggers.wants("STREAM_UNLOAD", name)) await triggers.fire("STREAM_UNLOAD", unload);
        this.#aborted(name, load.source, source.input, { code: "TRIGGER", text });
        return undefined;
      }
    }
    const taken = this.playing(name);
    if (taken) {
      await source[Symbol.asyncDispose]();
      return taken;
    }
    const stream = directory.open(name, source, load.source);
    this.#loaded.set(name, { stream, input: source.input, users: 0, idleSince: clock.monotonic(), asking: false });
    trace.add("source", "opened");
    return stream;
  }

  /** INPUT_ABORT; nobody waits for it. */
  #aborted(name: StreamName, source: string, input: string, reason: ExitReason): void {
    const { triggers } = this.#options;
    if (triggers.wants("INPUT_ABORT", name)) void triggers.fire("INPUT_ABORT", inputAbort(name, source, input, reason));
  }

  async #unload(name: StreamName, loaded: Loaded): Promise<void> {
    const { triggers, directory, clock, log } = this.#options;
    loaded.asking = true;
    const idleSince = loaded.idleSince;
    try {
      if (triggers.wants("STREAM_UNLOAD", name)) {
        const verdict = await triggers.fire("STREAM_UNLOAD", { stream: name, input: loaded.input, reason: "cancelable" });
        if (verdict.kind === "deny") loaded.idleSince = clock.monotonic();
      }
      if (loaded.users > 0 || loaded.idleSince !== idleSince || this.#loaded.get(name) !== loaded) return;
      this.#loaded.delete(name);
      await directory.end(name, { code: "CLEAN_INACTIVE", text: "no viewers" });
    } catch (error) {
      log.write("ERROR", `An unused input could not be ended: ${messageOf(error)}`, { stream: name });
    } finally {
      loaded.asking = false;
    }
  }
}
