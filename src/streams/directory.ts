import { messageOf, SluiceError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { StreamName } from "../base/stream-name.ts";
import type { Clock } from "../base/time.ts";
import type { MakeSilence } from "../media/silence.ts";
import { LiveProgram } from "./live/live-program.ts";
import type { HubContext } from "./live/hub-context.ts";
import { LiveStream } from "./live/live-stream.ts";
import { LiveWriter } from "./live/live-writer.ts";
import type { CloseReason, LiveOptions, Program, Stream, StreamDirectory, StreamEvent, StreamWriter, VodSource } from "./stream.ts";
import { Vacancies } from "./vacancies.ts";
import { VodStream } from "./vod/vod-stream.ts";

/** How often rates, health and timeouts are looked at. */
const tickMs = 500;
/** Who has waited for a name goes on with its stream within this, or the stream ends. */
const successorMs = 5_000;

export type DirectoryOptions = {
  readonly clock: Clock;
  readonly log: Log;
  /** Milliseconds that packets are collected before viewers get them; asked at each flush. 0: until the present task ends. */
  readonly flushMs: () => number;
  /** Runs soon, but not now. Tests hand in their own. */
  readonly microtask?: (run: () => void) => void;
  /** Sound for sources of programmes that have none; left out: they stay without. */
  readonly silence?: MakeSilence;
};

/** Makes the directory of all streams: the hub's one entrance. */
export function createDirectory(options: DirectoryOptions): StreamDirectory {
  return new Directory(options);
}

class Directory implements StreamDirectory {
  readonly #streams = new Map<StreamName, LiveStream | VodStream>();
  readonly #listeners = new Set<(event: StreamEvent) => void>();
  readonly #programs = new Set<LiveProgram>();
  readonly #vacancies = new Vacancies();
  #keep: ((stream: Stream) => ((program: Program) => void) | undefined) | undefined;
  readonly #context: HubContext;
  readonly #ticking: Disposable;

  constructor({ clock, log, flushMs, microtask = queueMicrotask, silence = () => undefined }: DirectoryOptions) {
    this.#context = { clock, log, flushMs, microtask, silence, emit: (event) => this.#emit(event) };
    this.#ticking = clock.every(tickMs, () => this.#tick());
  }

  get(name: StreamName): Stream | undefined {
    return this.#streams.get(name);
  }

  list(): readonly Stream[] {
    return [...this.#streams.values()];
  }

  publish(name: StreamName, options: LiveOptions, takeOver = false): StreamWriter {
    const present = this.#streams.get(name);
    if (present?.kind === "vod") throw new SluiceError("access.taken", `a file plays as "${name}"; end it, or publish to another name`);
    if (present?.held && !takeOver)
      throw new SluiceError("access.taken", `another publisher is sending to this stream ("${name}"); stop it first`);
    const stream = present ?? new LiveStream(name, options, this.#context);
    const writer: LiveWriter = new LiveWriter(stream, options, this.#context.log, (reason) => this.#left(writer.stream, options, reason));
    stream.attach(
      writer,
      options,
      new SluiceError(
        "access.taken",
        `another publisher has taken over "${name}", since nothing came any more; publish again to get it back`,
      ),
    );
    if (!present) {
      this.#streams.set(name, stream);
      this.#emit({ kind: "opened", stream });
    }
    return writer;
  }

  open(name: StreamName, source: VodSource, description: string): Stream {
    if (this.#streams.has(name)) throw new SluiceError("access.taken", `"${name}" already plays; end it before another source is opened`);
    const stream: VodStream = new VodStream(name, description, source, this.#context, (error) => {
      this.#context.log.write("ERROR", `reading the file failed: ${messageOf(error)}`, { stream: name });
      void this.#close(stream, { code: "FORMAT_SPECIFIC", text: `reading the file failed: ${messageOf(error)}` });
    });
    this.#streams.set(name, stream);
    this.#context.log.write("INFO", `plays ${description}`, { stream: name });
    this.#emit({ kind: "opened", stream });
    this.#emit({ kind: "state", stream, state: "ready" });
    return stream;
  }

  vacant(name: StreamName, signal: AbortSignal): Promise<void> {
    return this.#vacancies.next(name, this.#held(name), signal);
  }

  openAside(name: StreamName, source: VodSource, description: string): AsyncDisposable & { readonly stream: Stream } {
    const context: HubContext = { ...this.#context, emit: () => {} };
    const stream: VodStream = new VodStream(name, description, source, context, (error) => {
      context.log.write("ERROR", `reading the file failed: ${messageOf(error)}`, { stream: name });
      void stream.close({ code: "FORMAT_SPECIFIC", text: `reading the file failed: ${messageOf(error)}` });
    });
    return { stream, [Symbol.asyncDispose]: () => stream.close({ code: "CLEAN_INACTIVE", text: "not shown any more" }) };
  }

  async end(name: StreamName, reason: CloseReason): Promise<boolean> {
    const stream = this.#streams.get(name);
    // Who ends a stream by a command ends those who watch what is shown in its place, too.
    const programs = reason.code === "CLEAN_CONTROLLER_REQ" ? [...this.#programs].filter((program) => program.stream.name === name) : [];
    for (const program of programs) program.end(reason);
    if (!stream) return programs.length > 0;
    await this.#close(stream, reason, new SluiceError("access.ended", `the stream was ended: ${reason.text}`));
    return true;
  }

  split(name: StreamName): Program | undefined {
    const stream = this.#streams.get(name);
    if (stream?.kind !== "live" || stream.over) return undefined;
    const publisher = stream.part();
    if (!publisher) return undefined;
    const { options } = stream;
    const next = new LiveStream(name, options, this.#context);
    this.#streams.set(name, next);
    next.attach(publisher, options, new SluiceError("access.taken", "the publisher goes on elsewhere"));
    publisher.goOn(next);
    return this.#programOf(stream, options);
  }

  program(name: StreamName, options: LiveOptions): Program {
    return this.#programOf(new LiveStream(name, options, { ...this.#context, emit: () => {} }), options);
  }

  onLeaving(keep: (stream: Stream) => ((program: Program) => void) | undefined): Disposable {
    this.#keep = keep;
    return {
      [Symbol.dispose]: () => {
        if (this.#keep === keep) this.#keep = undefined;
      },
    };
  }

  health(name: StreamName): Readonly<Record<string, unknown>> | undefined {
    const stream = this.#streams.get(name);
    return stream?.kind === "live" ? stream.health() : undefined;
  }

  onEvent(run: (event: StreamEvent) => void): Disposable {
    const listener = (event: StreamEvent): void => run(event);
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ticking[Symbol.dispose]();
    const reason: CloseReason = { code: "CLEAN_SIGNAL", text: "the server ends" };
    this.#keep = undefined;
    for (const program of this.#programs) program.end(reason);
    await Promise.all([...this.#streams.keys()].map((name) => this.end(name, reason)));
  }

  /** Takes the stream off the list first, so that nobody who hears of the end finds it there. */
  #close(stream: LiveStream | VodStream, reason: CloseReason, error?: SluiceError): Promise<void> {
    if (this.#streams.get(stream.name) === stream) this.#streams.delete(stream.name);
    if (stream.kind === "vod") return stream.close(reason);
    stream.close(reason, error);
    return Promise.resolve();
  }

  /** The publisher of a stream that waits for no other has left. */
  #left(stream: LiveStream, options: LiveOptions, reason: CloseReason): void {
    const there = this.#streams.get(stream.name) === stream;
    if (there && !stream.options.resume && this.#vacancies.waits(stream.name)) {
      stream.detach(true);
      this.#vacancies.open(stream.name);
      this.#context.clock.after(successorMs, () => {
        if (this.#streams.get(stream.name) === stream && !stream.held) this.#left(stream, options, reason);
      });
      return;
    }
    const kept = there ? this.#keep?.(stream) : undefined;
    if (!kept) return void this.#close(stream, reason);
    this.#streams.delete(stream.name);
    if (stream.release(reason)) kept(this.#programOf(stream, options));
  }

  #programOf(stream: LiveStream, options: LiveOptions): LiveProgram {
    const program = new LiveProgram(stream, options, this.#context, (ended) => void this.#programs.delete(ended));
    this.#programs.add(program);
    return program;
  }

  #held(name: StreamName): boolean {
    const stream = this.#streams.get(name);
    return stream !== undefined && (stream.kind === "vod" || stream.held);
  }

  #tick(): void {
    for (const name of [...this.#vacancies.names()]) if (!this.#held(name)) this.#vacancies.open(name);
    for (const program of this.#programs) program.tick();
    for (const stream of this.#streams.values()) {
      if (stream.kind === "vod") continue;
      const reason = stream.tick();
      if (reason) this.#left(stream, stream.options, reason);
    }
  }

  #emit(event: StreamEvent): void {
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        this.#context.log.write("ERROR", `a listener of stream events failed: ${messageOf(error)}`, { stream: event.stream.name });
      }
    }
  }
}
